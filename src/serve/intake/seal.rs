//! What waits in `consent-intake-state` names subjects by their raw ids, which nobody but the intake may read
//! (INV-6): it is sealed with XChaCha20-Poly1305 under a key of the keyset's own domain.
//!
//! ```text
//! 01 | key version, 1 byte | nonce, 24 bytes | ciphertext and tag      what waits for seconds
//! 02 | nonce, 24 bytes | ciphertext and tag                            what lasts
//! ```
//!
//! What lasts is sealed under a key of the lowest version, as the state is keyed: a version may be retired
//! while it is still needed.
//!
//! The record's Kafka key is authenticated along, so no value can be moved under another one.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use assent_contract::domain::pseudonym::KeyRing;

const FORMAT: u8 = 1;
const LASTING: u8 = 2;
const NONCE: usize = 24;

/// Why a value can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// It is of no format that this version knows, or was altered.
    Foreign,
    /// The keyset has this version neither active nor retiring.
    NoKey(u8),
}

/// Fails only where there is no randomness.
pub fn seal(keys: &KeyRing, under: &[u8], plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
    let version = keys.active();
    let mut sealed = vec![FORMAT, version];
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)?;
    sealed.extend_from_slice(&nonce);
    let cipher = cipher(keys, version).expect("the active version has its key");
    let payload = Payload { msg: plain, aad: under };
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).expect("far below its bound");
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

pub fn open(keys: &KeyRing, under: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
    let (&[format, version], rest) = sealed.split_first_chunk().ok_or(Unopened::Foreign)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(Unopened::Foreign)?;
    if format != FORMAT {
        return Err(Unopened::Foreign);
    }
    let cipher = cipher(keys, version).ok_or(Unopened::NoKey(version))?;
    let payload = Payload { msg: ciphertext, aad: under };
    cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unopened::Foreign)
}

/// What is kept beyond the life of a key version. Fails only where there is no randomness.
pub fn seal_lasting(
    keys: &KeyRing,
    under: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, getrandom::Error> {
    let mut sealed = vec![LASTING];
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce)?;
    sealed.extend_from_slice(&nonce);
    let payload = Payload { msg: plain, aad: under };
    let cipher = XChaCha20Poly1305::new(&Key::from(**keys.lasting_key()));
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).expect("far below its bound");
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

pub fn open_lasting(keys: &KeyRing, under: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
    let (&[format], rest) = sealed.split_first_chunk().ok_or(Unopened::Foreign)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(Unopened::Foreign)?;
    if format != LASTING {
        return Err(Unopened::Foreign);
    }
    let payload = Payload { msg: ciphertext, aad: under };
    let cipher = XChaCha20Poly1305::new(&Key::from(**keys.lasting_key()));
    cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unopened::Foreign)
}

fn cipher(keys: &KeyRing, version: u8) -> Option<XChaCha20Poly1305> {
    keys.sealing_key(version).map(|key| XChaCha20Poly1305::new(&Key::from(**key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::pseudonym::Keyset;

    #[test]
    fn what_was_sealed_opens_under_its_own_key_alone() {
        let mut keyset = Keyset::first([1; 32]);
        let before = KeyRing::new(&keyset, &[]);
        let sealed = seal(&before, b"c/1", b"somebody").unwrap();
        assert!(!sealed.windows(8).any(|window| window == b"somebody"));
        assert_ne!(sealed, seal(&before, b"c/1", b"somebody").unwrap(), "a nonce is used once");
        keyset.rotate([2; 32]).unwrap();
        let after = KeyRing::new(&keyset, &[]);
        assert_eq!(open(&after, b"c/1", &sealed).as_deref(), Ok(&b"somebody"[..]));
        assert_eq!(open(&after, b"c/2", &sealed), Err(Unopened::Foreign));
        let lasting = seal_lasting(&before, b"h/1", b"somebody").unwrap();
        assert_eq!(open_lasting(&after, b"h/1", &lasting).as_deref(), Ok(&b"somebody"[..]));
        assert_eq!(open_lasting(&after, b"h/2", &lasting), Err(Unopened::Foreign));
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(open(&after, b"c/1", &altered), Err(Unopened::Foreign));
        let other = KeyRing::new(&Keyset::first([3; 32]), &[]);
        assert_eq!(open(&other, b"c/1", &sealed), Err(Unopened::Foreign));
        keyset.rotate([4; 32]).unwrap();
        keyset.retire(1).unwrap();
        let retired = KeyRing::new(&keyset, &[]);
        assert_eq!(open(&retired, b"c/1", &sealed), Err(Unopened::NoKey(1)));
        assert_eq!(open_lasting(&retired, b"h/1", &lasting).as_deref(), Ok(&b"somebody"[..]));
        assert_eq!(open_lasting(&other, b"h/1", &lasting), Err(Unopened::Foreign));
        for length in 0..sealed.len() {
            assert!(open_lasting(&after, b"c/1", &sealed[..length]).is_err());
            assert!(open(&after, b"c/1", &sealed[..length]).is_err());
        }
    }
}
