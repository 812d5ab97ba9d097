//! What the brokers let this very user do with topics and with a group (KIP-430).
//!
//! Unsafe code: librdkafka knows it, rust-rdkafka 0.39 does not pass it on. A broker without an authorizer says
//! that everything is allowed; one that does not say leaves it unknown. Nobody can be asked about transactional
//! ids.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;

use super::native::{Guard, ask, failed};
use super::rights::{Right, Rights};

/// By topic. Absent: there is none of that name, or nobody says.
pub fn topic_rights<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, Rights>> {
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
        unsafe {
            with_rights(options);
            native::rd_kafka_DescribeTopics(handle, asked.0, options, queue);
        }
    })?;
    // SAFETY: the answer is live until its guard drops, and so is all that it lends; each name is a C string.
    unsafe {
        let result = native::rd_kafka_event_DescribeTopics_result(answer.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let described = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let topics = (0..count).map(|at| *described.add(at)).filter_map(|topic| {
            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic));
            let error = native::rd_kafka_TopicDescription_error(topic);
            let mut count = 0;
            let listed =
                native::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
            let rights = judged(native::rd_kafka_error_code(error), || operations(listed, count));
            Some((name.to_string_lossy().into_owned(), rights?))
        });
        Ok(topics.collect())
    }
}

/// `None`: nobody says.
pub fn group_rights<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> KafkaResult<Option<Rights>> {
    let name = CString::new(group)?;
    let what = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let answer = ask(client, what, timeout, &|handle, options, queue| {
        let mut names = [name.as_ptr()];
        // SAFETY: all are live until the answer is there, but the names, which are copied.
        unsafe {
            with_rights(options);
            native::rd_kafka_DescribeConsumerGroups(
                handle,
                names.as_mut_ptr(),
                names.len(),
                options,
                queue,
            );
        }
    })?;
    // SAFETY: the answer is live until its guard drops, and so is all that it lends.
    unsafe {
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(answer.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let groups = native::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Ok(None);
        }
        let error = native::rd_kafka_ConsumerGroupDescription_error(*groups);
        let mut count = 0;
        let listed = native::rd_kafka_ConsumerGroupDescription_authorized_operations(
            *groups,
            &raw mut count,
        );
        Ok(judged(native::rd_kafka_error_code(error), || operations(listed, count)))
    }
}

/// # Safety
/// `options` are live.
unsafe fn with_rights(options: *const native::rd_kafka_AdminOptions_t) {
    // SAFETY: by this function's own condition; an error that comes back is ours.
    unsafe {
        let refused =
            native::rd_kafka_AdminOptions_set_include_authorized_operations(options.cast_mut(), 1);
        drop(Guard(refused, native::rd_kafka_error_destroy));
    }
}

/// Whoever may not even describe a thing may do nothing with it.
fn judged(error: RDKafkaRespErr, listed: impl FnOnce() -> Option<Rights>) -> Option<Rights> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => listed(),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
        | RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => Some(Rights::new()),
        _ => None,
    }
}

/// # Safety
/// `listed` is null, or so many operations lie there.
unsafe fn operations(
    listed: *const native::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<Rights> {
    use native::rd_kafka_AclOperation_t as Operation;
    if listed.is_null() {
        return None;
    }
    // SAFETY: by this function's own condition.
    let listed = unsafe { slice::from_raw_parts(listed, count) };
    let right = |operation: &Operation| match operation {
        Operation::RD_KAFKA_ACL_OPERATION_READ => Some(Right::Read),
        Operation::RD_KAFKA_ACL_OPERATION_WRITE => Some(Right::Write),
        Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Right::Describe),
        Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Right::DescribeConfigs),
        Operation::RD_KAFKA_ACL_OPERATION_CREATE => Some(Right::Create),
        _ => None,
    };
    Some(listed.iter().filter_map(right).collect())
}
