//! The ids that a cluster gives its topics: one that was deleted and made anew under its old name has
//! another, however many records it holds by now.
//!
//! Unsafe code: librdkafka knows DescribeTopics, rust-rdkafka 0.39 does not pass it on. Every pointer that is taken has a guard that gives it back; none leaves this file.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::engine::loss::TopicId;

/// Gives a native object back to librdkafka.
pub(super) struct Guard<T>(pub *mut T, pub unsafe extern "C" fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from the constructor that this destructor belongs to, and is
            // given back once.
            unsafe { (self.1)(self.0) }
        }
    }
}

/// The id of each topic that there is. 0: the broker has none (before Kafka 2.8).
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, TopicId>> {
    let event = describe(client, topics, timeout)?;
    if event.0.is_null() {
        return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT));
    }
    // SAFETY: the event is live until its guard drops, and so is all that it lends.
    unsafe {
        let error = native::rd_kafka_event_error(event.0);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(error));
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let described = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        (0..count).filter_map(|at| read(*described.add(at)).transpose()).collect()
    }
}

/// Asks, and waits for the answer; null: there was none in time.
fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<Guard<native::rd_kafka_event_t>> {
    let names: Vec<CString> =
        topics.iter().map(|name| CString::new(*name)).collect::<Result<_, _>>()?;
    let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let wait = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();
    // SAFETY: `handle` lives as long as `client`; the names outlive the collection, which copies
    // them; options, collection and queue are live until their guards drop, after the answer.
    unsafe {
        let queue = Guard(native::rd_kafka_queue_new(handle), native::rd_kafka_queue_destroy);
        let options = Guard(
            native::rd_kafka_AdminOptions_new(
                handle,
                native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ),
            native::rd_kafka_AdminOptions_destroy,
        );
        let mut why = [0; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            wait,
            why.as_mut_ptr(),
            why.len(),
        );
        let collection = Guard(
            native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            native::rd_kafka_TopicCollection_destroy,
        );
        native::rd_kafka_DescribeTopics(handle, collection.0, options.0, queue.0);
        let event = native::rd_kafka_queue_poll(queue.0, wait);
        Ok(Guard(event, native::rd_kafka_event_destroy))
    }
}

/// A topic's name and id; `None`: there is no such topic.
///
/// # Safety
/// `topic` is lent by an event that is live.
unsafe fn read(
    topic: *const native::rd_kafka_TopicDescription_t,
) -> KafkaResult<Option<(String, TopicId)>> {
    // SAFETY: by this function's own condition.
    unsafe {
        match native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(topic)) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => return Ok(None),
            error => return Err(failed(error)),
        }
        let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic));
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        let bits = |half: i64| u128::from(half as u64);
        let id = bits(native::rd_kafka_Uuid_most_significant_bits(id)) << 64
            | bits(native::rd_kafka_Uuid_least_significant_bits(id));
        Ok(Some((name.to_string_lossy().into_owned(), id)))
    }
}

pub(super) fn failed(error: RDKafkaRespErr) -> KafkaError {
    KafkaError::AdminOp(RDKafkaErrorCode::from(error))
}
