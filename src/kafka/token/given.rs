//! The clients that are to have each new token.
//!
//! Unsafe code: rust-rdkafka 0.39 gives a token only to a client that is polled, and without extensions. A
//! client's pointer stays here from [`Clients::add`] to [`Clients::remove`], and the client lives longer.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};

use rdkafka::admin::AdminClient;
use rdkafka::bindings as native;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaRespErr;

use super::answer::Token;

/// A client of librdkafka's.
pub trait Native {
    fn native(&self) -> *mut native::rd_kafka_t;
}

impl<C: ConsumerContext> Native for BaseConsumer<C> {
    fn native(&self) -> *mut native::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext> Native for BaseProducer<C> {
    fn native(&self) -> *mut native::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext + 'static> Native for ThreadedProducer<C> {
    fn native(&self) -> *mut native::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl<C: ClientContext> Native for AdminClient<C> {
    fn native(&self) -> *mut native::rd_kafka_t {
        self.inner().native_ptr()
    }
}

struct Client(*mut native::rd_kafka_t);

// SAFETY: librdkafka's clients may be used from any thread.
unsafe impl Send for Client {}

/// By the number that each was given.
#[derive(Default)]
pub struct Clients {
    last: u64,
    present: BTreeMap<u64, Client>,
}

impl Clients {
    /// Whoever adds a client removes it before it is closed.
    pub fn add(&mut self, client: &impl Native) -> u64 {
        self.last += 1;
        self.present.insert(self.last, Client(client.native()));
        self.last
    }

    pub fn remove(&mut self, number: u64) {
        self.present.remove(&number);
    }

    /// To all of them. Why one did not take it, in librdkafka's words.
    pub fn give_all(&self, token: &Token) -> Result<(), String> {
        let mut all = Ok(());
        for client in self.present.values() {
            all = all.and(give(client, token));
        }
        all
    }

    /// To one of them.
    pub fn give(&self, number: u64, token: &Token) -> Result<(), String> {
        self.present.get(&number).map_or(Ok(()), |client| give(client, token))
    }
}

fn give(client: &Client, token: &Token) -> Result<(), String> {
    let odd = |_| "it holds a zero byte".to_owned();
    let text = |text: &str| CString::new(text).map_err(odd);
    let (value, principal) = (text(&token.value)?, text(&token.principal)?);
    let extensions = token.extensions.iter().flat_map(|(name, value)| [name, value]);
    let extensions: Vec<CString> = extensions.map(|it| text(it)).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = extensions.iter().map(|it| it.as_ptr()).collect();
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: the client lives, as whoever added it promised; librdkafka copies the texts, which live until it
    // returns, and ends its reason with a zero.
    unsafe {
        let answer = native::rd_kafka_oauthbearer_set_token(
            client.0,
            value.as_ptr(),
            token.expires.0,
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            why.as_mut_ptr(),
            why.len(),
        );
        match answer {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            _ => Err(CStr::from_ptr(why.as_ptr()).to_string_lossy().into_owned()),
        }
    }
}
