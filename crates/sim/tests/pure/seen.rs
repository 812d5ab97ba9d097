//! What the engine wrote, read back from the bytes and said in the model's words.
//!
//! Pairs each effect of the audit with the record that it names, by hash and order (INV-5), and
//! turns tokens back into the subjects that the history knows.

use std::collections::BTreeMap;

use assent_contract::domain::audit::{AuditToken, Sha256Hash, chain::body_hash};
use assent_contract::domain::binary::{Malformed, Reader};
use assent_contract::domain::outcome::{Basis, InputKind, Outcome, Verdict};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_core::engine::output::{DeadLetterNote, Output};

use crate::histories::SUBJECTS;
use crate::model::{Assigned, Entry};

/// An audit batch, its entries in the model's words.
#[derive(Debug)]
pub struct SeenBatch {
    pub hash: Sha256Hash,
    pub chain: String,
    pub sequence: i64,
    pub previous: Sha256Hash,
    pub decided_at: Timestamp,
    pub rulebook: String,
    pub rulebook_sha256: Sha256Hash,
    pub key_version: i64,
    /// From and to of the clicks, from and to of consent, the barrier.
    pub coverage: [i64; 5],
    pub gate_open: bool,
    pub purposes: Vec<String>,
    pub entries: Vec<Entry>,
}

/// A contextual record: session token, segments, time, rulebook.
pub type SeenContextual = (String, Vec<String>, Timestamp, String);

/// All records of a transaction.
#[derive(Debug, Default)]
pub struct Seen {
    pub batches: Vec<SeenBatch>,
    pub contextual: Vec<SeenContextual>,
    pub dead_letters: Vec<DeadLetterNote>,
}

/// Knows whose tokens are whose.
pub struct Eye<'a> {
    rulebook: &'a Rulebook,
    tokens: BTreeMap<AuditToken, &'static str>,
    pseudonyms: BTreeMap<(usize, String), &'static str>,
    key_version: u8,
}

impl<'a> Eye<'a> {
    pub fn new(rulebook: &'a Rulebook, keys: &KeyRing) -> Self {
        let (mut tokens, mut pseudonyms) = (BTreeMap::new(), BTreeMap::new());
        for subject in SUBJECTS.into_iter().chain(["__assent_canary_3"]) {
            tokens.insert(keys.audit_token(subject.as_bytes()), subject);
            for at in 0..rulebook.purposes.len() {
                let pseudonym = keys.pseudonym(at, subject.as_bytes()).text();
                pseudonyms.insert((at, pseudonym), subject);
            }
        }
        Self { rulebook, tokens, pseudonyms, key_version: keys.active() }
    }

    pub fn see(&self, outputs: &[Output]) -> Seen {
        let mut seen = Seen::default();
        let mut written = outputs
            .iter()
            .filter(|it| matches!(it, Output::Assignment { .. } | Output::Tombstone { .. }));
        for output in outputs {
            match output {
                Output::Audit { body } => {
                    let batch = self.batch(body, &mut written);
                    seen.batches.push(batch.expect("an audit body that reads as the schema says"));
                }
                Output::Contextual { session_token, body } => {
                    let (token, segments, at, rulebook) =
                        contextual(body).expect("a contextual body");
                    assert_eq!(session_token, &token, "the key is the value's token");
                    seen.contextual.push((token, segments, at, rulebook));
                }
                Output::DeadLetter(note) => seen.dead_letters.push(note.clone()),
                _ => {}
            }
        }
        assert_eq!(written.next(), None, "every record is named by an entry of the audit");
        seen
    }

    fn batch<'o>(
        &self,
        body: &[u8],
        written: &mut impl Iterator<Item = &'o Output>,
    ) -> Result<SeenBatch, Malformed> {
        let mut from = Reader::new(body);
        let mut batch = SeenBatch {
            hash: body_hash(body),
            chain: from.string()?.to_owned(),
            sequence: from.long()?,
            previous: from.fixed()?,
            decided_at: Timestamp(from.long()?),
            rulebook: from.string()?.to_owned(),
            rulebook_sha256: from.fixed()?,
            key_version: from.long()?,
            coverage: [from.long()?, from.long()?, from.long()?, from.long()?, from.long()?],
            gate_open: from.bool()?,
            purposes: strings(&mut from)?,
            entries: Vec::new(),
        };
        let now = batch.decided_at;
        batch.entries = array(&mut from, |from| self.entry(from, now, written))?;
        assert!(from.is_empty(), "nothing stands after an audit batch");
        Ok(batch)
    }

    fn entry<'o>(
        &self,
        from: &mut Reader<'_>,
        now: Timestamp,
        written: &mut impl Iterator<Item = &'o Output>,
    ) -> Result<Entry, Malformed> {
        let mut entry = Entry {
            input: InputKind::ALL[from.long()? as usize],
            offset: from.optional_long()?,
            outcome: Outcome::ALL[from.long()? as usize],
            subject: None,
            consent_version: None,
            verdicts: Vec::new(),
            effects: Vec::new(),
            contextual: Vec::new(),
            dead_letter: None,
        };
        if from.long()? == 1 {
            let token: AuditToken = from.fixed()?;
            entry.subject = Some(self.tokens[&token].to_owned());
        }
        entry.consent_version = from.optional_long()?;
        entry.verdicts = array(from, |from| Ok(Verdict::ALL[from.long()? as usize]))?;
        entry.effects = array(from, |from| {
            let output = written.next().expect("every effect has its record");
            self.effect(from, now, entry.subject.as_deref(), output)
        })?;
        Ok(entry)
    }

    fn effect(
        &self,
        from: &mut Reader<'_>,
        now: Timestamp,
        subject: Option<&str>,
        output: &Output,
    ) -> Result<(usize, crate::model::Change), Malformed> {
        let at = from.long()? as usize;
        assert_eq!(from.long()?, i64::from(self.key_version), "only one key lives here");
        let hash: Option<Sha256Hash> = if from.long()? == 1 { Some(from.fixed()?) } else { None };
        let reason = if from.long()? == 1 { Some(from.string()?.to_owned()) } else { None };
        let (written_at, pseudonym, change) = match output {
            Output::Assignment { purpose, pseudonym, body } => {
                assert_eq!(hash, Some(body_hash(body)), "the effect's hash is its record's");
                assert_eq!(reason, None);
                (*purpose, pseudonym, Ok(self.assigned(body, at, pseudonym)?))
            }
            Output::Tombstone { purpose, pseudonym, reason: why, decided_at } => {
                assert_eq!((hash, reason.as_deref()), (None, Some(why.label())));
                assert_eq!(*decided_at, now, "a tombstone is decided when its batch is");
                (*purpose, pseudonym, Err(*why))
            }
            _ => unreachable!("filtered"),
        };
        assert_eq!(usize::from(written_at), at, "the effect's purpose is its record's");
        let owner = self.pseudonyms.get(&(at, pseudonym.clone())).copied();
        assert_eq!(owner, subject, "the record's key is the entry's subject's");
        Ok((at, change))
    }

    fn assigned(&self, body: &[u8], at: usize, key: &str) -> Result<Assigned, Malformed> {
        let mut from = Reader::new(body);
        assert_eq!(from.string()?, key, "the key is the value's pseudonym");
        assert_eq!(from.string()?, self.rulebook.purposes[at].id);
        let segments = strings(&mut from)?;
        let basis = [Basis::OptIn, Basis::GuardianOptIn, Basis::NotOptedOut][from.long()? as usize];
        let (decided_at, expires_at) = (Timestamp(from.long()?), Timestamp(from.long()?));
        assert_eq!(from.string()?, self.rulebook.version);
        assert!(from.is_empty(), "nothing stands after an assignment");
        Ok(Assigned { segments, basis, decided_at, expires_at })
    }
}

fn contextual(body: &[u8]) -> Result<SeenContextual, Malformed> {
    let mut from = Reader::new(body);
    let token = from.string()?.to_owned();
    let segments = strings(&mut from)?;
    let occurred_at = Timestamp(from.long()?);
    let rulebook = from.string()?.to_owned();
    assert!(from.is_empty(), "nothing stands after a contextual segment");
    Ok((token, segments, occurred_at, rulebook))
}

fn strings(from: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    array(from, |from| Ok(from.string()?.to_owned()))
}

/// Blocks of items until an empty one.
fn array<T>(
    from: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut items = Vec::new();
    loop {
        let count = from.long()?;
        if count == 0 {
            return Ok(items);
        }
        for _ in 0..count {
            items.push(item(from)?);
        }
    }
}
