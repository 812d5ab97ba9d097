//! Which segments an assignment named: the audit has only its hash, so every set that it may have named is
//! tried against it. What is found this way is proved by the audit itself, also once the topic has compacted
//! the value away.

use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::segment::AssignmentBody;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Purpose;

/// 65,535 sets of this many segments, each hashed for a few ends: some 0.1 s.
const SEGMENTS_MAX: usize = 16;

/// What is known of the assignment.
pub struct Known<'a> {
    pub pseudonym: &'a str,
    pub purpose: &'a Purpose,
    pub decided_at: Timestamp,
    /// Version of the rulebook.
    pub rulebook: &'a str,
    /// When it may end: its lease, or the grant's end.
    pub ends: &'a [Timestamp],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Ids, sorted.
    pub segments: Vec<String>,
    pub basis: Basis,
    pub expires_at: Timestamp,
}

/// `None`: none of what is possible has this hash, or there are too many segments to try.
pub fn named(known: &Known<'_>, hash: &Sha256Hash) -> Option<Named> {
    let ids: Vec<&str> = known.purpose.segments.iter().map(|it| it.id.as_str()).collect();
    if ids.len() > SEGMENTS_MAX {
        return None;
    }
    let mut body = Vec::new();
    for set in 1_u32..1 << ids.len() {
        let segments: Vec<&str> =
            (0..ids.len()).filter(|at| set & 1 << at != 0).map(|at| ids[at]).collect();
        for basis in [Basis::OptIn, Basis::GuardianOptIn, Basis::NotOptedOut] {
            for &expires_at in known.ends {
                body.clear();
                AssignmentBody {
                    pseudonym: known.pseudonym,
                    purpose: &known.purpose.id,
                    segments: &segments,
                    basis,
                    decided_at: known.decided_at,
                    expires_at,
                    rulebook: known.rulebook,
                }
                .encode(&mut body);
                if body_hash(&body) == *hash {
                    let segments = segments.iter().map(|&id| id.to_owned()).collect();
                    return Some(Named { segments, basis, expires_at });
                }
            }
        }
    }
    None
}
