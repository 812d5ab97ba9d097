//! The tokens of a shop's subjects, computed as docs/contract/pseudonyms.md says, from the secret that
//! every shop's keyset has: 32 bytes from 0 to 31.
//!
//! `K = HKDF-SHA256(secret, "assent/v1", info)`; token = `[1] ‖ HMAC-SHA256(K, id)[0..16]`

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const VERSION: u8 = 1;

/// The secret of a shop's only key.
pub fn secret() -> Vec<u8> {
    (0..32).collect()
}

/// The key of a subject in `segments.<purpose>`.
pub fn pseudonym(purpose: &str, subject_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(pseudonym_bytes(purpose, subject_id))
}

/// The same as bytes; of the reserved purpose `audit`, what stands for the subject in the audit.
pub fn pseudonym_bytes(purpose: &str, subject_id: &str) -> [u8; 17] {
    token(&format!("pseudonym|{purpose}|{VERSION}"), subject_id)
}

/// The key of a subject under another key version than a shop's first.
pub fn pseudonym_under(version: u8, secret: &[u8], purpose: &str, subject_id: &str) -> String {
    let info = format!("pseudonym|{purpose}|{version}");
    URL_SAFE_NO_PAD.encode(token_under(version, secret, &info, subject_id))
}

/// The key of a session in `contextual-segments` on the UTC day of `occurred_at` (epoch ms).
pub fn session_token(session_id: &str, occurred_at: i64) -> String {
    session_token_under(VERSION, &secret(), session_id, occurred_at)
}

/// The same under another key version than a shop's first.
pub fn session_token_under(
    version: u8,
    secret: &[u8],
    session_id: &str,
    occurred_at: i64,
) -> String {
    let day = jiff::Timestamp::from_millisecond(occurred_at).expect("a date").strftime("%Y%m%d");
    let info = format!("session|{day}|{version}");
    URL_SAFE_NO_PAD.encode(token_under(version, secret, &info, session_id))
}

/// What says whether a subject is held out of a purpose: below a share of 2^64 (docs/contract/pseudonyms.md#holdout).
pub fn holdout_number(purpose: &str, subject_id: &str) -> u64 {
    let state = pseudonym_bytes("state", subject_id);
    let tag = hmac(&secret(), &format!("holdout|{purpose}|{VERSION}"), &state[1..]);
    u64::from_be_bytes(*tag.first_chunk().expect("16 bytes"))
}

fn token(info: &str, id: &str) -> [u8; 17] {
    token_under(VERSION, &secret(), info, id)
}

fn token_under(version: u8, secret: &[u8], info: &str, id: &str) -> [u8; 17] {
    let mut token = [version; 17];
    token[1..].copy_from_slice(&hmac(secret, info, id.as_bytes()));
    token
}

fn hmac(secret: &[u8], info: &str, data: &[u8]) -> [u8; 16] {
    let mut key = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(b"assent/v1"), secret);
    hkdf.expand(info.as_bytes(), &mut key).expect("32 bytes");
    let mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key").chain_update(data).finalize();
    *mac.into_bytes().first_chunk().expect("32 bytes")
}
