//! A client that several threads may hold. Whoever lets go of it last never waits: it is closed on a thread
//! of its own.
//!
//! Closing a client of librdkafka waits for its threads and for what they wait for: a name server, a broker
//! that is gone, a rebalance that nobody answers.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::calls::{Call, count_back, count_left_behind};
use crate::clock::{Clock, SystemClock};

/// A close that takes longer counts as left behind. A sound one takes a few milliseconds, with a producer
/// half a second more for what it had under way.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

const LOOK: Duration = Duration::from_millis(5);

pub struct Handle<C: Send + Sync + 'static>(Arc<Held<C>>);

impl<C: Send + Sync + 'static> Handle<C> {
    pub fn new(client: C) -> Self {
        Self(Arc::new(Held(Some(client))))
    }
}

impl<C: Send + Sync + 'static> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Send + Sync + 'static> Deref for Handle<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.0.as_ref().expect("held until the last handle is dropped")
    }
}

/// `None` only while it is dropped.
struct Held<C: Send + 'static>(Option<C>);

impl<C: Send + 'static> Drop for Held<C> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            close(client);
        }
    }
}

/// Where no thread can be had, the client stays as it is, and counts as left behind.
fn close<C: Send + 'static>(client: C) {
    let place = closing().begin(SystemClock.instant());
    let client = ManuallyDrop::new(client);
    let started = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        drop(ManuallyDrop::into_inner(client));
        closing().end(place);
    });
    if let Err(error) = started {
        tracing::error!(%error, "can't start a thread to close a client");
    }
}

/// Clients that are being closed.
#[derive(Default)]
struct Closing {
    next: u64,
    /// Since when, and whether it counts as left behind.
    open: BTreeMap<u64, (Instant, bool)>,
}

static CLOSING: Mutex<Closing> = Mutex::new(Closing { next: 0, open: BTreeMap::new() });

fn closing() -> MutexGuard<'static, Closing> {
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Closing {
    fn begin(&mut self, now: Instant) -> u64 {
        self.next += 1;
        self.open.insert(self.next, (now, false));
        self.next
    }

    fn end(&mut self, place: u64) {
        if let Some((_, true)) = self.open.remove(&place) {
            count_back();
        }
    }
}

/// Counts what takes too long to close as left behind.
pub fn look_at_closing() {
    let now = SystemClock.instant();
    for (since, is_counted) in closing().open.values_mut() {
        if !*is_counted && now.saturating_duration_since(*since) > CLOSED_WITHIN {
            *is_counted = true;
            count_left_behind(Call::Close);
            tracing::warn!("a Kafka client does not close; abandoning it");
        }
    }
}

/// Waits until everything that was let go of is closed, but no longer than this.
pub fn await_closed(within: Duration) {
    let deadline = SystemClock.instant() + within;
    while !closing().open.is_empty() && SystemClock.instant() < deadline {
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;
    use crate::kafka::calls::left_behind;

    /// Its close waits for a word.
    struct Client(Mutex<Receiver<()>>);

    impl Drop for Client {
        fn drop(&mut self) {
            let _ = self.0.lock().unwrap().recv();
        }
    }

    #[test]
    fn whoever_lets_go_of_a_client_does_not_wait_for_its_end() {
        let (word, waits) = mpsc::channel();
        let first = Handle::new(Client(Mutex::new(waits)));
        let second = first.clone();
        drop(first);
        let place = closing().next;
        drop(second);
        let mine = place + 1;
        assert!(closing().open.contains_key(&mine), "it is being closed");
        let before = left_behind(Call::Close);
        closing().open.get_mut(&mine).unwrap().0 -= CLOSED_WITHIN + Duration::from_secs(1);
        look_at_closing();
        assert_eq!(left_behind(Call::Close), before + 1);
        word.send(()).unwrap();
        await_closed(Duration::from_secs(10));
        assert!(!closing().open.contains_key(&mine));
    }
}
