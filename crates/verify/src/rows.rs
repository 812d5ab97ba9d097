//! What the first pass leaves for the second: a row says something of one pseudonym. No raw
//! identifier, no purpose and no audit token stands in it; rows of two purposes never lie together
//! (INV-6, INV-7).
//!
//! ```text
//! tag, pseudonym (17) | effect: partition, audit offset, decided_at, change
//!                     | say:    partition, verdict or unknown, the grant's end
//! ```

use assent_contract::domain::binary::{Malformed, Reader, Write};
use assent_contract::domain::outcome::Verdict;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::Timestamp;

/// Stands where nobody can tell the pseudonym: the subject is unknown, or the key's secret is gone.
pub const UNPLACED: Pseudonym = Pseudonym([0; 17]);

/// As much of a value's SHA-256 as tells two values apart.
pub type Digest = [u8; 16];

/// What was written under a pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    Assigned(Digest),
    /// With this reason, as its own number (see [`reason_number`]).
    Removed(u8),
}

/// What the gate says of a pseudonym at the end of the audit that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalVerdict {
    /// `None`: the topics don't tell.
    pub verdict: Option<Verdict>,
    /// Where the grant that it rests on ends, and a live value must say so.
    pub grant_ends_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Effect { partition: i32, offset: i64, decided_at: Timestamp, written: Written },
    FinalVerdict { partition: i32, final_verdict: FinalVerdict },
}

impl Row {
    pub fn encode(&self, pseudonym: Pseudonym, out: &mut Vec<u8>) {
        out.put_fixed(&pseudonym.0);
        match self {
            Self::Effect { partition, offset, decided_at, written } => {
                out.push(match written {
                    Written::Assigned(_) => 0,
                    Written::Removed(_) => 1,
                });
                out.put_long(i64::from(*partition));
                out.put_long(*offset);
                out.put_long(decided_at.0);
                match written {
                    Written::Assigned(digest) => out.put_fixed(digest),
                    Written::Removed(reason) => out.push(*reason),
                }
            }
            Self::FinalVerdict { partition, final_verdict } => {
                out.push(2);
                out.put_long(i64::from(*partition));
                out.put_long(final_verdict.verdict.map_or(-1, |verdict| verdict as i64));
                out.put_optional_long(final_verdict.grant_ends_at.map(|at| at.0));
            }
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<(Pseudonym, Self), Malformed> {
        let pseudonym = Pseudonym(reader.fixed()?);
        let tag = reader.byte()?;
        let partition = reader.int()?;
        if tag == 2 {
            let verdict = reader.long()?;
            let verdict = usize::try_from(verdict).ok().map(|at| Verdict::ALL[at]);
            let grant_ends_at = reader.optional_long()?.map(Timestamp);
            let final_verdict = FinalVerdict { verdict, grant_ends_at };
            return Ok((pseudonym, Self::FinalVerdict { partition, final_verdict }));
        }
        let (offset, decided_at) = (reader.long()?, Timestamp(reader.long()?));
        let written = match tag {
            0 => Written::Assigned(reader.fixed()?),
            1 => Written::Removed(reader.byte()?),
            _ => return Err(Malformed("row")),
        };
        Ok((pseudonym, Self::Effect { partition, offset, decided_at, written }))
    }
}

/// The reasons that are no verdict (docs/contract/topics.md#tombstones); `consent_stale`: a lease that
/// ended behind a closed gate (docs/decisions/0007-leases-and-timers.md).
const REASONS: [&str; 4] = ["erasure", "segments_left", "rulebook_changed", "key_retired"];

/// A tombstone's reason as a number; `None`: there is no such reason.
pub fn reason_number(reason: &str) -> Option<u8> {
    let verdicts = Verdict::ALL.iter().filter(|verdict| !verdict.allows());
    let mut labels = REASONS.into_iter().chain(verdicts.map(|verdict| verdict.label()));
    labels.position(|label| label == reason).map(|at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_encoding() {
        let final_verdict = |verdict, end: Option<i64>| Row::FinalVerdict {
            partition: 3,
            final_verdict: FinalVerdict { verdict, grant_ends_at: end.map(Timestamp) },
        };
        let effect = |written| {
            let decided_at = Timestamp(1_795_305_600_000);
            Row::Effect { partition: 1, offset: 1 << 40, decided_at, written }
        };
        let rows = [
            effect(Written::Assigned([7; 16])),
            effect(Written::Removed(9)),
            final_verdict(None, None),
            final_verdict(Some(Verdict::CollectedBeforeConsent), Some(-4)),
        ];
        let mut bytes = Vec::new();
        for row in &rows {
            row.encode(Pseudonym([5; 17]), &mut bytes);
        }
        let mut reader = Reader::new(&bytes);
        for row in rows {
            assert_eq!(Row::decode(&mut reader), Ok((Pseudonym([5; 17]), row)));
        }
        assert!(reader.is_empty());
    }

    #[test]
    fn every_reason_of_the_contract_has_its_number() {
        let contract = "opted_out opt_out_signal guardian_consent_missing own_opt_in_missing \
            opt_in_missing consent_expired consent_unreadable purpose_suspended \
            collected_before_consent erasure segments_left rulebook_changed key_retired \
            consent_stale";
        let numbers: std::collections::BTreeSet<u8> =
            contract.split_whitespace().map(|reason| reason_number(reason).unwrap()).collect();
        assert_eq!(numbers.len(), 14);
        assert_eq!(reason_number("family-000042"), None);
        assert_eq!(reason_number("opt_in"), None);
    }
}
