//! The end of a run: asked for from outside, or by a thread that can't go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

#[derive(Default)]
pub struct Stop {
    is_asked: AtomicBool,
    /// Why a thread ends the run.
    failure: Mutex<Option<Failure>>,
}

impl Stop {
    pub fn ask(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }

    /// Ends the run with this failure, unless another came first. It is printed once, at the end, by
    /// who prints every failure.
    pub fn ask_for(&self, failure: Failure) {
        tracing::warn!("can't continue: stopping with a message");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.ask();
    }

    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// What ends the run, if nobody asked for it.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Held by each thread of a run: whatever ends one ends all, a panic too.
pub struct StopAll {
    thread: &'static str,
    stop: Arc<Stop>,
}

impl StopAll {
    pub fn when_ends(thread: &'static str, stop: &Arc<Stop>) -> Self {
        Self { thread, stop: Arc::clone(stop) }
    }
}

impl Drop for StopAll {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.ask_for(panicked(self.thread));
        }
        self.stop.ask();
    }
}

/// A thread of a run is no more.
pub fn panicked(thread: &str) -> Failure {
    Failure::failed(format!(
        "the thread {thread} panicked; this is a defect of assent; look at the log"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(work: impl FnOnce() + Send + 'static) -> Arc<Stop> {
        let stop = Arc::new(Stop::default());
        let guard = StopAll::when_ends("watch", &stop);
        let thread = std::thread::spawn(move || {
            let _guard = guard;
            work();
        });
        let _ = thread.join();
        stop
    }

    #[test]
    fn a_threads_panic_ends_the_run_and_is_its_failure() {
        let stop = ended(|| panic!("on purpose"));
        assert!(stop.is_asked());
        assert_eq!(stop.failure(), Some(panicked("watch")));
    }

    #[test]
    fn a_threads_end_ends_the_run() {
        let stop = ended(|| {});
        assert!(stop.is_asked());
        assert_eq!(stop.failure(), None);
    }
}
