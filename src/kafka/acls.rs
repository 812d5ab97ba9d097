//! The ACLs of topics, as the cluster's own authorizer has them.
//!
//! Unsafe code: librdkafka knows DescribeAcls, rust-rdkafka 0.39 does not pass it on.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaRespErr;

use super::native::{Guard, ask, failed};

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
    let all = of_every_topic()?;
    let what = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBEACLS;
    let answer = ask(client, what, timeout, &|handle, options, queue| {
        // SAFETY: all four are live until the answer is there.
        unsafe { native::rd_kafka_DescribeAcls(handle, all.0, options, queue) }
    })?;
    // SAFETY: the answer is live until its guard drops, and so is all that it lends.
    unsafe {
        let result = native::rd_kafka_event_DescribeAcls_result(answer.0);
        if result.is_null() {
            return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL));
        }
        let mut count = 0;
        let acls = native::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
        Ok((0..count).map(|at| read(*acls.add(at))).collect())
    }
}

fn of_every_topic() -> KafkaResult<Guard<native::rd_kafka_AclBindingFilter_t>> {
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: a null name, principal or host stands for any; the text outlives the call.
    let filter = unsafe {
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
        )
    };
    if filter.is_null() {
        return Err(failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__INVALID_ARG));
    }
    Ok(Guard(filter, native::rd_kafka_AclBinding_destroy))
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
