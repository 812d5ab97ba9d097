//! Which subject a session was seen with, in the events that this instance took: an opt-out that names the
//! session is then the subject's. In memory alone, bounded, for a day; the identity map, where a session is
//! mapped, says more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock, SystemClock};

/// A visit is over by then.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Some 200 bytes each.
const KEPT_MAX: usize = 200_000;

#[derive(Default)]
struct Seen {
    subjects: HashMap<String, (String, Instant)>,
    /// In the order in which they were noted.
    order: VecDeque<(Instant, String)>,
}

#[derive(Default)]
pub struct Sessions(Mutex<Seen>);

impl Sessions {
    pub fn note(&self, session: &str, subject: &str) {
        self.note_at(session, subject, SystemClock.instant());
    }

    /// `None`: no subject was seen with it.
    pub fn subject_of(&self, session: &str) -> Option<String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.subjects.get(session).map(|(subject, _)| subject.clone())
    }

    fn note_at(&self, session: &str, subject: &str, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = seen.subjects.get(session).is_some_and(|(known, _)| known == subject);
        if !is_known {
            seen.subjects.insert(session.to_owned(), (subject.to_owned(), now));
            seen.order.push_back((now, session.to_owned()));
        }
        while let Some((at, oldest)) = seen.order.front() {
            let is_over = now.saturating_duration_since(*at) > KEPT_FOR;
            if !is_over && seen.order.len() <= KEPT_MAX {
                break;
            }
            let (at, oldest) = (*at, oldest.clone());
            seen.order.pop_front();
            // One that was noted again since is kept.
            if seen.subjects.get(&oldest).is_some_and(|(_, noted)| *noted == at) {
                seen.subjects.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_subjects_that_it_was_last_seen_with_for_a_day() {
        let (sessions, start) = (Sessions::default(), SystemClock.instant());
        sessions.note_at("visit", "one", start);
        sessions.note_at("visit", "two", start + Duration::from_secs(1));
        assert_eq!(sessions.subject_of("visit").as_deref(), Some("two"));
        sessions.note_at("other", "one", start + KEPT_FOR);
        assert_eq!(sessions.subject_of("visit").as_deref(), Some("two"));
        sessions.note_at("other", "three", start + KEPT_FOR + Duration::from_secs(2));
        assert_eq!(sessions.subject_of("visit"), None);
    }
}
