//! What all runs share, made once: rulebooks, keys, names of purposes and people.

use std::sync::Arc;

use crate::domain::partitioner::Partitioner;
use crate::domain::pseudonym::{KeyRing, Keyset};
use crate::domain::rules::{self, Rulebook};

/// Partitions of every topic.
pub const PARTITIONS: i32 = 2;

pub const PARTITIONER: Partitioner = Partitioner::Murmur2;

pub const GROUP: &str = "sim";

/// The source whose silence closes the gate in some runs.
pub const SOURCE: &str = "cmp";

pub const PURPOSES: [&str; 3] = ["ads", "mail", "offers"];

/// Such that no output holds one by chance (INV-6).
pub const SUBJECTS: [&str; 5] =
    ["person~ann", "person~ben", "person~cas", "person~dee", "person~eve"];

/// They send signals under ids that nobody knows; some become known later.
pub const STRANGERS: [&str; 8] = [
    "person~fay",
    "person~gus",
    "person~hal",
    "person~ida",
    "person~jon",
    "person~kim",
    "person~leo",
    "person~max",
];

pub const SESSIONS: [&str; 3] = ["visit~one", "visit~two", "visit~three"];

/// Two rulebooks: the second lacks a segment of the first, and suspends a purpose.
const RULEBOOKS: [(&str, bool, bool); 2] = [("r-1", false, true), ("r-2", true, false)];

pub struct Stage {
    pub rulebooks: [(Arc<Rulebook>, Arc<[u8]>); 2],
    /// Before and after a rotation.
    pub keys: [Arc<KeyRing>; 2],
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// # Panics
    /// Where a rulebook of its own is faulty.
    pub fn new() -> Self {
        let purposes = PURPOSES.map(str::to_owned);
        let first = Keyset::first([7; 32]);
        let mut second = first.clone();
        second.rotate([8; 32]).expect("there is room for a second version");
        Self {
            rulebooks: RULEBOOKS.map(|(version, suspended, has_toys)| {
                let text = text(version, suspended, has_toys);
                let compiled = rules::compile(text.as_bytes());
                let compiled = compiled.unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
                (Arc::new(compiled), text.into_bytes().into())
            }),
            keys: [first, second].map(|keyset| Arc::new(KeyRing::new(&keyset, &purposes))),
        }
    }
}

/// Windows are short, so that a history of a minute crosses their edges.
fn text(version: &str, suspended: bool, has_toys: bool) -> String {
    let toys = if has_toys {
        "  - {id: ads-toys, title: T, why: w, owner: o, approach: behavioral, purpose: ads, \
         when: {last: {where: {category: toys}, within: 25s}}}\n"
    } else {
        ""
    };
    format!(
        "rulebook: {version}
default_segment: all
purposes:
  - {{id: ads, title: Ads, sale_or_share: true, requires_opt_in: true, retention: 1h}}
  - {{id: mail, title: Mail, sale_or_share: false, requires_opt_in: false, retention: 1d}}
  - {{id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 1d, suspended: {suspended}}}
segments:
{toys}  - {{id: ads-viewers, title: T, why: w, owner: o, approach: behavioral, purpose: ads, when: {{count: {{of: PRODUCT_VIEW, within: 40s, at_least: 2}}}}}}
  - {{id: ads-adults, title: T, why: w, owner: o, approach: demographic, purpose: ads, when: {{age_band: {{in: [FROM_18]}}}}}}
  - {{id: mail-active, title: T, why: w, owner: o, approach: behavioral, purpose: mail, when: {{count: {{within: 61s, at_least: 1}}}}}}
  - {{id: mail-local, title: T, why: w, owner: o, approach: demographic, purpose: mail, when: {{region: {{in: [US-CA]}}}}}}
  - {{id: offers-gone, title: T, why: w, owner: o, approach: behavioral, purpose: offers, when: {{last: {{not_within: 20s}}}}}}
  - {{id: offers-buyers, title: T, why: w, owner: o, approach: behavioral, purpose: offers, when: {{sum: {{field: value_cents, within: 1h, at_least: 200}}}}}}
  - {{id: offers-adults, title: T, why: w, owner: o, approach: demographic, purpose: offers, when: {{age_band: {{in: [FROM_18]}}}}}}
  - {{id: toy-pages, title: T, why: w, owner: o, approach: contextual, when: {{page: {{category: toys}}}}}}
"
    )
}
