//! What is known of a schema registry's ids, as of a moment: a snapshot that the readers resolve
//! Confluent's framing from. Pure: who asks the registry stands outside, and makes the next one.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::avro::{Plan, Schema};
use super::framing::Framed;
use super::schema::SchemaName;
use crate::domain::intake::Rejection;
use crate::domain::outcome::DeadLetterReason;

/// Ids are positive in 32 bits with a sign. A registry is not asked for others: not every one answers
/// those in the words of an id that it does not have.
const ID_MAX: u32 = i32::MAX as u32;

/// An id is not known: the value can't be read before the registry has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownId(pub u32);

/// Why a value can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Not now: the registry is to be asked for this id.
    Waits(UnknownId),
    /// Not ever.
    Rejected(Rejection),
}

impl Unread {
    /// For those who wait for nothing.
    pub fn into_rejection(self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection,
            Self::Waits(_) => out_of_reach(),
        }
    }
}

impl From<Rejection> for Unread {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// What the registry said of an id.
pub enum Registered {
    Avro(Box<AvroSchema>),
    /// It knows the id, but what it names can't be read: not Avro, not well-formed, or over a bound.
    Unusable(String),
    /// It knows the id, and under no subject of Assent's topics.
    Elsewhere,
    /// It does not know the id.
    Absent,
    /// It answers others, and for this one fails.
    Unanswered,
}

/// A writer's schema: how it reads as each of the contract's.
pub struct AvroSchema([Use; SchemaName::ALL.len()]);

enum Use {
    /// It is the contract's own, whatever its id: the fast ways are open.
    Own,
    Resolves(Plan),
    No(String),
    /// It is not registered under a subject whose values are of this one.
    Elsewhere,
}

impl Registered {
    /// From the registry's text, registered under subjects whose values are `under` these of the
    /// contract. A schema that can be read as none at all is not kept.
    pub fn avro(text: &str, under: &[SchemaName]) -> Self {
        if under.is_empty() {
            return Self::Elsewhere;
        }
        match AvroSchema::parse(text, under) {
            Ok(schema) => Self::Avro(Box::new(schema)),
            Err(why) => Self::Unusable(why),
        }
    }
}

impl AvroSchema {
    fn parse(text: &str, under: &[SchemaName]) -> Result<Self, String> {
        let schema = Arc::new(Schema::parse(text)?);
        let uses = SchemaName::ALL.map(|name| {
            if under.contains(&name) { Use::of(&schema, name) } else { Use::Elsewhere }
        });
        let says_no = |one: &Use| matches!(one, Use::No(_));
        if !uses.iter().all(says_no) {
            return Ok(Self(uses));
        }
        Err(nearest(&schema, &uses))
    }

    /// Why it can't be read as this one, if so.
    pub fn reads_as(&self, name: SchemaName) -> Result<(), &str> {
        match &self.0[name as usize] {
            Use::Own | Use::Resolves(_) => Ok(()),
            Use::No(why) => Err(why),
            Use::Elsewhere => Err(ELSEWHERE),
        }
    }
}

impl Use {
    fn of(schema: &Arc<Schema>, name: SchemaName) -> Self {
        match Plan::resolve(schema, name.schema()) {
            Err(why) => Self::No(why),
            Ok(_) if schema.fingerprint() == name.fingerprint() => Self::Own,
            Ok(plan) => Self::Resolves(plan),
        }
    }
}

const ELSEWHERE: &str = "the schema id is not registered under the subject of this topic";

/// What is wrong with a schema that is meant to be one of the contract's, by its name.
fn nearest(schema: &Schema, uses: &[Use]) -> String {
    let meant = |name: &SchemaName| schema.name() == Some(&format!("{name:?}"));
    let mut found = SchemaName::ALL.iter().zip(uses).filter_map(|(name, found)| match found {
        Use::No(why) => Some((name, why)),
        _ => None,
    });
    found.find(|(name, _)| meant(name)).map_or_else(
        || "it is not one of assent's records".to_owned(),
        |(name, why)| format!("{name:?}: {why}"),
    )
}

/// The ids that are known, or that there is no registry to know any.
#[derive(Clone, Default)]
pub struct KnownSchemas {
    has_registry: bool,
    by_id: HashMap<u32, Arc<Registered>, FixedState>,
    /// The registry has not answered for so long that consent no longer waits for it.
    is_given_up: bool,
    /// So many ids came that no more is asked for now: what is not known is refused.
    is_flooded: bool,
}

impl KnownSchemas {
    /// No registry is configured.
    pub fn none() -> Self {
        Self::default()
    }

    /// One is, and nothing of it is known yet.
    pub fn empty() -> Self {
        Self { has_registry: true, ..Self::default() }
    }

    pub fn learn(&mut self, id: u32, registered: Registered) {
        self.by_id.insert(id, Arc::new(registered));
    }

    pub fn forget(&mut self, id: u32) {
        self.by_id.remove(&id);
    }

    pub fn knows(&self, id: u32) -> bool {
        self.by_id.contains_key(&id)
    }

    pub fn has_registry(&self) -> bool {
        self.has_registry
    }

    /// The id that must be known before this value can be read; `None`: it can be now, if only to be
    /// refused.
    pub fn lacks(&self, value: &[u8]) -> Option<UnknownId> {
        match Framed::split(value) {
            Framed::Confluent { id, .. }
                if self.has_registry && !self.is_flooded && id <= ID_MAX && !self.knows(id) =>
            {
                Some(UnknownId(id))
            }
            _ => None,
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn set_given_up(&mut self, is_given_up: bool) {
        self.is_given_up = is_given_up;
    }

    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    pub fn set_flooded(&mut self, is_flooded: bool) {
        self.is_flooded = is_flooded;
    }

    pub fn is_flooded(&self) -> bool {
        self.is_flooded
    }

    /// How what an id's schema wrote is read as the contract's `name`.
    pub(super) fn reading(&self, id: u32, name: SchemaName) -> Result<&Plan, Unread> {
        // An id that nobody registered is four bytes of whatever somebody wrote: it is not repeated.
        let unknown = |detail: &str| {
            Err(Unread::Rejected(Rejection::new(DeadLetterReason::UnknownSchema, detail)))
        };
        if !self.has_registry {
            return unknown("Confluent framing, but no schema registry is configured");
        }
        let absent = || unknown("the schema registry does not know the schema id");
        if id > ID_MAX {
            return absent();
        }
        let Some(registered) = self.by_id.get(&id) else {
            if self.is_flooded {
                return unknown(
                    "the schema id is unknown, and too many unknown ids arrived to ask the \
                     registry",
                );
            }
            return Err(Unread::Waits(UnknownId(id)));
        };
        let undecodable = |why: &str| {
            let detail = format!("schema id {id} can't be read as {name:?}: {why}");
            Unread::Rejected(Rejection::new(DeadLetterReason::Undecodable, detail))
        };
        match &**registered {
            Registered::Avro(schema) => match &schema.0[name as usize] {
                Use::Own => Ok(name.plan()),
                Use::Resolves(plan) => Ok(plan),
                Use::No(why) => Err(undecodable(why)),
                Use::Elsewhere => unknown(ELSEWHERE),
            },
            Registered::Unusable(why) => Err(undecodable(why)),
            Registered::Elsewhere => unknown(ELSEWHERE),
            Registered::Absent => absent(),
            Registered::Unanswered => {
                unknown("the schema registry does not answer for the schema id")
            }
        }
    }
}

/// The rejection of a value whose id nobody could be asked for.
pub fn out_of_reach() -> Rejection {
    Rejection::new(
        DeadLetterReason::UnknownSchema,
        "the schema id is unknown, and the schema registry is out of reach",
    )
}
