//! Why a partition can't go on under this configuration: what its record of itself says, against the
//! set-up. Each refusal is a message for a person that begins with the configuration key.

use std::fmt;

use super::ledger::Ledger;
use super::setup::Setup;

/// Why a partition can't go on under this configuration. Each is a message for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The state holds what this version can't read, or less than it counted.
    Damaged {
        partition: i32,
        detail: String,
    },
    /// The rulebook's version is known with other content.
    RulebookContent {
        version: String,
    },
    /// The state has left this version.
    RulebookLeft {
        version: String,
        current: String,
    },
    /// Another secret under a known version.
    KeyContent {
        version: u8,
    },
    /// A version that the state knows is not in the file.
    KeyMissing {
        version: u8,
    },
    /// Topics or group under other names than the state was made with.
    MadeWith {
        key: String,
        configured: String,
        current: String,
    },
    /// Tombstones would miss what they remove.
    Partitioner {
        configured: String,
        current: String,
    },
    InputPartitions {
        found: i32,
        current: i32,
    },
    SegmentPartitions {
        purpose: String,
        found: i32,
        current: i32,
    },
}

/// Why a state with this record of its own (`meta`) can't be gone on from under this set-up; one that
/// can't be read says nothing here.
pub fn refusal(meta: &[u8], setup: &Setup) -> Option<Refusal> {
    Ledger::unpack(meta).ok().and_then(|(ledger, _)| check(&ledger, setup).err())
}

/// Is this the record that this group's partition wrote of itself before this audit sequence?
pub fn is_of_group(meta: &[u8], group_id: &str, next_sequence: i64) -> bool {
    Ledger::unpack(meta).is_ok_and(|(ledger, _)| {
        let group = ledger.made_with.get("kafka.group_id");
        ledger.next_sequence == next_sequence && group.is_some_and(|group| group == group_id)
    })
}

/// What the state was written under must be what is configured.
pub(super) fn check(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    check_names(ledger, setup)?;
    check_rulebook(ledger, setup)?;
    check_keys(ledger, setup)?;
    let configured = setup.partitioner.to_string();
    if ledger.partitioner != configured {
        return Err(Refusal::Partitioner { configured, current: ledger.partitioner.clone() });
    }
    let (found, current) = (setup.input_partitions, ledger.input_partitions);
    if found != current {
        return Err(Refusal::InputPartitions { found, current });
    }
    for (purpose, &current) in &ledger.segment_partitions {
        if let Some(&found) = setup.segment_partitions.get(purpose)
            && found != current
        {
            return Err(Refusal::SegmentPartitions { purpose: purpose.clone(), found, current });
        }
    }
    Ok(())
}

fn check_names(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    let other = setup.made_with.iter().find_map(|(key, configured)| {
        let current = ledger.made_with.get(key).filter(|current| *current != configured)?;
        Some((key, configured, current))
    });
    other.map_or(Ok(()), |(key, configured, current)| {
        let (key, configured, current) = (key.clone(), configured.clone(), current.clone());
        Err(Refusal::MadeWith { key, configured, current })
    })
}

fn check_rulebook(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    let rulebook = &setup.rulebook;
    let Some((current, hash)) = ledger.rulebooks.last() else { return Ok(()) };
    if *hash == rulebook.sha256 {
        return Ok(());
    }
    let (version, current) = (rulebook.version.clone(), current.clone());
    match ledger.rulebooks.iter().find(|(known, _)| *known == version) {
        Some((_, known)) if *known != rulebook.sha256 => Err(Refusal::RulebookContent { version }),
        Some(_) => Err(Refusal::RulebookLeft { version, current }),
        None => Ok(()),
    }
}

/// A known version must be there, with the secret that it had; an emptied one can't be compared.
pub(super) fn check_keys(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    let configured = setup.keys.fingerprints();
    for (&version, known) in &ledger.key_fingerprints {
        match configured.get(&version) {
            None if setup.keys.has_version(version) => {}
            None => return Err(Refusal::KeyMissing { version }),
            Some(print) if print != known => return Err(Refusal::KeyContent { version }),
            Some(_) => {}
        }
    }
    Ok(())
}

/// What the next transaction records of the configuration.
pub(super) fn note(ledger: &mut Ledger, setup: &Setup) {
    ledger.partitioner = setup.partitioner.to_string();
    ledger.input_partitions = setup.input_partitions;
    ledger.key_fingerprints.extend(setup.keys.fingerprints());
    ledger.active_key = setup.keys.active();
    ledger.made_with.extend(setup.made_with.clone());
    ledger
        .segment_partitions
        .extend(setup.segment_partitions.iter().map(|(purpose, count)| (purpose.clone(), *count)));
}

impl Refusal {
    /// 78 where the configuration is wrong, 1 where the state is
    /// (docs/contract/bad-input.md#at-the-start).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. } => 1,
            _ => 78,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { partition, detail } => write!(
                f,
                "the state of partition {partition} can't be read ({detail}), so nothing was \
                 decided; restore the state topic, or start a new group with new output topics"
            ),
            Self::RulebookContent { version } => write!(
                f,
                "rulebook: version \"{version}\" was used before with different content; set a new \
                 version in the changed file"
            ),
            Self::RulebookLeft { version, current } => write!(
                f,
                "rulebook: version \"{version}\" was replaced by \"{current}\"; to go back to the \
                 old content, give it a new version"
            ),
            Self::KeyContent { version } => write!(
                f,
                "keyset: key version {version} has a different secret than the one the state was \
                 written with, so its tombstones would remove nothing; restore the keyset file"
            ),
            Self::KeyMissing { version } => write!(
                f,
                "keyset: key version {version} is missing, but the state was written with it; \
                 restore the keyset file"
            ),
            Self::MadeWith { key, configured, current } => write!(
                f,
                "{key} is {configured}, but the state was written with {current}: live keys there \
                 would never be removed, and inputs that were decided would be decided again; set \
                 it back to {current}, or give a new deployment its own group and topics"
            ),
            Self::Partitioner { configured, current } => write!(
                f,
                "kafka.partitioner is {configured}, but the outputs were written with {current}: \
                 tombstones would miss the values they remove; set it back to {current}"
            ),
            Self::InputPartitions { found, current } => write!(
                f,
                "topics.clickstream and topics.consent have {found} partitions, they had {current} \
                 when the state was written: an opt-out would now lie on another partition than \
                 the state it must change, so nothing was decided; use topics with {current} \
                 partitions, or migrate to new topics with a new group"
            ),
            Self::SegmentPartitions { purpose, found, current } => write!(
                f,
                "topics.segments: the topic of purpose {purpose} has {found} partitions, it had \
                 {current}: tombstones would miss the values they remove; recreate it with \
                 {current} partitions under a new group, or migrate to new topics"
            ),
        }
    }
}

impl std::error::Error for Refusal {}
