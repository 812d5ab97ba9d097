//! The partition's own record: how far it is, and under what it decided. Written in every
//! transaction under the state key `meta`; private, versioned by its first byte.

use std::collections::BTreeMap;

use super::loss::TopicIds;
use super::token::BUCKETS;
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::audit::chain::GENESIS;
use assent_contract::domain::binary::{Malformed, Reader, Write};
use assent_contract::domain::merge::unkept::UnkeptSignals;
use assent_contract::domain::merge::{NameId, PurposeNames};
use assent_contract::domain::time::Timestamp;

/// The form of everything in assent-state. Another form is refused, never guessed at; the ones before are
/// read, and whatever is written again is written in this one. In format 1 a live key also had the
/// version of the consent record that it rested on, and undeclared purposes stood in the table of names.
/// Formats 1 and 2 don't say when consent was last in sync. Up to format 3 a subject does not say in which
/// segments with a minimum audience it is.
pub const FORMAT: u8 = 4;

/// Formats that are read.
pub const FORMATS: std::ops::RangeInclusive<u8> = 1..=FORMAT;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub next_click: i64,
    pub next_consent: i64,
    pub next_sequence: i64,
    pub head: Sha256Hash,
    /// The clock of the last batch: the next one's is never earlier.
    pub now: Timestamp,
    /// Every rulebook that ever decided, in order: version and SHA-256.
    pub rulebooks: Vec<(String, Sha256Hash)>,
    pub key_fingerprints: BTreeMap<u8, [u8; 32]>,
    pub active_key: u8,
    pub partitioner: String,
    /// Of the clickstream and the consent changelog alike.
    pub input_partitions: i32,
    /// Partition counts of segments.*, by purpose.
    pub segment_partitions: BTreeMap<String, i32>,
    /// A configured source's last heartbeat or record here: append time.
    pub last_signs: BTreeMap<String, Timestamp>,
    /// How many subjects the records hold: checked at restore.
    pub subjects: i64,
    /// How many subjects have only a signal. `None`: an old state, which counts them in `subjects`.
    pub signals: Option<i64>,
    pub cycle: Cycle,
    /// Which topics the two inputs were when the last transaction was written.
    pub topics: TopicIds,
    /// Opt-out signals from before this time were lost. A subject without a later one counts as having
    /// sent one at this time, as soon as it is met again.
    pub signals_lost_at: Option<Timestamp>,
    /// Signals of otherwise unknown subjects were dropped up to this time, to bound their number. A new
    /// subject counts as having sent one at this time.
    pub signals_gave_way_at: Option<Timestamp>,
    /// A lost state's live keys are being removed: only `state accept-loss` goes on from here.
    pub recovering: bool,
    /// Undeclared purposes of format 1, by whose numbers its records go on, are to be written once.
    pub former_names: bool,
    /// What the state was made with and must stay as it is: topics and group, by configuration key.
    pub made_with: BTreeMap<String, String>,
    /// Up to when consent is known to be applied, by the wall clock; [`Timestamp::MIN`]: nothing was
    /// decided yet. A partition that was never in sync has the clock of its first batch: it began to read
    /// no later. Written with every batch, and at least hourly; at a crash it is as old as that.
    pub consent_synced_at: Timestamp,
}

/// Where the rewriting of buckets stands (see `store`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cycle {
    /// Number of the next delta record.
    pub next_delta: i64,
    /// Deltas below this are removed; those up to `trim_to` are to be removed.
    pub floor: i64,
    pub trim_to: i64,
    /// The pass: where the deltas stood when it began, when that was, and the next bucket.
    pub pass_delta: i64,
    pub pass_began: Timestamp,
    pub bucket: i64,
    /// Bytes of deltas that no bucket has paid for yet.
    pub debt: i64,
}

impl Ledger {
    pub fn fresh() -> Self {
        let (now, consent_synced_at) = (Timestamp::MIN, Timestamp::MIN);
        Self { head: GENESIS, now, consent_synced_at, ..Self::default() }
    }

    /// What is not kept of signals one by one, at the clock of the last batch.
    pub fn unkept_signals(&self) -> UnkeptSignals {
        let (lost_at, gave_way_at) = (self.signals_lost_at, self.signals_gave_way_at);
        UnkeptSignals { lost_at, gave_way_at }.still_kept(self.now)
    }

    /// Consent is in sync up to then. It never goes back, where a clock does.
    pub fn note_synced(&mut self, at: Timestamp) {
        self.consent_synced_at = self.consent_synced_at.max(at);
    }

    pub fn pack(&self, names: &PurposeNames) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for number in [self.next_click, self.next_consent, self.next_sequence, self.now.0] {
            out.put_long(number);
        }
        out.put_fixed(&self.head);
        put_list(&mut out, self.rulebooks.iter(), |out, (version, hash)| {
            out.put_string(version);
            out.put_fixed(hash);
        });
        put_list(&mut out, self.key_fingerprints.iter(), |out, (version, print)| {
            out.push(*version);
            out.put_fixed(print);
        });
        out.push(self.active_key);
        out.put_string(&self.partitioner);
        out.put_long(i64::from(self.input_partitions));
        put_list(&mut out, self.segment_partitions.iter(), |out, (purpose, count)| {
            out.put_string(purpose);
            out.put_long(i64::from(*count));
        });
        put_list(&mut out, self.last_signs.iter(), |out, (source, at)| {
            out.put_string(source);
            out.put_long(at.0);
        });
        out.put_long(self.subjects);
        self.cycle.pack(&mut out);
        let declared: Vec<(NameId, &str)> = names.declared().collect();
        put_list(&mut out, declared.into_iter(), |out, (id, name)| {
            out.put_long(i64::from(id));
            out.put_string(name);
        });
        out.put_fixed(&self.topics.clicks.to_be_bytes());
        out.put_fixed(&self.topics.consent.to_be_bytes());
        out.put_optional_long(self.signals_lost_at.map(|at| at.0));
        out.put_bool(self.recovering);
        put_list(&mut out, self.made_with.iter(), |out, (key, value)| {
            out.put_string(key);
            out.put_string(value);
        });
        out.put_optional_long(self.signals_gave_way_at.map(|at| at.0));
        out.put_long(self.signals.unwrap_or_default());
        out.put_long(self.consent_synced_at.0);
        out
    }

    pub fn unpack(bytes: &[u8]) -> Result<(Self, PurposeNames), Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let format = r.byte()?;
        if !FORMATS.contains(&format) {
            return Err(Malformed("format"));
        }
        let mut ledger = Self {
            next_click: r.long()?,
            next_consent: r.long()?,
            next_sequence: r.long()?,
            now: Timestamp(r.long()?),
            head: r.fixed()?,
            rulebooks: list(r, |r| Ok((r.string()?.to_owned(), r.fixed()?)))?,
            key_fingerprints: list(r, |r| Ok((r.byte()?, r.fixed()?)))?.into_iter().collect(),
            active_key: r.byte()?,
            partitioner: r.string()?.to_owned(),
            input_partitions: count(r)?,
            segment_partitions: list(r, |r| {
                let purpose = r.string()?.to_owned();
                Ok((purpose, count(r)?))
            })?
            .into_iter()
            .collect(),
            last_signs: list(r, |r| Ok((r.string()?.to_owned(), Timestamp(r.long()?))))?
                .into_iter()
                .collect(),
            subjects: r.long()?,
            cycle: Cycle::unpack(r)?,
            ..Self::default()
        };
        let names = unpack_names(r, format)?;
        ledger.former_names = format == 1 && names.formers().next().is_some();
        // A state written before topics had ids here ends at its names.
        if !r.is_empty() {
            ledger.topics.clicks = u128::from_be_bytes(r.fixed()?);
            ledger.topics.consent = u128::from_be_bytes(r.fixed()?);
            ledger.signals_lost_at = r.optional_long()?.map(Timestamp);
            ledger.recovering = r.bool()?;
        }
        // And one from before it said what it was made with, here.
        if !r.is_empty() {
            let pair = |r: &mut Reader<'_>| Ok((r.string()?.to_owned(), r.string()?.to_owned()));
            ledger.made_with = list(r, pair)?.into_iter().collect();
        }
        // One written before signals were counted apart ends there.
        if !r.is_empty() {
            ledger.signals_gave_way_at = r.optional_long()?.map(Timestamp);
            ledger.signals = Some(r.long()?);
        }
        // A batch of those formats was the last sign that consent was read.
        ledger.consent_synced_at = if format < 3 { ledger.now } else { Timestamp(r.long()?) };
        if r.is_empty() { Ok((ledger, names)) } else { Err(Malformed("end")) }
    }
}

impl Cycle {
    fn pack(&self, out: &mut Vec<u8>) {
        for number in [
            self.next_delta,
            self.floor,
            self.trim_to,
            self.pass_delta,
            self.pass_began.0,
            self.bucket,
            self.debt,
        ] {
            out.put_long(number);
        }
    }

    fn unpack(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let cycle = Self {
            next_delta: reader.long()?,
            floor: reader.long()?,
            trim_to: reader.long()?,
            pass_delta: reader.long()?,
            pass_began: Timestamp(reader.long()?),
            bucket: reader.long()?,
            debt: reader.long()?,
        };
        if cycle.is_possible() { Ok(cycle) } else { Err(Malformed("cycle")) }
    }

    /// Deltas are removed in order, and only those that a pass over all buckets has taken in.
    fn is_possible(&self) -> bool {
        /// Far beyond any topic; what is added to it stays in range.
        const MOST: i64 = i64::MAX / 2;
        let deltas = [0, self.floor, self.trim_to, self.pass_delta, self.next_delta, MOST];
        deltas.is_sorted()
            && (0..BUCKETS as i64).contains(&self.bucket)
            && (0..=MOST).contains(&self.debt)
    }
}

/// Undeclared purposes of format 1 and their numbers, for as long as records of it are left: written once.
pub fn pack_former_names(names: &PurposeNames) -> Vec<u8> {
    let mut out = vec![FORMAT];
    let former: Vec<(NameId, u128)> = names.formers().collect();
    put_list(&mut out, former.into_iter(), |out, (id, undeclared_token)| {
        out.put_long(i64::from(id));
        out.put_fixed(&undeclared_token.to_be_bytes());
    });
    out
}

pub fn unpack_former_names(bytes: &[u8]) -> Result<Vec<(NameId, u128)>, Malformed> {
    let mut reader = Reader::new(bytes);
    if !(2..=FORMAT).contains(&reader.byte()?) {
        return Err(Malformed("format"));
    }
    list(&mut reader, |r| Ok((name_id(r)?, u128::from_be_bytes(r.fixed()?))))
}

/// Format 1 has every name in the order of the numbers.
fn unpack_names(reader: &mut Reader<'_>, format: u8) -> Result<PurposeNames, Malformed> {
    let mut names = PurposeNames::default();
    let placed: Vec<(NameId, &str)> = if format == 1 {
        let all = list(reader, Reader::string)?;
        let id = |at: usize| NameId::try_from(at).map_err(|_| Malformed("names"));
        all.into_iter()
            .enumerate()
            .map(|(at, name)| Ok((id(at)?, name)))
            .collect::<Result<_, _>>()?
    } else {
        list(reader, |r| Ok((name_id(r)?, r.string()?)))?
    };
    for (id, name) in placed {
        names.place(id, name);
    }
    Ok(names)
}

fn name_id(reader: &mut Reader<'_>) -> Result<NameId, Malformed> {
    NameId::try_from(reader.long()?).map_err(|_| Malformed("names"))
}

fn count(reader: &mut Reader<'_>) -> Result<i32, Malformed> {
    i32::try_from(reader.long()?).map_err(|_| Malformed("count"))
}

fn put_list<T>(
    out: &mut Vec<u8>,
    items: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.put_long(items.len() as i64);
    for item in items {
        put(out, item);
    }
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    (0..reader.length()?).map(|_| item(reader)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(change: impl FnOnce(&mut Cycle)) -> Result<Ledger, Malformed> {
        let mut ledger = Ledger::fresh();
        ledger.cycle =
            Cycle { next_delta: 9, floor: 2, trim_to: 4, pass_delta: 7, ..Cycle::default() };
        change(&mut ledger.cycle);
        Ledger::unpack(&ledger.pack(&PurposeNames::default())).map(|(ledger, _)| ledger)
    }

    /// Found by fuzzing: a bucket that is none, where the next batch looked it up.
    #[test]
    fn a_cycle_that_no_batch_can_have_left_is_refused() {
        assert!(unpacked(|_| ()).is_ok());
        assert!(unpacked(|cycle| cycle.bucket = BUCKETS as i64 - 1).is_ok());
        let changes: [fn(&mut Cycle); 8] = [
            |cycle| cycle.bucket = BUCKETS as i64,
            |cycle| cycle.bucket = -1,
            |cycle| cycle.floor = -1,
            |cycle| cycle.floor = 5,
            |cycle| cycle.trim_to = 8,
            |cycle| cycle.pass_delta = 10,
            |cycle| cycle.next_delta = i64::MAX,
            |cycle| cycle.debt = -1,
        ];
        for (at, change) in changes.into_iter().enumerate() {
            assert_eq!(unpacked(change).map(drop), Err(Malformed("cycle")), "change {at}");
        }
    }
}
