//! A partition's record of its audiences, under the state key `a`, directly before `meta`: written in every
//! transaction of a partition whose rulebook has a minimum audience, so that it is found near the end of the
//! topic by whoever owns another partition. Private, versioned by its first byte.
//!
//! ```text
//! format     byte: 1
//! rulebook   SHA-256
//! at         ms
//! stated     0 or 1: the audit says how they stand under this rulebook
//! sweep      0, or 1 and the next token (16 bytes)
//! segments   count, each: members, 0 closed · 1 open · 2 held and since when (ms)
//! ```
//! Numbers are Avro longs; segments lie in the order of the rulebook's purposes and theirs.

use super::heard::Said;
use crate::engine::token::StateToken;
use assent_contract::domain::binary::{Malformed, Reader, Write};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_contract::rulebook::audience::Standing;

const FORMAT: u8 = 1;

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const HELD: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceRecord {
    pub said: Said,
    /// As many as counts.
    pub standings: Vec<Standing>,
    pub is_stated: bool,
    pub sweep: Option<StateToken>,
}

impl AudienceRecord {
    pub fn pack(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.put_fixed(&self.said.rulebook);
        out.put_long(self.said.at.0);
        out.put_bool(self.is_stated);
        out.put_bool(self.sweep.is_some());
        if let Some(token) = self.sweep {
            out.put_fixed(&token.to_be_bytes());
        }
        out.put_long(self.standings.len() as i64);
        for (members, standing) in self.said.counts.iter().zip(&self.standings) {
            out.put_long(*members as i64);
            match standing {
                Standing::Closed => out.push(CLOSED),
                Standing::Open => out.push(OPEN),
                Standing::Held { since } => {
                    out.push(HELD);
                    out.put_long(since.0);
                }
            }
        }
        out
    }

    pub fn unpack(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        if r.byte()? != FORMAT {
            return Err(Malformed("format"));
        }
        let (rulebook, at) = (r.fixed()?, Timestamp(r.long()?));
        let is_stated = r.bool()?;
        let token = |bytes| StateToken::from_be_bytes(bytes);
        let sweep = if r.bool()? { Some(token(r.fixed()?)) } else { None };
        let (mut counts, mut standings) = (Vec::new(), Vec::new());
        for _ in 0..r.length()? {
            counts.push(u64::try_from(r.long()?).map_err(|_| Malformed("members"))?);
            standings.push(match r.byte()? {
                CLOSED => Standing::Closed,
                OPEN => Standing::Open,
                HELD => Standing::Held { since: Timestamp(r.long()?) },
                _ => return Err(Malformed("standing")),
            });
        }
        if !r.is_empty() {
            return Err(Malformed("end"));
        }
        Ok(Self { said: Said { rulebook, at, counts }, standings, is_stated, sweep })
    }

    /// Was this segment not closed, under the rulebook that the record is of?
    pub fn names(&self, of: &Rulebook, purpose: &str, segment: &str) -> bool {
        let with_least = of.purposes.iter().filter(|it| it.min_members.is_some());
        let segments = with_least.flat_map(|it| it.segments.iter().map(move |rule| (it, rule)));
        let mut each = segments.zip(&self.standings);
        let found = each.find(|((it, rule), _)| it.id == purpose && rule.id == segment);
        self.said.rulebook == of.sha256
            && found.is_some_and(|(_, standing)| *standing != Standing::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_a_broken_one_is_refused() {
        let standings =
            vec![Standing::Closed, Standing::Open, Standing::Held { since: Timestamp(7) }];
        let said = Said { rulebook: [3; 32], at: Timestamp(5), counts: vec![1, 300, 4] };
        for sweep in [None, Some(0), Some(7 << 120)] {
            let (said, standings) = (said.clone(), standings.clone());
            let record = AudienceRecord { said, standings, is_stated: sweep.is_none(), sweep };
            let packed = record.pack();
            assert_eq!(AudienceRecord::unpack(&packed), Ok(record));
            for length in 0..packed.len() {
                assert!(AudienceRecord::unpack(&packed[..length]).is_err(), "{length}");
            }
        }
    }
}
