//! The keyset file's content: parsed strictly, secrets wiped on drop and never shown.
//!
//! `{"keys":[{"version":1,"status":"active","secret":"<base64 of 32 bytes>"}]}`
//!
//! Knows no path and no permission bits: whoever reads the file checks those. No type here has
//! `Debug`, and no message repeats a byte of the file but key versions
//! (docs/contract/pseudonyms.md#keyset).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a secret.
const SECRET_LEN: usize = 32;

/// What a key version is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Emitted; exactly one.
    Active,
    /// No longer emitted, still tombstoned.
    Retiring,
    /// Kept so that the version is never used again; emptied, but for the lowest version's.
    Retired,
}

impl Status {
    pub fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// The keys of an installation. At least one; exactly one is active; the lowest has a secret.
#[derive(Clone)]
pub struct Keyset {
    keys: BTreeMap<u8, Key>,
}

#[derive(Clone)]
struct Key {
    status: Status,
    /// `None`: emptied.
    secret: Option<Secret>,
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret(pub(super) [u8; SECRET_LEN]);

/// Why a keyset is refused. For a person; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysetError {
    /// Not JSON, or not of the keyset's shape, at this place.
    Malformed {
        line: usize,
        column: usize,
        is_json: bool,
    },
    NoKeys,
    VersionOutOfRange(i64),
    DuplicateVersion(u8),
    /// How many keys are active instead of one.
    ActiveKeys(usize),
    /// Not base64 of exactly 32 bytes.
    BadSecret(u8),
    /// Emptied, but not retired.
    MissingSecret(u8, Status),
    /// Emptied, but the lowest version: the state is keyed under it.
    LowestEmptied(u8),
    UnknownVersion(u8),
    /// Only a retiring key can be retired.
    NotRetiring(u8, Status),
}

impl fmt::Display for KeysetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { line, column, is_json: false } => {
                write!(f, "line {line}, column {column}: not valid JSON")
            }
            Self::Malformed { line, column, is_json: true } => write!(
                f,
                "line {line}, column {column}: expected {{\"keys\": [..]}}, each key with exactly \
                 one \"version\" (1 to 255), \"status\" (active, retiring or retired) and \"secret\" \
                 (base64 of 32 bytes)"
            ),
            Self::NoKeys => f.write_str("contains no key; create a keyset with `assent keys new`"),
            Self::VersionOutOfRange(version) => {
                write!(f, "key version {version}: must be from 1 to 255")
            }
            Self::DuplicateVersion(version) => {
                write!(f, "key version {version} appears twice; each version must be unique")
            }
            Self::ActiveKeys(count) => {
                write!(f, "{count} keys are active; exactly one must be")
            }
            Self::BadSecret(version) => write!(
                f,
                "key version {version}: `secret` is not base64 of exactly 32 bytes; restore the \
                 keyset from your backup"
            ),
            Self::MissingSecret(version, status) => write!(
                f,
                "key version {version} is {} and has no secret; only a retired key may have none",
                status.label()
            ),
            Self::UnknownVersion(version) => {
                write!(
                    f,
                    "key version {version} does not exist; `assent keys show` lists the versions"
                )
            }
            Self::NotRetiring(version, status) => write!(
                f,
                "key version {version} is {}; only a retiring key can be retired",
                status.label()
            ),
            Self::LowestEmptied(version) => write!(
                f,
                "key version {version} is the lowest and has no secret, but the state is keyed \
                 with it; restore the keyset from your backup"
            ),
        }
    }
}

impl std::error::Error for KeysetError {}

impl Keyset {
    /// A new installation's keyset: one active key, version 1. `secret` is 32 random bytes.
    pub fn first(secret: [u8; SECRET_LEN]) -> Self {
        let key = Key { status: Status::Active, secret: Some(Secret(secret)) };
        Self { keys: BTreeMap::from([(1, key)]) }
    }

    /// A new active key after the highest version; the old one is retiring: no longer emitted, still
    /// tombstoned. `secret` is 32 random bytes. Returns the new version.
    pub fn rotate(&mut self, secret: [u8; SECRET_LEN]) -> Result<u8, KeysetError> {
        let highest = *self.keys.last_key_value().expect("a keyset is not empty").0;
        let Some(version) = highest.checked_add(1) else {
            return Err(KeysetError::VersionOutOfRange(i64::from(highest) + 1));
        };
        let active = self.active();
        self.keys.entry(active).and_modify(|key| key.status = Status::Retiring);
        let key = Key { status: Status::Active, secret: Some(Secret(secret)) };
        self.keys.insert(version, key);
        Ok(version)
    }

    /// Retires a retiring version for ever: its secret is emptied, but for the lowest version's,
    /// since the state is keyed under that one.
    pub fn retire(&mut self, version: u8) -> Result<(), KeysetError> {
        let lowest = self.lowest();
        let key = self.keys.get_mut(&version).ok_or(KeysetError::UnknownVersion(version))?;
        if key.status != Status::Retiring {
            return Err(KeysetError::NotRetiring(version, key.status));
        }
        key.status = Status::Retired;
        if version != lowest {
            key.secret = None;
        }
        Ok(())
    }

    /// Reads a keyset file's text. Strict: an unknown field is refused, and one that is there twice. A
    /// byte order mark is passed over.
    pub fn parse(json: &str) -> Result<Self, KeysetError> {
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let file: KeysetFile = serde_json::from_str(json).map_err(|error| malformed(&error))?;
        let mut keys = BTreeMap::new();
        for entry in &file.keys {
            let version = entry.version()?;
            if keys.insert(version, entry.key(version)?).is_some() {
                return Err(KeysetError::DuplicateVersion(version));
            }
        }
        let keyset = Self { keys };
        keyset.check()?;
        Ok(keyset)
    }

    fn check(&self) -> Result<(), KeysetError> {
        let Some((&lowest, lowest_key)) = self.keys.first_key_value() else {
            return Err(KeysetError::NoKeys);
        };
        let active = self.keys.values().filter(|key| key.status == Status::Active).count();
        if active != 1 {
            return Err(KeysetError::ActiveKeys(active));
        }
        for (&version, key) in &self.keys {
            if key.secret.is_none() && key.status != Status::Retired {
                return Err(KeysetError::MissingSecret(version, key.status));
            }
        }
        if lowest_key.secret.is_none() {
            return Err(KeysetError::LowestEmptied(lowest));
        }
        Ok(())
    }

    /// The file's text, keys by version, ending in a newline. Holds the secrets.
    pub fn to_json(&self) -> Zeroizing<String> {
        // Below 128 bytes a key, so that the text is never copied while it grows.
        let mut json = Zeroizing::new(String::with_capacity(32 + self.keys.len() * 128));
        json.push_str("{\"keys\": [");
        for (index, (version, key)) in self.keys.iter().enumerate() {
            json.push_str(if index == 0 { "\n" } else { ",\n" });
            json.push_str("  {\"version\": ");
            json.push_str(&version.to_string());
            json.push_str(", \"status\": \"");
            json.push_str(key.status.label());
            json.push_str("\", \"secret\": \"");
            if let Some(secret) = &key.secret {
                STANDARD.encode_string(secret.0, &mut json);
            }
            json.push_str("\"}");
        }
        json.push_str("\n]}\n");
        json
    }

    /// Every version and what it is used for, lowest first.
    pub fn versions(&self) -> impl Iterator<Item = (u8, Status)> + '_ {
        self.keys.iter().map(|(&version, key)| (version, key.status))
    }

    /// The version that is emitted.
    pub fn active(&self) -> u8 {
        self.versions()
            .find_map(|(version, status)| (status == Status::Active).then_some(version))
            .expect("a keyset has an active key")
    }

    /// The version that the state is keyed under.
    pub fn lowest(&self) -> u8 {
        *self.keys.first_key_value().expect("a keyset is not empty").0
    }

    /// The versions that have a secret, with it, lowest first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (u8, Status, &Secret)> {
        self.keys
            .iter()
            .filter_map(|(&version, key)| Some((version, key.status, key.secret.as_ref()?)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysetFile {
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    version: i64,
    status: Status,
    secret: SecretText,
}

/// Base64, wiped on drop.
#[derive(Deserialize, ZeroizeOnDrop)]
#[serde(transparent)]
struct SecretText(String);

impl KeyEntry {
    fn version(&self) -> Result<u8, KeysetError> {
        u8::try_from(self.version)
            .ok()
            .filter(|&version| version > 0)
            .ok_or(KeysetError::VersionOutOfRange(self.version))
    }

    fn key(&self, version: u8) -> Result<Key, KeysetError> {
        let secret = match self.secret.0.as_str() {
            "" => None,
            text => Some(decode_secret(text).ok_or(KeysetError::BadSecret(version))?),
        };
        Ok(Key { status: self.status, secret })
    }
}

fn decode_secret(text: &str) -> Option<Secret> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Secret)
}

/// The parser's own message may quote the file, so only its place is kept.
fn malformed(error: &serde_json::Error) -> KeysetError {
    KeysetError::Malformed { line: error.line(), column: error.column(), is_json: error.is_data() }
}
