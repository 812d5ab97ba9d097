//! Signed notes and their keys (C2SP signed-note), as Go's golang.org/x/mod/sumdb/note reads and writes them.
//!
//! ```text
//! <text, each line ended>
//!
//! — <key name> <base64 of the key's id, 4 bytes, and the Ed25519 signature over the text>
//!
//! verifier key  <name>+<id, hex>+<base64 of 01 and the public key>
//! signing key   PRIVATE+KEY+<name>+<id, hex>+<base64 of 01 and the seed>
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The kind of signature, in front of a key's bytes.
const ED25519: u8 = 1;

const SIGNING_PREFIX: &str = "PRIVATE+KEY+";

/// The origin of a log is a line of every checkpoint.
pub const NAME_BYTES_MAX: usize = 255;

/// More than a checkpoint with the signatures of a hundred witnesses.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key's name is 1 to [`NAME_BYTES_MAX`] bytes without a space, a control character or a `+`.
    Name,
    /// This is no key of the form above.
    Key,
    /// This is no note of the form above.
    Note,
    /// The note bears no signature of this key.
    Unsigned,
    /// It bears one that is not over this text.
    Signature,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "a name is 1 to 255 bytes, without spaces, control characters and `+`; for example \
                 shop.example/audit"
            }
            Self::Key => "this is not a key of a signed note",
            Self::Note => "this is not a signed note",
            Self::Unsigned => "it is not signed with this key",
            Self::Signature => "its signature is not over this text",
        })
    }
}

impl std::error::Error for Fault {}

/// Signs checkpoints. Wiped when dropped; not printed.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl Signer {
    /// `seed`: 32 random bytes.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, Fault> {
        if !is_name(name) {
            return Err(Fault::Name);
        }
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    pub fn parse(text: &str) -> Result<Self, Fault> {
        let rest = text.strip_prefix(SIGNING_PREFIX).ok_or(Fault::Key)?;
        let (name, id, key) = parts(rest)?;
        let signer = Self::new(name, &key)?;
        if signer.verifier().id_hex() == id { Ok(signer) } else { Err(Fault::Key) }
    }

    /// The signing key as text: a secret.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![ED25519]);
        bytes.extend_from_slice(self.key.as_bytes());
        let encoded = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        let id = self.verifier().id_hex();
        Zeroizing::new(format!("{SIGNING_PREFIX}{}+{id}+{}", self.name, encoded.as_str()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The note over a text whose last line is ended.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.verifier().id().to_vec();
        bytes.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n— {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

/// Who signed is known by this: a public key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: VerifyingKey,
}

impl Verifier {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (name, id, key) = parts(text)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| Fault::Key)?;
        let verifier = Self { name: name.to_owned(), key };
        if verifier.id_hex() == id { Ok(verifier) } else { Err(Fault::Key) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that bears a signature of this key. Signatures of others are passed over.
    pub fn open<'n>(&self, note: &'n [u8]) -> Result<&'n str, Fault> {
        let (text, signatures) = split(note)?;
        let ours = format!("{} ", self.name);
        let mut is_signed = Err(Fault::Unsigned);
        for line in signatures.lines() {
            let signature = line.strip_prefix("— ").ok_or(Fault::Note)?;
            let (_, encoded) = signature.split_once(' ').ok_or(Fault::Note)?;
            let bytes = STANDARD.decode(encoded).map_err(|_| Fault::Note)?;
            let (id, bytes) = bytes.split_first_chunk::<4>().ok_or(Fault::Note)?;
            if !signature.starts_with(&ours) || *id != self.id() {
                continue;
            }
            let signature = Signature::from_slice(bytes).map_err(|_| Fault::Signature)?;
            let verified = self.key.verify_strict(text.as_bytes(), &signature);
            verified.map_err(|_| Fault::Signature)?;
            is_signed = Ok(());
        }
        is_signed.map(|()| text)
    }

    /// The first four bytes of SHA-256 over the name, a newline and the key with its kind.
    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }
}

/// As other programs take it.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(bytes))
    }
}

/// May a key, and with it a log, be named so?
pub fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(is_odd)
}

/// Name, id in hex, and the 32 bytes of an Ed25519 key.
fn parts(text: &str) -> Result<(&str, &str, Zeroizing<[u8; 32]>), Fault> {
    let (name, rest) = text.split_once('+').ok_or(Fault::Key)?;
    let (id, encoded) = rest.split_once('+').ok_or(Fault::Key)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| Fault::Key)?);
    let (&kind, key) = bytes.split_first().ok_or(Fault::Key)?;
    let key = <[u8; 32]>::try_from(key).map(Zeroizing::new).map_err(|_| Fault::Key)?;
    if kind == ED25519 && is_name(name) { Ok((name, id, key)) } else { Err(Fault::Key) }
}

/// The text with its last newline, and the lines of signatures.
fn split(note: &[u8]) -> Result<(&str, &str), Fault> {
    let text = Some(note).filter(|it| it.len() <= NOTE_BYTES_MAX).ok_or(Fault::Note)?;
    let text = std::str::from_utf8(text).map_err(|_| Fault::Note)?;
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') || !text.ends_with('\n') {
        return Err(Fault::Note);
    }
    let at = text.rfind("\n\n").ok_or(Fault::Note)?;
    let (text, signatures) = (&text[..=at], &text[at + 2..]);
    if signatures.is_empty() { Err(Fault::Note) } else { Ok((text, signatures)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the note of the documentation of golang.org/x/mod/sumdb/note.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't \
        know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_note_of_the_go_documentation_is_verified() {
        let peter = Verifier::parse(PETER).unwrap();
        assert_eq!(peter.to_string(), PETER);
        let text = peter.open(NOTE.as_bytes()).unwrap();
        assert!(text.starts_with("If you think") && text.ends_with("is.\n"), "{text}");
        let altered = NOTE.replace("answer", "question");
        assert_eq!(peter.open(altered.as_bytes()), Err(Fault::Signature));
    }

    #[test]
    fn a_key_signs_what_its_verifier_opens() {
        let signer = Signer::new("shop.example/audit", &[7; 32]).unwrap();
        let again = Signer::parse(&signer.text()).unwrap();
        assert_eq!(again.verifier(), signer.verifier());
        let note = again.sign("one\ntwo\n");
        let verifier = Verifier::parse(&signer.verifier().to_string()).unwrap();
        assert_eq!(verifier.open(note.as_bytes()), Ok("one\ntwo\n"));
        let other = Signer::new("shop.example/audit", &[8; 32]).unwrap();
        assert_eq!(other.verifier().open(note.as_bytes()), Err(Fault::Unsigned));
        // A witness's signature next to ours changes nothing.
        let both = format!("{note}{}", other.sign("x\n").split_once("\n\n").unwrap().1);
        assert_eq!(verifier.open(both.as_bytes()), Ok("one\ntwo\n"));
    }

    #[test]
    fn no_byte_of_a_note_can_change() {
        let signer = Signer::new("a", &[7; 32]).unwrap();
        let (verifier, note) = (signer.verifier(), signer.sign("one\n"));
        for at in 0..note.len() {
            let mut altered = note.clone().into_bytes();
            altered[at] ^= 1 << (at % 8);
            assert!(verifier.open(&altered).is_err(), "{at}");
        }
    }

    #[test]
    fn what_is_no_key_and_what_is_no_note_is_refused() {
        let signer = Signer::new("a", &[7; 32]).unwrap();
        for name in ["", " ", "a b", "a+b", "a\n", "a\u{2003}b", &"n".repeat(256)] {
            assert_eq!(Signer::new(name, &[7; 32]).err(), Some(Fault::Name), "{name:?}");
        }
        let (secret, public) = (signer.text(), signer.verifier().to_string());
        for wrong in ["", "a", "a+b", &public[..public.len() - 4], &public.replace('a', "b")] {
            assert_eq!(Verifier::parse(wrong).err(), Some(Fault::Key), "{wrong}");
        }
        assert_eq!(Signer::parse(&public).err(), Some(Fault::Key));
        assert_eq!(Verifier::parse(&secret).err(), Some(Fault::Key));
        for wrong in [
            "",
            "\n",
            "a\n",
            "a\n\n",
            "a\n\n— a\n",
            "a\n\n— a !\n",
            "a\n\n— a AAAA",
            "\u{1b}\n\n— a AAAA\n",
        ] {
            assert_eq!(signer.verifier().open(wrong.as_bytes()), Err(Fault::Note), "{wrong:?}");
        }
    }
}
