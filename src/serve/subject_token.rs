//! How a browser names a subject: a JWT (RFC 7519) that the shop's own server signed.
//!
//! ```text
//! base64url({"alg":"EdDSA"}) . base64url({"sub":"family-42","exp":1795305600}) . base64url(signature)
//! ```
//!
//! The key says which algorithm is used, never the token: a public key takes EdDSA alone, a secret HS256
//! alone (RFC 8725, 3.1).

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::config::SubjectTokens;
use crate::failure::{Failure, Result};
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::time::{Span, Timestamp};

/// The longest time that a token may have left.
const AHEAD_MAX: Span = Span::HOUR;

/// Two servers' clocks differ.
const CLOCKS_DIFFER: Span = Span::MINUTE;

/// A secret that is shorter can be guessed (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// A longer token is not looked at.
const BYTES_MAX: usize = 4 * 1024;

enum Key {
    Secret(Hmac<Sha256>),
    Public(Box<VerifyingKey>),
}

pub struct Verifier {
    key: Key,
    issuer: Option<String>,
}

/// Why a token is not accepted, in a person's words.
pub type Refusal = &'static str;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch, perhaps with a fraction.
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: Option<String>,
}

impl Verifier {
    /// Fails (78) where the key file does not hold a key.
    pub fn read(tokens: &SubjectTokens) -> Result<Self> {
        let path = &tokens.key_file;
        let refuse = |message: String| {
            Failure::config(format!("serve.subject_tokens.key_file: {}: {message}", path.display()))
        };
        let bytes = fs::read(path).map_err(|error| refuse(format!("can't be read: {error}")))?;
        let key = Key::of(&bytes).map_err(|message| refuse(message.to_owned()))?;
        Ok(Self { key, issuer: tokens.issuer.clone() })
    }

    /// The subject that a token names.
    pub fn subject(&self, token: &str, now: Timestamp) -> std::result::Result<String, Refusal> {
        let claims = self.verified(token)?;
        let at = |seconds: f64| Timestamp((seconds * 1_000.0) as i64);
        let exp = at(claims.exp);
        if exp <= now {
            return Err("the token has expired; get a new one from the shop's server");
        }
        if exp > now + AHEAD_MAX + CLOCKS_DIFFER {
            return Err("the token's `exp` is more than an hour ahead; sign shorter ones");
        }
        if claims.nbf.is_some_and(|nbf| at(nbf) > now + CLOCKS_DIFFER) {
            return Err("the token's `nbf` is in the future");
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err("the token's `iss` is not the configured issuer");
        }
        if !is_valid_id(&claims.sub) {
            return Err("the token's `sub` must have 1 to 512 bytes");
        }
        Ok(claims.sub)
    }

    fn verified(&self, token: &str) -> std::result::Result<Claims, Refusal> {
        const NO_TOKEN: Refusal = "not a signed token: header, claims and signature in base64url";
        if token.len() > BYTES_MAX {
            return Err(NO_TOKEN);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(NO_TOKEN)?;
        let (header, claims) = signed.split_once('.').ok_or(NO_TOKEN)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| NO_TOKEN);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| NO_TOKEN)?;
        if header.alg != self.key.algorithm() || header.crit.is_some() {
            return Err("the token is not signed with the configured kind of key");
        }
        if !self.key.verifies(signed.as_bytes(), &decode(signature)?) {
            return Err("the token's signature is not of the configured key");
        }
        serde_json::from_slice(&decode(claims)?)
            .map_err(|_| "the token needs `sub`, a text, and `exp`, in seconds")
    }
}

impl Key {
    fn of(bytes: &[u8]) -> std::result::Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if text.contains("PRIVATE KEY") {
            return Err("this is a private key; the service needs the public one alone");
        }
        if text.trim_start().starts_with("-----BEGIN") {
            let key = VerifyingKey::from_public_key_pem(text.trim())
                .map_err(|_| "not an Ed25519 public key in PEM (`BEGIN PUBLIC KEY`)")?;
            return Ok(Self::Public(Box::new(key)));
        }
        let end = bytes.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
        let secret = &bytes[..end];
        if secret.len() < SECRET_BYTES_MIN {
            return Err("a secret for HS256 must have at least 32 bytes");
        }
        Ok(Self::Secret(Hmac::new_from_slice(secret).map_err(|_| "not a secret")?))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Public(_) => "EdDSA",
        }
    }

    /// A tag is compared in constant time.
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => key.clone().chain_update(signed).verify_slice(signature).is_ok(),
            Self::Public(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: Timestamp = Timestamp(1_795_305_600_000);
    const NOW_S: i64 = NOW.0 / 1_000;

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn hs256(header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let tag = Hmac::<Sha256>::new_from_slice(SECRET).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.into_bytes()))
    }

    fn verifier(issuer: Option<&str>) -> Verifier {
        Verifier { key: Key::of(SECRET).unwrap(), issuer: issuer.map(str::to_owned) }
    }

    #[test]
    fn a_signed_token_names_its_subject() {
        let token = hs256(&json!({"alg": "HS256"}), &json!({"sub": "s", "exp": NOW_S + 60}));
        assert_eq!(verifier(None).subject(&token, NOW).as_deref(), Ok("s"));
    }

    #[test]
    fn an_edwards_key_takes_its_own_signatures_alone() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let verifier = Verifier { key: Key::Public(Box::new(key.verifying_key())), issuer: None };
        let claims = json!({"sub": "s", "exp": NOW_S + 60});
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
        assert_eq!(verifier.subject(&format!("{signed}.{signature}"), NOW).as_deref(), Ok("s"));
        let other = hs256(&json!({"alg": "HS256"}), &claims);
        assert!(verifier.subject(&other, NOW).is_err(), "a secret that an attacker chose");
    }

    #[test]
    fn everything_else_is_refused() {
        let good = json!({"alg": "HS256"});
        let refused = |verifier: &Verifier, token: &str, expect: &str| {
            let why = verifier.subject(token, NOW).unwrap_err();
            assert!(why.contains(expect), "{why}");
        };
        let any = verifier(None);
        let of = |claims: Value| hs256(&good, &claims);
        refused(&any, &of(json!({"sub": "s", "exp": NOW_S})), "expired");
        refused(&any, &of(json!({"sub": "s", "exp": NOW_S + 3_661})), "more than an hour");
        refused(&any, &of(json!({"sub": "s", "exp": 1e300})), "more than an hour");
        refused(&any, &of(json!({"sub": "s", "exp": NOW_S + 9, "nbf": NOW_S + 90})), "`nbf`");
        refused(&any, &of(json!({"sub": "", "exp": NOW_S + 9})), "`sub`");
        refused(&any, &of(json!({"sub": "__assent_x", "exp": NOW_S + 9})), "`sub`");
        refused(&any, &of(json!({"exp": NOW_S + 9})), "`sub`");
        refused(&any, &of(json!({"sub": "s"})), "`exp`");
        let claims = json!({"sub": "s", "exp": NOW_S + 9, "iss": "other"});
        refused(&verifier(Some("shop")), &of(claims), "`iss`");
        let claims = json!({"sub": "s", "exp": NOW_S + 9});
        for header in [json!({"alg": "none"}), json!({"alg": "HS256", "crit": ["x"]})] {
            refused(&any, &hs256(&header, &claims), "kind of key");
        }
        let forged = of(claims.clone()).replacen('.', "A.", 1);
        refused(&any, &forged, "not a signed token");
        let (signed, _) =
            of(claims).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        refused(&any, &format!("{signed}."), "signature");
        for garbage in ["", ".", "..", "a.b", "a.b.c"] {
            refused(&any, garbage, "not a signed token");
        }
    }

    #[test]
    fn a_key_file_holds_a_public_key_or_a_long_secret() {
        let refused = |bytes: &[u8]| Key::of(bytes).err();
        assert!(refused(b"too short").unwrap().contains("32 bytes"));
        assert!(refused(b"-----BEGIN PRIVATE KEY-----\n").unwrap().contains("public one"));
        assert!(refused(b"-----BEGIN PUBLIC KEY-----\nAAAA\n").unwrap().contains("Ed25519"));
        let pem = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert!(matches!(Key::of(pem), Ok(Key::Public(_))));
    }
}
