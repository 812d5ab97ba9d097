//! What a consumer's queue brings: records, errors with the place that they are about, rebalances, log lines.
//!
//! Unsafe code: rust-rdkafka 0.39 drops topic, partition and offset of an error, which is all that says which
//! batch can't be read; and it allocates for each record. Every pointer that is taken has a guard that gives
//! it back; none leaves this file.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;

use rdkafka::Timestamp;
use rdkafka::bindings as native;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::native::Guard;

const NO_ERROR: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A consumer's own queue. It must be dropped before its consumer.
pub struct Queue(Guard<native::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues have locks of their own; any thread may poll one, or give it back.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

/// One thing that a queue brought.
pub enum Event<'a> {
    Record(Received<'a>),
    Error(ReadError),
    /// The group gives these partitions; `None`: it takes them back.
    Rebalance(Option<Vec<i32>>),
    /// It was logged, or is of no concern.
    Other,
}

/// Why nothing could be read, and where.
#[derive(Clone, Debug)]
pub struct ReadError {
    pub code: RDKafkaErrorCode,
    pub is_fatal: bool,
    /// `None`: it is about no partition.
    pub partition: Option<i32>,
    /// What librdkafka takes for the place: the first offset of a batch, or where it wanted to go on.
    pub offset: i64,
    /// In librdkafka's words.
    pub reason: String,
}

impl Queue {
    /// `None`: the client is no consumer of a group.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the consumer lives; the reference that is taken is given back by the guard.
        let queue = unsafe { native::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        (!queue.is_null()).then(|| Self(Guard(queue, native::rd_kafka_queue_destroy)))
    }

    /// The next event, if there is one now. What it has to log, the context hears.
    pub fn poll(&self, context: &impl ClientContext) -> Option<Event<'_>> {
        // SAFETY: the queue is live; the event is ours until its guard gives it back.
        let (event, kind) = unsafe {
            let event = native::rd_kafka_queue_poll(self.0.0, 0);
            if event.is_null() {
                return None;
            }
            (Guard(event, native::rd_kafka_event_destroy), native::rd_kafka_event_type(event))
        };
        Some(match kind {
            native::RD_KAFKA_EVENT_FETCH => record(event),
            native::RD_KAFKA_EVENT_ERROR => error(&event, context),
            native::RD_KAFKA_EVENT_REBALANCE => rebalance(&event),
            native::RD_KAFKA_EVENT_LOG => {
                log(&event, context);
                Event::Other
            }
            _ => Event::Other,
        })
    }

    /// What was put aside is at hand again. It must be of this queue.
    pub fn take_up(&self, aside: Aside) -> Received<'_> {
        Received { inner: aside, queue: PhantomData }
    }
}

/// A record, in librdkafka's own memory until it is dropped.
pub struct Received<'a> {
    inner: Aside,
    queue: PhantomData<&'a Queue>,
}

/// A record that was put aside, to be taken up later; must be dropped before its queue's consumer.
pub struct Aside {
    message: *const native::rd_kafka_message_t,
    /// Owns the message.
    _event: Guard<native::rd_kafka_event_t>,
}

impl Received<'_> {
    fn message(&self) -> &native::rd_kafka_message_t {
        // SAFETY: `record` found it not null; the event that owns it lives as long as we do.
        unsafe { &*self.inner.message }
    }

    pub fn partition(&self) -> i32 {
        self.message().partition
    }

    pub fn offset(&self) -> i64 {
        self.message().offset
    }

    pub fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: librdkafka says how long the key is.
        unsafe { bytes(message.key, message.key_len) }
    }

    pub fn payload(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: librdkafka says how long the payload is.
        unsafe { bytes(message.payload, message.len) }
    }

    pub fn timestamp(&self) -> Timestamp {
        use native::rd_kafka_timestamp_type_t as Type;
        let mut kind = Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live, and `kind` is ours.
        let at = unsafe { native::rd_kafka_message_timestamp(self.inner.message, &raw mut kind) };
        match kind {
            _ if at == -1 => Timestamp::NotAvailable,
            Type::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(at),
            Type::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(at),
            Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
        }
    }

    /// The last header of this name, which has no zero byte; the inner `None`: it has no value.
    pub fn header(&self, name: &CStr) -> Option<Option<&[u8]>> {
        let (mut headers, mut value, mut size) = (std::ptr::null_mut(), std::ptr::null(), 0);
        // SAFETY: the message is live and lends its headers, which lend the value.
        unsafe {
            if native::rd_kafka_message_headers(self.inner.message, &raw mut headers) != NO_ERROR {
                return None;
            }
            let found = native::rd_kafka_header_get_last(
                headers,
                name.as_ptr(),
                &raw mut value,
                &raw mut size,
            );
            (found == NO_ERROR).then(|| bytes(value, size))
        }
    }

    /// All headers, in order.
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = std::ptr::null_mut();
        let mut all = Vec::new();
        // SAFETY: as above; each name is a C string.
        unsafe {
            if native::rd_kafka_message_headers(self.inner.message, &raw mut headers) != NO_ERROR {
                return all;
            }
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            while native::rd_kafka_header_get_all(
                headers,
                all.len(),
                &raw mut name,
                &raw mut value,
                &raw mut size,
            ) == NO_ERROR
            {
                let name = CStr::from_ptr(name).to_string_lossy().into_owned();
                all.push((name, bytes(value, size).map(<[u8]>::to_vec)));
            }
        }
        all
    }

    /// To be taken up later.
    pub fn put_aside(self) -> Aside {
        self.inner
    }
}

/// # Safety
/// `start` is null, or so many bytes lie there for as long as the caller needs them.
unsafe fn bytes<'a>(start: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by this function's own condition.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

fn record<'a>(event: Guard<native::rd_kafka_event_t>) -> Event<'a> {
    // SAFETY: the event is live, and of this kind; what it lends lives as long as it does.
    let (message, failed) = unsafe {
        let message = native::rd_kafka_event_message_next(event.0);
        if message.is_null() {
            return Event::Other;
        }
        let (partition, offset, code) = ((*message).partition, (*message).offset, (*message).err);
        let error = || ReadError {
            code: code.into(),
            is_fatal: false,
            partition: Some(partition),
            offset,
            reason: text(native::rd_kafka_err2str(code)),
        };
        (message, (code != NO_ERROR).then(error))
    };
    if let Some(error) = failed {
        return Event::Error(error);
    }
    let inner = Aside { message, _event: event };
    Event::Record(Received { inner, queue: PhantomData })
}

fn error<'a>(event: &Guard<native::rd_kafka_event_t>, context: &impl ClientContext) -> Event<'a> {
    // SAFETY: the event is live and lends its text; the place is ours until its guard gives it back.
    let error = unsafe {
        let code = native::rd_kafka_event_error(event.0);
        if code == NO_ERROR {
            return Event::Other;
        }
        let place = Guard(
            native::rd_kafka_event_topic_partition(event.0),
            native::rd_kafka_topic_partition_destroy,
        );
        ReadError {
            code: code.into(),
            is_fatal: native::rd_kafka_event_error_is_fatal(event.0) != 0,
            partition: (!place.0.is_null()).then(|| (*place.0).partition),
            offset: if place.0.is_null() { -1 } else { (*place.0).offset },
            reason: text(native::rd_kafka_event_error_string(event.0)),
        }
    };
    context.error(KafkaError::Global(error.code), &error.reason);
    Event::Error(error)
}

fn rebalance<'a>(event: &Guard<native::rd_kafka_event_t>) -> Event<'a> {
    // SAFETY: the event is live and lends the list.
    unsafe {
        let assigns = native::rd_kafka_event_error(event.0)
            == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let list = native::rd_kafka_event_topic_partition_list(event.0);
        if !assigns || list.is_null() {
            return Event::Rebalance(None);
        }
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        let partition = |at| (*(*list).elems.add(at)).partition;
        Event::Rebalance(Some((0..count).map(partition).collect()))
    }
}

fn log(event: &Guard<native::rd_kafka_event_t>, context: &impl ClientContext) {
    let (mut facility, mut message, mut level) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: the event is live and lends both texts.
    let (facility, message) = unsafe {
        let (to, of) = (&raw mut facility, &raw mut message);
        if native::rd_kafka_event_log(event.0, to, of, &raw mut level) != 0 {
            return;
        }
        (text(facility), text(message))
    };
    context.log(level_of(level), facility.trim(), message.trim());
}

/// Syslog's numbers.
fn level_of(level: i32) -> RDKafkaLogLevel {
    match level {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by this function's own condition.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Where a partition ends, as the last answer to a fetch said, of open transactions too. Asks nobody.
pub fn last_known_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the consumer and the name live; both numbers are ours.
    let answer = unsafe {
        native::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (answer == NO_ERROR && high >= 0).then_some(high)
}
