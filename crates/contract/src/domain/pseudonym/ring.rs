//! The keys that make tokens, derived and prepared once, so that a token costs one HMAC.
//!
//! A prepared key is an HMAC state after its key block: a call clones it and never keys anew.
//! Deterministic: the cache of session keys changes how long a token takes, never the token.

use std::collections::BTreeMap;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Pseudonym;
use super::keyset::{Keyset, Secret, Status};
use crate::domain::audit::AuditToken;
use crate::domain::calendar::civil;
use crate::domain::time::{Span, Timestamp};

/// HKDF's salt (docs/contract/pseudonyms.md#derivation).
const SALT: &[u8] = b"assent/v1";

/// The reserved purpose under which the audit names a subject (docs/contract/pseudonyms.md#derivation).
pub(super) const AUDIT: &str = "audit";

/// The reserved purpose under which the state is keyed.
pub(super) const STATE: &str = "state";

/// Session keys kept prepared: clicks come from today and the day before, a replay walks through
/// its days, and two late days still find room.
const SESSION_DAYS_KEPT: usize = 4;

/// The keys of a keyset, prepared for a rulebook's purposes. Does not change, so threads share it.
pub struct KeyRing {
    active: VersionKeys,
    retiring: Vec<VersionKeys>,
    audit: TokenKey,
    /// Purpose `state` under the lowest version, whatever its status.
    state: TokenKey,
    session_root: Root,
    /// Of the versions that are active or retiring.
    sealing: BTreeMap<u8, Zeroizing<[u8; 32]>>,
    /// Of the lowest version, as `state` is: what the intake keeps for years outlives rotations.
    lasting: Zeroizing<[u8; 32]>,
    finding: TokenKey,
    /// Of the lowest version, by the purpose's index.
    holdouts: Vec<TokenKey>,
    fingerprints: BTreeMap<u8, [u8; 32]>,
    versions: Vec<(u8, Status)>,
}

/// A version's keys, by the purpose's index.
struct VersionKeys {
    version: u8,
    purposes: Vec<TokenKey>,
}

impl KeyRing {
    /// `purposes` are the rulebook's, in its order: their index here is theirs everywhere.
    pub fn new(keyset: &Keyset, purposes: &[String]) -> Self {
        let roots: BTreeMap<u8, (Status, Root)> = keyset
            .secrets()
            .map(|(version, status, secret)| (version, (status, Root::new(version, secret))))
            .collect();
        let prepare = |root: &Root| VersionKeys {
            version: root.version,
            purposes: purposes.iter().map(|purpose| root.purpose_key(purpose)).collect(),
        };
        let active = &roots[&keyset.active()].1;
        let lowest = &roots[&keyset.lowest()].1;
        Self {
            active: prepare(active),
            retiring: roots
                .values()
                .filter(|(status, _)| *status == Status::Retiring)
                .map(|(_, root)| prepare(root))
                .collect(),
            audit: active.purpose_key(AUDIT),
            state: lowest.purpose_key(STATE),
            session_root: active.clone(),
            sealing: roots
                .iter()
                .filter(|(_, (status, _))| *status != Status::Retired)
                .map(|(&version, (_, root))| (version, root.derive("intake", "seal")))
                .collect(),
            lasting: lowest.derive("intake", "lasting"),
            finding: TokenKey::new(&lowest.derive("intake", "finding")),
            holdouts: purposes.iter().map(|purpose| lowest.holdout_key(purpose)).collect(),
            fingerprints: roots
                .iter()
                .map(|(&version, (_, root))| (version, *root.derive("fingerprint", "")))
                .collect(),
            versions: keyset.versions().collect(),
        }
    }

    /// The version that is emitted.
    pub fn active(&self) -> u8 {
        self.active.version
    }

    /// What the state keeps a subject under: the same for as long as the lowest key exists.
    pub fn state_token(&self, subject: &[u8]) -> u128 {
        u128::from_be_bytes(self.state.hmac16(subject))
    }

    /// What says whether a subject of the state is held out of a purpose (docs/contract/pseudonyms.md#holdout):
    /// evenly distributed, and the same for as long as the lowest key exists. Whoever knows the state's token
    /// needs no raw id.
    pub fn holdout_number(&self, purpose_index: usize, state_token: u128) -> u64 {
        self.holdouts[purpose_index].number(state_token)
    }

    /// The key under which the intake seals what it keeps for itself (docs/decisions/0020-the-intake.md), of a
    /// version that is active or retiring. No purpose and no token shares it: its info begins with a domain
    /// of its own.
    pub fn sealing_key(&self, version: u8) -> Option<&Zeroizing<[u8; 32]>> {
        self.sealing.get(&version)
    }

    /// The key under which the intake seals what it keeps for years: the same for as long as the lowest key
    /// exists.
    pub fn lasting_key(&self) -> &Zeroizing<[u8; 32]> {
        &self.lasting
    }

    /// What the intake finds something of this text again by, without its being readable: the same for as
    /// long as the lowest key exists.
    pub fn finding(&self, text: &[u8]) -> [u8; 16] {
        self.finding.hmac16(text)
    }

    /// The subject in the audit, under the active version.
    pub fn audit_token(&self, subject: &[u8]) -> AuditToken {
        self.audit.token(self.active.version, subject).0
    }

    /// The subject for a purpose, under the active version.
    pub fn pseudonym(&self, purpose_index: usize, subject: &[u8]) -> Pseudonym {
        self.active.pseudonym(purpose_index, subject)
    }

    /// The same under another version; `None`: the keyset has it neither active nor retiring.
    pub fn pseudonym_under(
        &self,
        version: u8,
        purpose_index: usize,
        subject: &[u8],
    ) -> Option<Pseudonym> {
        std::iter::once(&self.active)
            .chain(&self.retiring)
            .find(|keys| keys.version == version)
            .map(|keys| keys.pseudonym(purpose_index, subject))
    }

    /// The session on the UTC day of `occurred_at`, under the active version. `prepared` is the caller's, and
    /// keeps the keys of the days that it asks for.
    pub fn session_token(
        &self,
        prepared: &mut SessionKeys,
        session_id: &str,
        occurred_at: Timestamp,
    ) -> Pseudonym {
        let day = occurred_at.0.div_euclid(Span::DAY.0);
        let key = prepared.of_day(day, &self.session_root);
        key.token(self.active.version, session_id.as_bytes())
    }

    /// Is this version in the keyset, whatever its status?
    pub fn has_version(&self, version: u8) -> bool {
        self.versions.iter().any(|(known, _)| *known == version)
    }

    /// The versions under which a key can be live: active or retiring.
    pub fn live_versions(&self) -> impl Iterator<Item = u8> {
        let live = self.versions.iter().filter(|(_, status)| *status != Status::Retired);
        live.map(|(version, _)| *version)
    }

    /// Was there never another version? Then no token is under an old one.
    pub fn has_one_version(&self) -> bool {
        self.versions.len() == 1
    }

    /// The same versions with the same statuses and secrets?
    pub fn is_like(&self, other: &Self) -> bool {
        self.versions == other.versions && self.fingerprints == other.fingerprints
    }

    /// Has it every version of an earlier ring, none with another secret? An emptied one has none.
    pub fn continues(&self, earlier: &Self) -> bool {
        earlier.versions.iter().all(|(version, _)| self.has_version(*version))
            && earlier.fingerprints.iter().all(|(version, print)| {
                self.fingerprints.get(version).is_none_or(|now| now == print)
            })
    }

    /// Per key version what tells two secrets apart and reveals nothing of either. A version whose
    /// secret was emptied is absent.
    pub fn fingerprints(&self) -> &BTreeMap<u8, [u8; 32]> {
        &self.fingerprints
    }
}

impl VersionKeys {
    fn pseudonym(&self, purpose_index: usize, subject: &[u8]) -> Pseudonym {
        self.purposes[purpose_index].token(self.version, subject)
    }
}

/// HMAC-SHA256 with its key already taken in.
pub(super) struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    pub(super) fn hmac16(&self, data: &[u8]) -> [u8; 16] {
        let tag = self.0.clone().chain_update(data).finalize().into_bytes();
        *tag.first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// The first 8 bytes of the HMAC of a token of the state.
    pub(super) fn number(&self, state_token: u128) -> u64 {
        let tag = self.hmac16(&state_token.to_be_bytes());
        u64::from_be_bytes(*tag.first_chunk().expect("16 bytes"))
    }

    pub(super) fn token(&self, version: u8, data: &[u8]) -> Pseudonym {
        let mut token = [version; 17];
        token[1..].copy_from_slice(&self.hmac16(data));
        Pseudonym(token)
    }
}

/// A version's secret after HKDF's extract step: every key of the version is expanded from it.
#[derive(Clone)]
pub(super) struct Root {
    version: u8,
    hkdf: Hkdf<Sha256>,
}

impl Root {
    pub(super) fn new(version: u8, secret: &Secret) -> Self {
        Self { version, hkdf: Hkdf::new(Some(SALT), &secret.0) }
    }

    /// HKDF's expand step with info `<domain>|<name>|<version>`.
    fn derive(&self, domain: &str, name: &str) -> Zeroizing<[u8; 32]> {
        let info = format!("{domain}|{name}|{}", self.version);
        let mut key = Zeroizing::new([0; 32]);
        self.hkdf
            .expand(info.as_bytes(), key.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8160 bytes");
        key
    }

    pub(super) fn purpose_key(&self, purpose: &str) -> TokenKey {
        TokenKey::new(&self.derive("pseudonym", purpose))
    }

    pub(super) fn holdout_key(&self, purpose: &str) -> TokenKey {
        TokenKey::new(&self.derive("holdout", purpose))
    }

    fn session_key(&self, day: i64) -> TokenKey {
        TokenKey::new(&self.derive("session", &yyyymmdd(day)))
    }
}

/// The session keys of the days asked for last, by key version and day; the oldest entry makes room.
#[derive(Default)]
pub struct SessionKeys {
    days: Vec<((u8, i64), TokenKey)>,
    next: usize,
}

impl SessionKeys {
    fn of_day(&mut self, day: i64, root: &Root) -> &TokenKey {
        let asked = (root.version, day);
        let index = match self.days.iter().position(|(kept, _)| *kept == asked) {
            Some(index) => index,
            None => self.keep(asked, root.session_key(day)),
        };
        &self.days[index].1
    }

    fn keep(&mut self, asked: (u8, i64), key: TokenKey) -> usize {
        if self.days.len() < SESSION_DAYS_KEPT {
            self.days.push((asked, key));
            return self.days.len() - 1;
        }
        let index = self.next;
        self.next = (index + 1) % SESSION_DAYS_KEPT;
        self.days[index] = (asked, key);
        index
    }
}

/// `YYYYMMDD` of a day since 1970-01-01.
fn yyyymmdd(day: i64) -> String {
    let (year, month, day_of_month) = civil(day);
    format!("{year:04}{month:02}{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::yyyymmdd;

    #[test]
    fn days_are_written_as_the_calendar_has_them() {
        for (day, expected) in [
            (0, "19700101"),
            (-1, "19691231"),
            (11_016, "20000229"),
            (20_780, "20261123"),
            (20_788, "20261201"),
            (47_540, "21000228"),
            (47_541, "21000301"),
        ] {
            assert_eq!(yyyymmdd(day), expected);
        }
    }

    #[test]
    fn no_timestamp_overflows_the_calendar() {
        yyyymmdd(i64::MIN.div_euclid(86_400_000));
        yyyymmdd(i64::MAX.div_euclid(86_400_000));
    }
}
