//! Two rulebooks on the same subjects: who is in which segment under the running one, who would be under the
//! new one, and why that differs.
//!
//! Knows a partition's subjects by their tokens while it compares that partition, and only totals after.

use std::collections::{BTreeMap, HashMap};

use assent_contract::domain::outcome::Verdict;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Listed, Purpose, Rulebook};
use assent_core::engine::Partition;
use assent_core::engine::shadow::Standing;

/// Why subjects enter, or leave: each a word, and how many.
pub type Reasons = BTreeMap<&'static str, u64>;

pub const NO_CONSENT_RECORD: &str = "no_consent_record";

/// A segment of either rulebook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub purpose: String,
    pub segment: String,
    pub is: Difference,
    /// How far back its conditions look under the new rulebook.
    pub looks_back: Span,
    pub now: u64,
    pub then: u64,
    pub settled: u64,
    /// From now to settled.
    pub enter: Reasons,
    pub leave: Reasons,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    Added,
    Removed,
    /// It rests on other conditions.
    Changed,
    /// Its purpose asks for something else.
    OfPurpose,
    None,
}

/// Which rows a subject is in, sorted.
type Places = Box<[u32]>;

pub struct Comparison {
    pub rows: Vec<Row>,
    /// By purpose: how many subjects have this verdict under the running rulebook, and settled under the new one.
    pub verdicts: BTreeMap<(String, Verdict), [u64; 2]>,
    running: Side,
    new: Side,
    /// Of the partition at hand: whoever is in a segment now.
    held: HashMap<u128, Places>,
}

/// A rulebook's purposes, as the engine numbers them.
struct Side {
    /// `None`: the canary's, which is nobody.
    purposes: Vec<Option<OfPurpose>>,
}

struct OfPurpose {
    id: String,
    /// The row of each segment, by its bit.
    rows: Vec<u32>,
}

impl Comparison {
    pub fn of(running: &Rulebook, new: &Rulebook) -> Self {
        let mut rows: BTreeMap<(&str, &str), Row> = BTreeMap::new();
        for segment in people(new) {
            let row = row(&segment, difference(&segment, running, new), segment.looks_back());
            rows.insert(key(&segment), row);
        }
        for segment in people(running) {
            let gone = || row(&segment, Difference::Removed, Span::default());
            rows.entry(key(&segment)).or_insert_with(gone);
        }
        let places: Vec<(&str, &str)> = rows.keys().copied().collect();
        let (running, new) = (Side::of(running, &places), Side::of(new, &places));
        let rows = rows.into_values().collect();
        Self { rows, verdicts: BTreeMap::new(), running, new, held: HashMap::new() }
    }

    /// Of the running rulebook's state.
    pub fn now(&mut self, partition: &Partition, now: Timestamp) {
        let Self { rows, verdicts, running, held, .. } = self;
        held.clear();
        partition.each_standing(now, |token, standings| {
            running.count(standings, verdicts, 0);
            let places = running.places(standings);
            for &place in &places {
                rows[place as usize].now += 1;
            }
            if !places.is_empty() {
                held.insert(token, places);
            }
        });
    }

    /// Of the same state under the new rulebook, swept.
    pub fn then(&mut self, partition: &Partition, now: Timestamp) {
        let Self { rows, new, .. } = self;
        partition.each_standing(now, |_, standings| {
            for place in new.places(standings) {
                rows[place as usize].then += 1;
            }
        });
    }

    /// Of a state that the new rulebook made of all that the topics hold. After [`Self::now`] of the same
    /// partition.
    pub fn settled(&mut self, partition: &Partition, now: Timestamp) {
        let Self { rows, verdicts, new, held, .. } = self;
        partition.each_standing(now, |token, standings| {
            new.count(standings, verdicts, 1);
            let after = new.places(standings);
            let before = held.remove(&token).unwrap_or_default();
            for &place in &after {
                let row = &mut rows[place as usize];
                row.settled += 1;
                if before.binary_search(&place).is_err() {
                    *row.enter.entry(row.is.why_entered()).or_default() += 1;
                }
            }
            for place in before.iter().filter(|place| after.binary_search(place).is_err()) {
                let row = &mut rows[*place as usize];
                let why = row.is.why_left(new.standing(standings, &row.purpose));
                *row.leave.entry(why).or_default() += 1;
            }
        });
        for place in held.drain().flat_map(|(_, places)| places) {
            *rows[place as usize].leave.entry(NO_CONSENT_RECORD).or_default() += 1;
        }
    }
}

impl Side {
    fn of(rulebook: &Rulebook, places: &[(&str, &str)]) -> Self {
        let row = |purpose: &Purpose, segment: &str| {
            let found = places.binary_search(&(purpose.id.as_str(), segment));
            found.expect("every segment has its row") as u32
        };
        let of = |purpose: &Purpose| {
            (!purpose.is_canary()).then(|| OfPurpose {
                id: purpose.id.clone(),
                rows: purpose.segments.iter().map(|it| row(purpose, &it.id)).collect(),
            })
        };
        Self { purposes: rulebook.purposes.iter().map(of).collect() }
    }

    fn of_people<'s>(
        &'s self,
        standings: &'s [Standing],
    ) -> impl Iterator<Item = (&'s OfPurpose, &'s Standing)> {
        let all = self.purposes.iter().zip(standings);
        all.filter_map(|(purpose, standing)| Some((purpose.as_ref()?, standing)))
    }

    /// Purposes and segments are sorted, so the rows are.
    fn places(&self, standings: &[Standing]) -> Places {
        let holding = self.of_people(standings).flat_map(|(purpose, standing)| {
            let bits = purpose.rows.iter().enumerate();
            bits.filter(|(bit, _)| standing.segments >> bit & 1 == 1).map(|(_, row)| *row)
        });
        holding.collect()
    }

    fn count(
        &self,
        standings: &[Standing],
        verdicts: &mut BTreeMap<(String, Verdict), [u64; 2]>,
        side: usize,
    ) {
        for (purpose, standing) in self.of_people(standings) {
            let of = verdicts.entry((purpose.id.clone(), standing.verdict)).or_default();
            of[side] += 1;
        }
    }

    /// `None`: it has no such purpose.
    fn standing(&self, standings: &[Standing], purpose: &str) -> Option<Standing> {
        let mut all = self.of_people(standings);
        all.find(|(of, _)| of.id == purpose).map(|(_, standing)| *standing)
    }
}

impl Difference {
    fn why_entered(self) -> &'static str {
        match self {
            Self::Added => "segment_added",
            Self::Changed => "segment_changed",
            Self::OfPurpose => "purpose_changed",
            Self::Removed | Self::None => "history",
        }
    }

    /// `standing`: under the new rulebook.
    fn why_left(self, standing: Option<Standing>) -> &'static str {
        match (standing, self) {
            (None, _) | (_, Self::Removed) => "segment_removed",
            (Some(it), _) if !it.verdict.allows() => it.verdict.label(),
            (Some(it), _) if it.is_held_out => "held_out",
            (_, Self::Changed | Self::Added) => "segment_changed",
            (_, Self::OfPurpose) => "purpose_changed",
            (_, Self::None) => "history",
        }
    }
}

fn people(rulebook: &Rulebook) -> impl Iterator<Item = Listed<'_>> {
    rulebook.listed().filter(|segment| segment.purpose().is_some())
}

fn key<'r>(segment: &Listed<'r>) -> (&'r str, &'r str) {
    (segment.purpose().map_or("", |purpose| &purpose.id), segment.id)
}

fn row(segment: &Listed<'_>, is: Difference, looks_back: Span) -> Row {
    let (purpose, id) = key(segment);
    Row {
        purpose: purpose.to_owned(),
        segment: id.to_owned(),
        is,
        looks_back,
        now: 0,
        then: 0,
        settled: 0,
        enter: Reasons::new(),
        leave: Reasons::new(),
    }
}

fn difference(segment: &Listed<'_>, running: &Rulebook, new: &Rulebook) -> Difference {
    let before = people(running).find(|before| key(before) == key(segment));
    let Some(before) = before else { return Difference::Added };
    let purpose = |rulebook: &Rulebook| {
        let at = rulebook.purpose_index(key(segment).0)?;
        let of = &rulebook.purposes[at];
        let switches = (of.sale_or_share, of.requires_opt_in, of.suspended);
        Some((switches, of.retention, of.measure.clone()))
    };
    if !before.rests_on_the_same(segment) {
        Difference::Changed
    } else if purpose(running) != purpose(new) {
        Difference::OfPurpose
    } else {
        Difference::None
    }
}
