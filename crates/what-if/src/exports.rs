//! What the page calls. Nothing is unsafe here but the names: a symbol that another one has too would be undefined
//! behavior, and the page's module has no other.

#![allow(unsafe_code)]

use std::cell::RefCell;

use crate::{REQUEST_BYTES_MAX, answer};

thread_local! {
    /// The request, then the answer to it. A page has one thread.
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for a request of this many bytes, and says where it begins; null where that is too many.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    if length > REQUEST_BYTES_MAX {
        return std::ptr::null_mut();
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        text.resize(length, 0);
        text.as_mut_ptr()
    })
}

/// Puts the answer where the request was. Returns its length.
#[unsafe(no_mangle)]
pub extern "C" fn reply() -> usize {
    TEXT.with_borrow_mut(|text| {
        *text = answer(text).into_bytes();
        text.len()
    })
}

/// Where the answer begins.
#[unsafe(no_mangle)]
pub extern "C" fn place() -> *const u8 {
    TEXT.with_borrow(Vec::as_ptr)
}
