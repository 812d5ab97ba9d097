//! What the live view shows: the same lines as the terminal, none left out, and the numbers of this moment.
//!
//! The show writes, the page's server reads. Bounded: the page is behind by at most so many lines.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};

/// At some ten lines a second: the page asks twice a second.
const LINES_MAX: usize = 80;

/// Whose keys are pointed out: more browsers than one person opens.
const VISITORS_MAX: usize = 24;

pub struct Live {
    started: Instant,
    is_open: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    told: u64,
    lines: VecDeque<Value>,
    numbers: Value,
    /// Subjects of browsers, the latest last.
    visitors: VecDeque<String>,
    seen: Option<Instant>,
}

impl Live {
    pub fn new(started: Instant) -> Self {
        Self { started, is_open: AtomicBool::new(false), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more line; `kind` is its color.
    pub fn tell(&self, kind: &str, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut kept = self.kept();
        kept.told += 1;
        let line = json!({"number": kept.told, "seconds": seconds, "kind": kind, "text": text});
        kept.lines.push_front(line);
        kept.lines.truncate(LINES_MAX);
    }

    /// From now on the shop lets visitors in.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Takes the place of the numbers before.
    pub fn show(&self, numbers: Value) {
        self.kept().numbers = numbers;
    }

    /// As the page wants it: the latest line first.
    pub fn json(&self) -> Value {
        let kept = self.kept();
        json!({"lines": kept.lines, "numbers": kept.numbers})
    }

    /// A browser speaks of this subject.
    pub fn visited(&self, subject: &str) {
        let mut kept = self.kept();
        kept.visitors.retain(|known| known != subject);
        kept.visitors.push_back(subject.to_owned());
        if kept.visitors.len() > VISITORS_MAX {
            kept.visitors.pop_front();
        }
    }

    pub fn visitors(&self) -> BTreeSet<String> {
        self.kept().visitors.iter().cloned().collect()
    }

    /// Somebody looks at a page.
    pub fn seen(&self) {
        self.kept().seen = Some(SystemClock.instant());
    }

    /// When somebody did last.
    pub fn last_seen(&self) -> Option<Instant> {
        self.kept().seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_visitors_are_bounded_and_the_latest_stay() {
        let live = Live::new(SystemClock.instant());
        for number in 0..200 {
            live.tell("story", &format!("line {number}"));
            live.visited(&format!("family-{}", number % 50));
        }
        let told = live.json();
        let lines = told["lines"].as_array().unwrap();
        assert_eq!((lines.len(), &lines[0]["number"]), (LINES_MAX, &json!(200)));
        assert_eq!(lines[0]["text"], "line 199");
        let visitors = live.visitors();
        assert_eq!(visitors.len(), VISITORS_MAX);
        assert!(visitors.contains("family-49") && !visitors.contains("family-25"));
    }
}
