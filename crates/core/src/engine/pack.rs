//! A subject's packed form in assent-state. Private and versioned by the record that holds it: an
//! earlier format is read, and never written.
//!
//! ```text
//! flags      byte: 1 audit token · 2 record · 4 contradicted · 8 undecodable · 16 signal · 32 erased
//! token      17 bytes                                          (if 1)
//! record     version, age band, guardian?, second step?, decisions…, undeclared…   (if 2)
//! signal_at  ms · erased_at ms                                 (if 16 · if 32)
//! purposes   count, each: name, pseudonym (17 bytes), counters, flags, live (if 1), qualified (if 2)
//! ```
//! Numbers are Avro longs. A subject that is unpacked and packed again gives the same bytes. A
//! subject that has only a signal has no token: 8 bytes in all.

use super::signals::{self, Minute};
use super::subject::{Assigned, PurposeState, Subject};
use super::window::Counters;
use assent_contract::domain::binary::{Malformed, Reader, Write};
use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::merge::{DecisionInForce, GuardianTerms, RecordInForce, Undeclared};
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::SegmentSet;

const TOKEN: u8 = 1;
const RECORD: u8 = 2;
const CONTRADICTED: u8 = 4;
const UNDECODABLE: u8 = 8;
const SIGNAL: u8 = 16;
const ERASED: u8 = 32;

/// Of a purpose.
const LIVE: u8 = 1;
const QUALIFIED: u8 = 2;

pub fn pack_subject(subject: &Subject, out: &mut Vec<u8>) {
    let consent = &subject.consent;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        flag(subject.audit_token.is_some(), TOKEN)
            | flag(consent.record.is_some(), RECORD)
            | flag(consent.contradicted, CONTRADICTED)
            | flag(consent.undecodable, UNDECODABLE)
            | flag(consent.signal_at.is_some(), SIGNAL)
            | flag(consent.erased_at.is_some(), ERASED),
    );
    if let Some(token) = &subject.audit_token {
        out.put_fixed(token);
    }
    if let Some(record) = &consent.record {
        pack_record(record, out);
    }
    if let Some(at) = consent.signal_at {
        out.put_long(at.0);
    }
    if let Some(at) = consent.erased_at {
        out.put_long(at.0);
    }
    out.put_long(subject.purposes.len() as i64);
    for state in &subject.purposes {
        pack_purpose(state, out);
    }
}

/// A subject that has only a signal, packed as [`pack_subject`] would.
pub fn pack_signal(minute: Minute, out: &mut Vec<u8>) {
    out.push(SIGNAL);
    out.put_long(signals::time_of(minute).0);
    out.put_long(0);
}

/// The signal's minute, where nothing else was packed; a token next to it is of an earlier version.
pub fn unpack_signal(packed: &[u8]) -> Option<Minute> {
    let mut reader = Reader::new(packed);
    let flags = reader.byte().ok()?;
    if flags & !TOKEN != SIGNAL {
        return None;
    }
    if flags & TOKEN != 0 {
        reader.fixed::<17>().ok()?;
    }
    let signal_at = Timestamp(reader.long().ok()?);
    let is_alone = reader.long().ok()? == 0 && reader.is_empty();
    signals::minute_of(signal_at).filter(|_| is_alone)
}

/// `format` is the holding record's; `slots` says how many counters a purpose had under the rulebook
/// that packed it.
pub fn unpack_subject(
    reader: &mut Reader<'_>,
    format: u8,
    slots: impl Fn(u16) -> usize,
) -> Result<Subject, Malformed> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let mut subject = Subject::default();
    if has(TOKEN) {
        subject.audit_token = Some(reader.fixed()?);
    }
    if has(RECORD) {
        subject.consent.record = Some(unpack_record(reader, format)?);
    }
    subject.consent.contradicted = has(CONTRADICTED);
    subject.consent.undecodable = has(UNDECODABLE);
    if has(SIGNAL) {
        subject.consent.signal_at = Some(Timestamp(reader.long()?));
    }
    if has(ERASED) {
        subject.consent.erased_at = Some(Timestamp(reader.long()?));
    }
    let purposes = reader.length()?;
    subject.purposes.reserve_exact(purposes);
    for _ in 0..purposes {
        let state = unpack_purpose(reader, format, &slots)?;
        subject.purposes.push(state);
    }
    Ok(subject)
}

fn pack_record(record: &RecordInForce, out: &mut Vec<u8>) {
    out.put_long(record.version);
    out.put_long(record.age_band as i64);
    match record.guardian {
        None => out.push(0),
        Some(guardian) => {
            out.push(
                1 | u8::from(guardian.coppa_consent) << 1
                    | u8::from(guardian.coppa_disclosure) << 2
                    | u8::from(guardian.ccpa_authorization) << 3,
            );
            out.put_long(guardian.verified_at.0);
        }
    }
    out.put_optional_long(record.double_opt_in_at.map(|at| at.0));
    out.put_long(record.decisions.len() as i64);
    for decision in &record.decisions {
        out.put_long(i64::from(decision.purpose));
        out.put_long(decision.status as i64);
        out.put_long(decision.since.0);
        out.put_optional_long(decision.expires_at.map(|at| at.0));
    }
    out.put_long(record.undeclared.len() as i64);
    for decision in &record.undeclared {
        out.put_fixed(&decision.purpose.to_be_bytes());
        out.put_long(decision.status as i64);
        if let Some((since, expires_at)) = decision.term {
            out.put_long(since.0);
            out.put_optional_long(expires_at.map(|at| at.0));
        }
    }
}

fn unpack_record(reader: &mut Reader<'_>, format: u8) -> Result<RecordInForce, Malformed> {
    let version = reader.long()?;
    let age_band = age_band(reader.long()?)?;
    let guardian = match reader.byte()? {
        0 => None,
        flags => Some(GuardianTerms {
            verified_at: Timestamp(reader.long()?),
            coppa_consent: flags & 2 != 0,
            coppa_disclosure: flags & 4 != 0,
            ccpa_authorization: flags & 8 != 0,
        }),
    };
    let double_opt_in_at = reader.optional_long()?.map(Timestamp);
    let count = reader.length()?;
    let mut decisions = Vec::with_capacity(count);
    for _ in 0..count {
        decisions.push(DecisionInForce {
            purpose: name_id(reader)?,
            status: status(reader.long()?)?,
            since: Timestamp(reader.long()?),
            expires_at: reader.optional_long()?.map(Timestamp),
        });
    }
    let undeclared = if format == 1 { Vec::new() } else { unpack_undeclared(reader)? };
    Ok(RecordInForce { version, age_band, guardian, double_opt_in_at, decisions, undeclared })
}

fn unpack_undeclared(reader: &mut Reader<'_>) -> Result<Vec<Undeclared>, Malformed> {
    let count = reader.length()?;
    let mut undeclared = Vec::with_capacity(count);
    for _ in 0..count {
        let purpose = u64::from_be_bytes(reader.fixed()?);
        let status = status(reader.long()?)?;
        let term = match status {
            ConsentStatus::Granted => {
                Some((Timestamp(reader.long()?), reader.optional_long()?.map(Timestamp)))
            }
            _ => None,
        };
        undeclared.push(Undeclared { purpose, status, term });
    }
    Ok(undeclared)
}

fn pack_purpose(state: &PurposeState, out: &mut Vec<u8>) {
    out.put_long(i64::from(state.name));
    out.put_fixed(&state.pseudonym.0);
    state.counters.pack(out);
    let qualified = if state.qualified == 0 { 0 } else { QUALIFIED };
    let live = if state.live.is_some() { LIVE } else { 0 };
    out.push(live | qualified);
    if let Some(live) = &state.live {
        pack_segments(live.segments, out);
        out.put_long(live.basis as i64);
        out.put_long(live.decided_at.0);
        out.put_long((live.expires_at - live.decided_at).0);
        out.put_long(i64::from(live.edition));
    }
    if state.qualified != 0 {
        pack_segments(state.qualified, out);
    }
}

fn pack_segments(segments: SegmentSet, out: &mut Vec<u8>) {
    out.put_long(segments as u64 as i64);
    out.put_long((segments >> 64) as u64 as i64);
}

fn unpack_segments(reader: &mut Reader<'_>) -> Result<SegmentSet, Malformed> {
    let (low, high) = (reader.long()? as u64, reader.long()? as u64);
    Ok(u128::from(low) | u128::from(high) << 64)
}

fn unpack_purpose(
    reader: &mut Reader<'_>,
    format: u8,
    slots: &impl Fn(u16) -> usize,
) -> Result<PurposeState, Malformed> {
    let name = name_id(reader)?;
    let pseudonym = Pseudonym(reader.fixed()?);
    let counters = Counters::unpack(reader, slots(name))?;
    let flags = reader.byte()?;
    if flags & !(LIVE | QUALIFIED) != 0 {
        return Err(Malformed("purpose"));
    }
    let live = (flags & LIVE != 0).then(|| unpack_assigned(reader, format)).transpose()?;
    let qualified = if flags & QUALIFIED == 0 { 0 } else { unpack_segments(reader)? };
    Ok(PurposeState { name, pseudonym, counters, qualified, live })
}

fn unpack_assigned(reader: &mut Reader<'_>, format: u8) -> Result<Assigned, Malformed> {
    let segments = unpack_segments(reader)?;
    let basis = *usize::try_from(reader.long()?)
        .ok()
        .and_then(|index| Basis::ALL.get(index))
        .ok_or(Malformed("basis"))?;
    if format == 1 {
        let _consent_version = reader.long()?;
    }
    let decided_at = Timestamp(reader.long()?);
    Ok(Assigned {
        segments,
        basis,
        decided_at,
        expires_at: decided_at + Span(reader.long()?),
        edition: u16::try_from(reader.long()?).map_err(|_| Malformed("edition"))?,
    })
}

fn name_id(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    u16::try_from(reader.long()?).map_err(|_| Malformed("purpose"))
}

fn age_band(index: i64) -> Result<AgeBand, Malformed> {
    const BANDS: [AgeBand; 5] = [
        AgeBand::Unknown,
        AgeBand::Under13,
        AgeBand::From13To15,
        AgeBand::From16To17,
        AgeBand::From18,
    ];
    usize::try_from(index).ok().and_then(|i| BANDS.get(i)).copied().ok_or(Malformed("age band"))
}

fn status(index: i64) -> Result<ConsentStatus, Malformed> {
    const STATUSES: [ConsentStatus; 4] = [
        ConsentStatus::NotAsked,
        ConsentStatus::Granted,
        ConsentStatus::Denied,
        ConsentStatus::Withdrawn,
    ];
    usize::try_from(index).ok().and_then(|i| STATUSES.get(i)).copied().ok_or(Malformed("status"))
}
