//! Who works at the same time: tests with one broker beside one another, a cluster of three brokers alone.
//! Three brokers and what works on them are as much as two cores carry.

use std::cell::RefCell;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Default)]
struct Present {
    /// Tests that share the machine.
    sharing: usize,
    is_alone: bool,
}

static PRESENT: Mutex<Present> = Mutex::new(Present { sharing: 0, is_alone: false });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// Until the end of its test: libtest gives each a thread.
    static SHARE: RefCell<Option<Share>> = const { RefCell::new(None) };
}

/// The machine is shared with others.
struct Share;

impl Drop for Share {
    fn drop(&mut self) {
        change(|present| present.sharing -= 1);
    }
}

/// The machine is this test's.
pub(super) struct Turn(());

/// Waits while a cluster has the machine. Whoever has a share already has it.
pub(super) fn share() {
    SHARE.with_borrow_mut(|share| {
        share.get_or_insert_with(|| {
            wait_while(|present| present.is_alone, |present| present.sharing += 1);
            Share
        });
    });
}

impl Turn {
    /// Waits until nobody shares the machine any more. Nobody waits for whoever waits here: a test that has a
    /// share may ask for one again on another thread.
    pub(super) fn take() -> Self {
        drop(SHARE.take());
        wait_while(
            |present| present.is_alone || present.sharing > 0,
            |present| present.is_alone = true,
        );
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        change(|present| present.is_alone = false);
    }
}

fn wait_while(is_taken: impl Fn(&Present) -> bool, take: impl FnOnce(&mut Present)) {
    let present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
    let free = CHANGED.wait_while(present, |present| is_taken(present));
    take(&mut free.unwrap_or_else(PoisonError::into_inner));
}

fn change(how: impl FnOnce(&mut Present)) {
    how(&mut PRESENT.lock().unwrap_or_else(PoisonError::into_inner));
    CHANGED.notify_all();
}
