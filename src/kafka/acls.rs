//! The ACLs of topics, as the cluster's own authorizer has them.
//!
//! Unsafe code: librdkafka knows DescribeAcls, rust-rdkafka 0.39 does not pass it on.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;

use super::topic_ids::{Guard, failed};

/// A rule that lets a principal read a topic, or forbids it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    pub principal: String,
    /// A name, the beginning of names, or `*`.
    pub topic: String,
    pub is_prefix: bool,
    pub operation: Operation,
    pub is_denial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    All,
    Read,
    Write,
    Other,
}

/// All that there are. None: there are none, or no authorizer, or this user may not ask; librdkafka 2.12.1
/// drops the error that the broker answers with.
pub fn topic_acls<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> KafkaResult<Vec<Acl>> {
    let event = describe(client, timeout);
    if event.0.is_null() {
        return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT));
    }
    // SAFETY: the event is live until its guard drops, and so is all that it lends.
    unsafe {
        let error = native::rd_kafka_event_error(event.0);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(error));
        }
        let result = native::rd_kafka_event_DescribeAcls_result(event.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let acls = native::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
        Ok((0..count).map(|at| read(*acls.add(at))).collect())
    }
}

/// Asks, and waits for the answer; null: there was none in time.
fn describe<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Guard<native::rd_kafka_event_t> {
    let wait = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: `handle` lives as long as `client`; a null name, principal or host stands for any; filter,
    // options and queue are live until their guards drop, after the answer.
    unsafe {
        let queue = Guard(native::rd_kafka_queue_new(handle), native::rd_kafka_queue_destroy);
        let options = Guard(
            native::rd_kafka_AdminOptions_new(
                handle,
                native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS,
            ),
            native::rd_kafka_AdminOptions_destroy,
        );
        native::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            wait,
            why.as_mut_ptr(),
            why.len(),
        );
        let filter = Guard(
            native::rd_kafka_AclBindingFilter_new(
                native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                ptr::null(),
                native::rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_ANY,
                ptr::null(),
                ptr::null(),
                native::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ANY,
                native::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ANY,
                why.as_mut_ptr(),
                why.len(),
            ),
            native::rd_kafka_AclBinding_destroy,
        );
        if filter.0.is_null() {
            return Guard(ptr::null_mut(), native::rd_kafka_event_destroy);
        }
        native::rd_kafka_DescribeAcls(handle, filter.0, options.0, queue.0);
        let event = native::rd_kafka_queue_poll(queue.0, wait);
        Guard(event, native::rd_kafka_event_destroy)
    }
}

/// # Safety
/// `acl` is lent by an event that is live.
unsafe fn read(acl: *const native::rd_kafka_AclBinding_t) -> Acl {
    use native::rd_kafka_AclOperation_t as Code;
    use native::rd_kafka_AclPermissionType_t as Permission;
    use native::rd_kafka_ResourcePatternType_t as Pattern;
    // SAFETY: by this function's own condition; a name or principal is null or ends with a zero.
    unsafe {
        let text = |pointer: *const c_char| {
            if pointer.is_null() {
                String::new()
            } else {
                CStr::from_ptr(pointer).to_string_lossy().into_owned()
            }
        };
        let operation = match native::rd_kafka_AclBinding_operation(acl) {
            Code::RD_KAFKA_ACL_OPERATION_ALL => Operation::All,
            Code::RD_KAFKA_ACL_OPERATION_READ => Operation::Read,
            Code::RD_KAFKA_ACL_OPERATION_WRITE => Operation::Write,
            _ => Operation::Other,
        };
        Acl {
            principal: text(native::rd_kafka_AclBinding_principal(acl)),
            topic: text(native::rd_kafka_AclBinding_name(acl)),
            is_prefix: native::rd_kafka_AclBinding_resource_pattern_type(acl)
                == Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
            operation,
            is_denial: native::rd_kafka_AclBinding_permission_type(acl)
                == Permission::RD_KAFKA_ACL_PERMISSION_TYPE_DENY,
        }
    }
}
