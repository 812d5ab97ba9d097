//! How far the declared readers of each purpose are behind (docs/operating.md#readers): by the offsets that
//! their groups commit, and by what lies behind them in the purpose's topic.
//!
//! One instance of the group tells it, the one that owns partition 0, so that nobody is asked twice; the
//! others stand at 0. Where nobody answers, what was known last grows old: silence is not taken for a reader
//! that has caught up.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::shared::Shared;
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::readers::{Found, Range, committed_by, look};
use crate::pace;
use assent_contract::domain::time::{Span, Timestamp};

const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How often it is looked whether the service stops.
const NAP: Duration = Duration::from_millis(200);

const ASKED_FOR: Duration = Duration::from_secs(5);

/// Records of one partition that are looked at for one reader at a time: some hundred milliseconds.
const RECORDS_MAX: usize = 20_000;

/// Whose partition 0 it is tells.
const TELLER: i32 = 0;

/// Looks until the service stops.
pub fn run(shared: &Shared) {
    let mut readers = declared(shared);
    let probe = loop {
        match Probe::with(&shared.config, "readers", Isolation::Committed) {
            Ok(probe) => break probe,
            Err(error) => tracing::warn!(%error, "can't create a client for the readers' lag"),
        }
        if !nap(shared) {
            return;
        }
    };
    loop {
        let tells = shared.status.owns(TELLER);
        for reader in &mut readers {
            if tells {
                reader.look(shared, &probe);
            } else {
                reader.rest(shared);
            }
        }
        if !nap(shared) {
            return;
        }
    }
}

fn declared(shared: &Shared) -> Vec<Watched> {
    let setup = shared.setup();
    let of = |purpose: &assent_contract::rulebook::Purpose| -> Vec<Watched> {
        let topic = shared.config.topics.segments_of(&purpose.id);
        let watched = |reader: &assent_contract::rulebook::Reader| Watched {
            purpose: purpose.id.clone(),
            id: reader.id.clone(),
            group: reader.group_id.clone(),
            topic: topic.clone(),
            progress: BTreeMap::new(),
            known: None,
        };
        purpose.readers.iter().map(watched).collect()
    };
    setup.rulebook.purposes.iter().flat_map(of).collect()
}

/// False: the service stops.
fn nap(shared: &Shared) -> bool {
    let mut left = LOOK_EVERY;
    while !left.is_zero() {
        if shared.is_stopping() {
            return false;
        }
        std::thread::sleep(NAP);
        left = left.saturating_sub(NAP);
    }
    true
}

/// A declared reader.
struct Watched {
    purpose: String,
    id: String,
    group: String,
    topic: String,
    /// By partition of the topic.
    progress: BTreeMap<i32, Progress>,
    /// What was told last, while this instance tells.
    known: Option<Known>,
}

impl Watched {
    fn look(&mut self, shared: &Shared, probe: &Probe) {
        let now = shared.clock.now();
        let known = *self.known.get_or_insert(Known::at(now));
        match self.ask(shared, probe) {
            Ok(()) => self.known = Some(Known::of(self.progress.values(), now)),
            Err(error) => {
                probe.renew();
                if let Some(repeated) = pace::may_say("readers") {
                    tracing::warn!(
                        purpose = self.purpose,
                        reader = self.id,
                        group = self.group,
                        %error,
                        repeated,
                        "can't tell how far a reader is; check that the brokers run, and that this \
                         user has the grants that `assent check --print-acls` prints"
                    );
                }
                self.known = Some(known.unanswered());
            }
        }
        let told = self.known.unwrap_or(known);
        self.tell(shared, told.lag(now), told.oldest_tombstone(now));
    }

    /// Another instance tells.
    fn rest(&mut self, shared: &Shared) {
        if self.known.take().is_some() {
            self.progress.clear();
            self.tell(shared, Span(0), Span(0));
        }
    }

    fn tell(&self, shared: &Shared, lag: Span, oldest_tombstone: Span) {
        let labels = [self.purpose.as_str(), self.id.as_str()];
        let seconds = |span: Span| span.0.max(0) as f64 / 1_000.0;
        let metrics = &shared.metrics;
        metrics.reader_lag_seconds.with_label_values(&labels).set(seconds(lag));
        metrics
            .reader_oldest_unread_tombstone_seconds
            .with_label_values(&labels)
            .set(seconds(oldest_tombstone));
    }

    fn ask(&mut self, shared: &Shared, probe: &Probe) -> KafkaResult<()> {
        let (config, topic) = (&shared.config, &self.topic);
        let partitions = shared.counts.segments.get(&self.purpose).copied().unwrap_or_default();
        let all: Vec<i32> = (0..partitions).collect();
        let committed = committed_by(config, &self.group, topic, partitions, ASKED_FOR)?;
        let starts = probe.starts(topic, &all, ASKED_FOR)?;
        let ends = probe.ends(topic, &all, ASKED_FOR)?;
        for partition in all {
            let start = starts.get(&partition).copied().unwrap_or_default();
            // Who has committed nothing has read nothing.
            let at = committed.get(&partition).copied().unwrap_or(start).max(start);
            let end = ends.get(&partition).copied().unwrap_or(at);
            let progress = self.progress.entry(partition).or_insert(Progress::at(at));
            progress.move_to(at, end);
            if let Some((from, to)) = progress.unseen() {
                let range = Range { partition, from, to };
                progress.take(look(config, topic, range, RECORDS_MAX, ASKED_FOR)?);
            }
            if shared.is_stopping() {
                break;
            }
        }
        Ok(())
    }
}

/// What is known of a partition behind a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    /// What the reader has committed.
    at: i64,
    end: i64,
    found: Found,
}

impl Progress {
    fn at(at: i64) -> Self {
        Self { at, end: at, found: Found { looked_to: at, ..Found::default() } }
    }

    /// A reader that has moved is looked at anew.
    fn move_to(&mut self, at: i64, end: i64) {
        if at != self.at {
            *self = Self::at(at);
        }
        self.end = end;
    }

    /// What is still to be looked at: the first tombstone is the oldest.
    fn unseen(&self) -> Option<(i64, i64)> {
        let Found { looked_to, tombstone, .. } = self.found;
        (tombstone.is_none() && looked_to < self.end).then_some((looked_to, self.end))
    }

    fn take(&mut self, found: Found) {
        self.found = Found {
            first: self.found.first.or(found.first),
            last: found.last.or(self.found.last),
            ..found
        };
    }

    /// Since when a tombstone is unread. One that may lie in what was not looked at yet is as old as what
    /// was looked at last, at most.
    fn tombstone_since(&self) -> Option<Timestamp> {
        let Found { tombstone, last, .. } = self.found;
        tombstone.map(|(_, at)| at).or(last.filter(|_| self.unseen().is_some()))
    }
}

/// What can be told of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// When its group and the topic answered last.
    answered_at: Timestamp,
    /// They did not, at the last look.
    is_unanswered: bool,
    unread_since: Option<Timestamp>,
    tombstone_since: Option<Timestamp>,
}

impl Known {
    fn at(now: Timestamp) -> Self {
        let (unread_since, tombstone_since) = (None, None);
        Self { answered_at: now, is_unanswered: false, unread_since, tombstone_since }
    }

    fn of<'p>(progress: impl Iterator<Item = &'p Progress> + Clone, now: Timestamp) -> Self {
        Self {
            unread_since: progress.clone().filter_map(|it| it.found.first).min(),
            tombstone_since: progress.filter_map(Progress::tombstone_since).min(),
            ..Self::at(now)
        }
    }

    fn unanswered(self) -> Self {
        Self { is_unanswered: true, ..self }
    }

    fn lag(self, now: Timestamp) -> Span {
        self.age(self.unread_since, now)
    }

    fn oldest_tombstone(self, now: Timestamp) -> Span {
        self.age(self.tombstone_since, now)
    }

    /// What has come since the last answer may be unread.
    fn age(self, since: Option<Timestamp>, now: Timestamp) -> Span {
        let since = since.or(self.is_unanswered.then_some(self.answered_at));
        since.map_or(Span(0), |since| now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100_000);

    fn found(first: i64, tombstone: Option<(i64, i64)>, looked_to: i64, last: i64) -> Found {
        Found {
            first: Some(Timestamp(first)),
            tombstone: tombstone.map(|(offset, at)| (offset, Timestamp(at))),
            looked_to,
            last: Some(Timestamp(last)),
        }
    }

    fn told(progress: &[Progress]) -> (i64, i64) {
        let known = Known::of(progress.iter(), NOW);
        (known.lag(NOW).0, known.oldest_tombstone(NOW).0)
    }

    #[test]
    fn the_oldest_of_all_partitions_counts_and_who_has_read_all_is_at_0() {
        let mut read = Progress::at(9);
        read.move_to(9, 9);
        assert_eq!((read.unseen(), told(&[read])), (None, (0, 0)));
        let mut behind = Progress::at(3);
        behind.move_to(3, 9);
        assert_eq!(behind.unseen(), Some((3, 9)));
        behind.take(found(60_000, Some((5, 70_000)), 5, 70_000));
        assert_eq!((behind.unseen(), told(&[read, behind])), (None, (40_000, 30_000)));
        let mut further = Progress::at(1);
        further.move_to(1, 4);
        further.take(found(90_000, Some((2, 95_000)), 2, 95_000));
        assert_eq!(told(&[further, behind]), (40_000, 30_000));
    }

    #[test]
    fn control_records_behind_a_reader_are_nothing_unread() {
        let mut progress = Progress::at(5);
        progress.move_to(5, 6);
        progress.take(Found { looked_to: 6, ..Found::default() });
        assert_eq!((progress.unseen(), told(&[progress])), (None, (0, 0)));
    }

    #[test]
    fn a_tombstone_may_lie_in_what_was_not_looked_at() {
        let mut progress = Progress::at(0);
        progress.move_to(0, 50_000);
        progress.take(found(10_000, None, 20_000, 40_000));
        assert_eq!(progress.unseen(), Some((20_000, 50_000)));
        assert_eq!(told(&[progress]), (90_000, 60_000));
        progress.take(found(41_000, None, 50_000, 80_000));
        assert_eq!(told(&[progress]), (90_000, 0), "there was none");
        progress.move_to(7, 50_000);
        assert_eq!(progress.unseen(), Some((7, 50_000)), "it has moved");
    }

    #[test]
    fn who_does_not_answer_is_not_taken_for_current() {
        let later = NOW + Span(30_000);
        let current = Known::at(NOW);
        assert_eq!((current.lag(later), current.unanswered().lag(later)), (Span(0), Span(30_000)));
        assert_eq!(current.unanswered().oldest_tombstone(later), Span(30_000));
        let mut behind = Progress::at(0);
        behind.move_to(0, 2);
        behind.take(found(60_000, Some((1, 70_000)), 1, 70_000));
        let known = Known::of([behind].iter(), NOW).unanswered();
        assert_eq!((known.lag(later), known.oldest_tombstone(later)), (Span(70_000), Span(60_000)));
    }
}
