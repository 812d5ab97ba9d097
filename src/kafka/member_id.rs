//! What the group calls a member.
//!
//! Unsafe code: librdkafka knows it, rust-rdkafka 0.39 does not pass it on.

#![allow(unsafe_code)]

use std::ffi::CStr;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};

/// `None`: it is no member, or has no name yet.
pub fn member_id<C: ClientContext>(client: &Client<C>) -> Option<String> {
    let handle = client.native_ptr();
    // SAFETY: `handle` lives as long as `client`; the text is ours until it is given back, once.
    let id = unsafe {
        let text = native::rd_kafka_memberid(handle);
        if text.is_null() {
            return None;
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        native::rd_kafka_mem_free(handle, text.cast());
        id
    };
    (!id.is_empty()).then_some(id)
}
