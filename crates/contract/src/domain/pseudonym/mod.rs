//! Pseudonyms: keyed tokens of a subject, of one purpose and one key version
//! (docs/contract/pseudonyms.md).
//!
//! `K = HKDF-SHA256(secret, salt "assent/v1", info "pseudonym|<purpose>|<version>")`;
//! the 17 bytes are `[version] ‖ HMAC-SHA256(K, subject_id)[0..16]`; the text is their base64url,
//! unpadded, 23 characters. Keeps INV-7: no two purposes, and no two days' session tokens, share a
//! key. Knows no file and no randomness: secrets are handed in, and are wiped on drop.

mod history;
mod keyset;
mod ring;

pub use history::KeyHistory;
pub use keyset::{Keyset, KeysetError, Status};
pub use ring::{KeyRing, SessionKeys};

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Length of a pseudonym's text: 17 bytes in base64url, unpadded.
pub const TEXT_LEN: usize = 23;

/// The key version's byte, then 16 bytes of HMAC-SHA256. Also a session token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub [u8; 17]);

impl Pseudonym {
    /// The version of the key that made it.
    pub fn version(&self) -> u8 {
        self.0[0]
    }

    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The text without an allocation: always ASCII, fills `out`.
    pub fn write_text<'a>(&self, out: &'a mut [u8; TEXT_LEN]) -> &'a str {
        let written = URL_SAFE_NO_PAD
            .encode_slice(self.0, out.as_mut_slice())
            .expect("17 bytes are 23 characters of base64");
        std::str::from_utf8(&out[..written]).expect("base64 is ASCII")
    }

    /// Reads exactly what [`Self::text`] writes; `None`: not a pseudonym.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 18];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let token: [u8; 17] = bytes[..written].try_into().ok()?;
        (token[0] != 0).then_some(Self(token))
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_text(&mut [0; TEXT_LEN]))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
