//! What all runs share, made once: rulebooks, keys, names of purposes and people.

use std::collections::BTreeSet;
use std::sync::Arc;

use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::rulebook::{self, Rulebook};
use assent_contract::wire::{KnownSchemas, Registered, SchemaName};

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

/// What a registry has under these ids: clicks, consent, and nothing.
pub const CLICK_SCHEMA: u32 = 1;
pub const CONSENT_SCHEMA: u32 = 2;
pub const ABSENT_SCHEMA: u32 = 3;

/// Of those three, any that are known.
const SCHEMAS_KNOWN: usize = 1 << 3;

/// A rulebook of the stage.
#[derive(Clone, Copy)]
struct Rules {
    version: &'static str,
    /// What becomes of the last purpose.
    offers: Offers,
    has_toys: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offers {
    Run,
    Suspended,
    Absent,
}

/// One that a run begins with, and two that may follow it: both lack a segment; one suspends a purpose,
/// the other no longer has it.
const RULEBOOKS: [Rules; 3] = [
    Rules { version: "r-1", offers: Offers::Run, has_toys: true },
    Rules { version: "r-2", offers: Offers::Suspended, has_toys: false },
    Rules { version: "r-3", offers: Offers::Absent, has_toys: false },
];

pub struct Stage {
    pub rulebooks: [(Arc<Rulebook>, Arc<[u8]>); RULEBOOKS.len()],
    /// Before and after a rotation.
    pub keys: [Arc<KeyRing>; 2],
    /// What can be known of the schema registry; bit `id - 1` says that an id is.
    schemas: [Arc<KnownSchemas>; SCHEMAS_KNOWN],
    no_schemas: Arc<KnownSchemas>,
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
            rulebooks: RULEBOOKS.map(|rules| {
                let text = text(rules);
                let compiled = rulebook::compile(text.as_bytes());
                let compiled = compiled.unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
                (Arc::new(compiled), text.into_bytes().into())
            }),
            keys: [first, second].map(|keyset| Arc::new(KeyRing::new(&keyset, &purposes))),
            no_schemas: Arc::new(KnownSchemas::none()),
            schemas: std::array::from_fn(|ids| Arc::new(known_schemas(ids))),
        }
    }

    /// What is known of these ids.
    pub fn schemas(&self, ids: &BTreeSet<u32>) -> &Arc<KnownSchemas> {
        &self.schemas[ids.iter().map(|id| 1 << (id - 1)).sum::<usize>()]
    }

    /// There is no registry.
    pub fn no_schemas(&self) -> &Arc<KnownSchemas> {
        &self.no_schemas
    }

    /// All that there is to know.
    pub fn all_schemas(&self) -> &Arc<KnownSchemas> {
        &self.schemas[SCHEMAS_KNOWN - 1]
    }
}

const OFFERS: &str = "  - {id: offers-gone, title: T, why: w, owner: o, approach: behavioral, purpose: offers, when: {last: {not_within: 20s}}}
  - {id: offers-buyers, title: T, why: w, owner: o, approach: behavioral, purpose: offers, when: {sum: {field: value_cents, within: 1h, at_least: 200}}}
  - {id: offers-adults, title: T, why: w, owner: o, approach: demographic, purpose: offers, when: {age_band: {in: [FROM_18]}}}
";

fn known_schemas(ids: usize) -> KnownSchemas {
    let mut known = KnownSchemas::empty();
    let of = |name: SchemaName| Registered::avro(name.json(), &[name]);
    for id in [CLICK_SCHEMA, CONSENT_SCHEMA, ABSENT_SCHEMA] {
        if ids & (1 << (id - 1)) != 0 {
            known.learn(
                id,
                match id {
                    CLICK_SCHEMA => of(SchemaName::ClickEvent),
                    CONSENT_SCHEMA => of(SchemaName::ConsentRecord),
                    _ => Registered::Absent,
                },
            );
        }
    }
    known
}

/// Windows are short, so that a history of a minute crosses their edges.
fn text(Rules { version, offers, has_toys }: Rules) -> String {
    let toys = if has_toys {
        "  - {id: ads-toys, title: T, why: w, owner: o, approach: behavioral, purpose: ads, \
         when: {last: {where: {category: toys}, within: 25s}}}\n"
    } else {
        ""
    };
    let suspended = offers == Offers::Suspended;
    let (purpose, segments) = if offers == Offers::Absent {
        (String::new(), "")
    } else {
        let purpose = format!(
            "  - {{id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, \
             retention: 1d, suspended: {suspended}}}\n"
        );
        (purpose, OFFERS)
    };
    format!(
        "rulebook: {version}
default_segment: all
purposes:
  - {{id: ads, title: Ads, sale_or_share: true, requires_opt_in: true, retention: 1h}}
  - {{id: mail, title: Mail, sale_or_share: false, requires_opt_in: false, retention: 1d, min_members: 3}}
{purpose}segments:
{toys}  - {{id: ads-viewers, title: T, why: w, owner: o, approach: behavioral, purpose: ads, when: {{count: {{of: PRODUCT_VIEW, within: 40s, at_least: 2}}}}}}
  - {{id: ads-adults, title: T, why: w, owner: o, approach: demographic, purpose: ads, when: {{age_band: {{in: [FROM_18]}}}}}}
  - {{id: mail-active, title: T, why: w, owner: o, approach: behavioral, purpose: mail, when: {{count: {{within: 61s, at_least: 1}}}}}}
  - {{id: mail-local, title: T, why: w, owner: o, approach: demographic, purpose: mail, when: {{region: {{in: [US-CA]}}}}}}
{segments}  - {{id: toy-pages, title: T, why: w, owner: o, approach: contextual, when: {{page: {{category: toys}}}}}}
"
    )
}
