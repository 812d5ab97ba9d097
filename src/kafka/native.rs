//! One question to librdkafka's admin API that rust-rdkafka 0.39 does not pass on, and guards for what it takes.
//!
//! Unsafe code: every pointer that is taken has a guard that gives it back; none outlives the guard.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// Gives a native object back to librdkafka.
pub struct Guard<T>(pub *mut T, pub unsafe extern "C" fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from the constructor that this destructor belongs to, and is
            // given back once.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// An answer without an error; what it lends lives as long as it does.
pub type Answer = Guard<native::rd_kafka_event_t>;

type Send<'a> = &'a dyn Fn(
    *mut native::rd_kafka_t,
    *const native::rd_kafka_AdminOptions_t,
    *mut native::rd_kafka_queue_t,
);

/// Asks by `send`, which hands the request over with these options and to this queue, and waits for the
/// answer. `what` is the request that `send` makes.
pub fn ask<C: ClientContext>(
    client: &Client<C>,
    what: native::rd_kafka_admin_op_t,
    timeout: Duration,
    send: Send<'_>,
) -> KafkaResult<Answer> {
    let wait = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();
    // SAFETY: `handle` lives as long as `client`; options and queue are live until their guards drop, after
    // the answer.
    unsafe {
        let queue = Guard(native::rd_kafka_queue_new(handle), native::rd_kafka_queue_destroy);
        let options = Guard(
            native::rd_kafka_AdminOptions_new(handle, what),
            native::rd_kafka_AdminOptions_destroy,
        );
        let mut why: [c_char; 256] = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            wait,
            why.as_mut_ptr(),
            why.len(),
        );
        send(handle, options.0, queue.0);
        let answer =
            Guard(native::rd_kafka_queue_poll(queue.0, wait), native::rd_kafka_event_destroy);
        if answer.0.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT));
        }
        match native::rd_kafka_event_error(answer.0) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(answer),
            error => Err(failed(error)),
        }
    }
}

/// Of a request that gave no result.
pub fn failed(error: RDKafkaRespErr) -> KafkaError {
    KafkaError::AdminOp(RDKafkaErrorCode::from(error))
}
