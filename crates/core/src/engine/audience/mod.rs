//! The minimum audience in one partition: how many subjects are in each segment of a purpose that has one,
//! how the segment stands, and how far the subjects are looked through since that changed.
//!
//! A standing is taken once a batch, at its beginning, of what was committed: this partition's own counts, and
//! those of the others as they were told. So the order of a batch's inputs changes nothing. Keeps INV-10 with
//! the audit, which states it ([`assent_contract::domain::audit::audiences`]). Must not know how the counts of
//! other partitions come here.

mod heard;
mod masks;
mod record;

use std::sync::Arc;

pub use heard::{Heard, Said};
pub use masks::{Mask, Masks};
pub use record::AudienceRecord;

use super::policy::Policy;
use super::token::StateToken;
use assent_contract::domain::audit::audiences::{self, Stated};
use assent_contract::domain::merge::NameId;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::audience::{Known, Standing};
use assent_contract::rulebook::{Rulebook, SegmentSet};

/// Subjects that one batch looks at for one whose segments opened or closed: at 0.3 µs each some 30 ms.
pub const SWEPT_PER_BATCH_MAX: usize = 100_000;

/// What a partition knows of its audiences. Empty where no purpose has a minimum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audiences {
    partition: i32,
    partitions: i32,
    tracked: Vec<Tracked>,
    /// From here on subjects were not looked at since a standing changed.
    pub sweep: Option<StateToken>,
    /// The audit says how they stand under this rulebook.
    is_stated: bool,
    /// An earlier rulebook's record is in the state, and this one has none.
    pub is_left_over: bool,
}

/// A segment of a purpose with a minimum audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tracked {
    /// Index into the rulebook's purposes.
    purpose: usize,
    name: NameId,
    /// Its place in the purpose's segments.
    bit: usize,
    least: u32,
    /// Of this partition.
    members: u64,
    standing: Standing,
}

impl Audiences {
    pub fn new(partition: i32, partitions: i32, rulebook: &Rulebook, declared: &[NameId]) -> Self {
        let mut tracked = Vec::new();
        for (index, (purpose, &name)) in rulebook.purposes.iter().zip(declared).enumerate() {
            let Some(least) = purpose.min_members else { continue };
            tracked.extend((0..purpose.segments.len()).map(|bit| Tracked {
                purpose: index,
                name,
                bit,
                least,
                members: 0,
                standing: Standing::Closed,
            }));
        }
        Self { partition, partitions, tracked, ..Self::default() }
    }

    /// No purpose has a minimum audience.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    /// Goes on from what the state says.
    pub fn resume(&mut self, record: Option<&AudienceRecord>, policy: &Policy, now: Timestamp) {
        let running = &policy.setup.rulebook;
        match record {
            Some(record) if record.said.rulebook == running.sha256 => {
                for (tracked, &standing) in self.tracked.iter_mut().zip(&record.standings) {
                    tracked.standing = standing;
                }
                (self.sweep, self.is_stated) = (record.sweep, record.is_stated);
            }
            _ => self.take_over(record, policy, now),
        }
        self.is_left_over = self.is_empty() && record.is_some();
    }

    /// Another rulebook: whom an unchanged segment has, it keeps until more is known.
    fn take_over(&mut self, record: Option<&AudienceRecord>, policy: &Policy, now: Timestamp) {
        let Some(Some(past)) = policy.past.last() else { return };
        let running = &policy.setup.rulebook;
        for tracked in &mut self.tracked {
            let new = &running.purposes[tracked.purpose];
            let Some(old) = past.purposes.iter().find(|purpose| purpose.id == new.id) else {
                continue;
            };
            let segment = &new.segments[tracked.bit];
            let same = old.segments.iter().find(|it| it.id == segment.id);
            let is_same = same.is_some_and(|same| same.rests_on_the_same(old, segment, new));
            let was_named = old.min_members.is_none()
                || record.is_some_and(|record| record.names(past, &new.id, &segment.id));
            if is_same && was_named {
                tracked.standing = Standing::Held { since: now };
            }
        }
        self.sweep = (!self.is_empty()).then_some(0);
    }

    /// A subject counts, by 1, or no longer, by -1.
    pub fn count(&mut self, qualified: &[(NameId, SegmentSet)], by: i64) {
        for &(name, segments) in qualified {
            let of_it = self.tracked.iter_mut().filter(|tracked| tracked.name == name);
            for tracked in of_it.filter(|tracked| segments >> tracked.bit & 1 == 1) {
                tracked.members = tracked.members.saturating_add_signed(by);
            }
        }
    }

    /// This partition's counts, in the order of the rulebook.
    pub fn counts(&self) -> Vec<u64> {
        self.tracked.iter().map(|tracked| tracked.members).collect()
    }

    /// How the segments stand at `now`. What the audit is to state, where that is news.
    pub fn advance(
        &mut self,
        heard: Option<&Heard>,
        rulebook: &Rulebook,
        now: Timestamp,
    ) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let known = self.known(heard, rulebook, now);
        let mut is_news = !self.is_stated;
        for (tracked, known) in self.tracked.iter_mut().zip(&known) {
            let next = tracked.standing.next(*known, tracked.least, now);
            is_news |= next != tracked.standing;
            tracked.standing = next;
        }
        if !is_news {
            return None;
        }
        (self.sweep, self.is_stated) = (Some(0), true);
        Some(self.statement(&known, rulebook))
    }

    /// When a batch is due for them: `last` is the clock of the last one.
    pub fn due(&self, heard: Option<&Heard>, rulebook: &Rulebook, last: Timestamp) -> Timestamp {
        if self.is_empty() {
            return Timestamp::MAX;
        }
        if !self.is_stated || self.sweep.is_some() {
            return last;
        }
        let at = heard.map_or(last, |heard| last.max(heard.as_of));
        if self.would_change(heard, rulebook, at) {
            return at;
        }
        let stale_at = heard
            .map(Heard::ends_at)
            .filter(|&end| end > at && self.would_change(heard, rulebook, end));
        let ends = self.tracked.iter().filter_map(|tracked| tracked.standing.closes_at());
        ends.chain(stale_at).min().unwrap_or(Timestamp::MAX)
    }

    fn would_change(&self, heard: Option<&Heard>, rulebook: &Rulebook, at: Timestamp) -> bool {
        let known = self.known(heard, rulebook, at);
        let mut each = self.tracked.iter().zip(&known);
        each.any(|(tracked, known)| {
            tracked.standing.next(*known, tracked.least, at) != tracked.standing
        })
    }

    /// Who may be named, by the rulebook's purposes.
    pub fn masks(&self, rulebook: &Rulebook) -> Masks {
        if self.is_empty() {
            return Masks::default();
        }
        let mut masks = Masks::none(rulebook);
        for tracked in &self.tracked {
            masks.put(tracked.purpose, tracked.bit, tracked.standing);
        }
        masks
    }

    /// What the state topic gets: read by the other partitions' owners, too.
    pub fn record(&self, rulebook: &Rulebook, now: Timestamp) -> AudienceRecord {
        AudienceRecord {
            said: Said { rulebook: rulebook.sha256, at: now, counts: self.counts() },
            standings: self.tracked.iter().map(|tracked| tracked.standing).collect(),
            sweep: self.sweep,
            is_stated: self.is_stated,
        }
    }

    /// Of all partitions, as far as that is known.
    fn known(&self, heard: Option<&Heard>, rulebook: &Rulebook, now: Timestamp) -> Vec<Known> {
        let mut known: Vec<Known> = self
            .tracked
            .iter()
            .map(|tracked| Known { members: tracked.members, is_complete: true })
            .collect();
        for partition in (0..self.partitions).filter(|it| *it != self.partition) {
            let said = heard.and_then(|heard| heard.of(partition, rulebook, now));
            for (place, known) in known.iter_mut().enumerate() {
                match said.and_then(|said| said.counts.get(place)) {
                    Some(count) => known.members = known.members.saturating_add(*count),
                    None => known.is_complete = false,
                }
            }
        }
        known
    }

    fn statement(&self, known: &[Known], rulebook: &Rulebook) -> String {
        let stated = self.tracked.iter().zip(known).filter_map(|(tracked, known)| {
            let purpose = &rulebook.purposes[tracked.purpose];
            Some(audiences::Audience {
                purpose: &purpose.id,
                segment: &purpose.segments[tracked.bit].id,
                stated: match tracked.standing {
                    Standing::Closed => return None,
                    Standing::Held { .. } => Stated::Held,
                    Standing::Open => Stated::Open(known.members),
                },
            })
        });
        audiences::in_audit(stated)
    }
}

/// What a partition was told of the others, and when that asks for a batch.
#[derive(Default)]
pub struct Hearing {
    pub heard: Option<Arc<Heard>>,
    pub due: Option<Timestamp>,
}
