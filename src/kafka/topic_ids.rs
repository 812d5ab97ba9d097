//! The ids that a cluster gives its topics: one that was deleted and made anew under its old name has
//! another, however many records it holds by now.
//!
//! Unsafe code: librdkafka knows DescribeTopics, rust-rdkafka 0.39 does not pass it on.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;

use super::native::{Guard, ask, failed};
use assent_core::engine::loss::TopicId;

/// The id of each topic that there is. 0: the broker has none (before Kafka 2.8).
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, TopicId>> {
    let names: Vec<CString> =
        topics.iter().map(|name| CString::new(*name)).collect::<Result<_, _>>()?;
    let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names outlive the call, which copies them.
    let asked =
        unsafe { native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
    let asked = Guard(asked, native::rd_kafka_TopicCollection_destroy);
    let what = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let answer = ask(client, what, timeout, &|handle, options, queue| {
        // SAFETY: all four are live until the answer is there.
        unsafe { native::rd_kafka_DescribeTopics(handle, asked.0, options, queue) }
    })?;
    // SAFETY: the answer is live until its guard drops, and so is all that it lends.
    unsafe {
        let result = native::rd_kafka_event_DescribeTopics_result(answer.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let described = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        (0..count).filter_map(|at| read(*described.add(at)).transpose()).collect()
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
