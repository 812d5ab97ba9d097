//! Who asks: clients by their tokens. A token is kept and compared as its hash, so neither memory nor time
//! tells anything of it, and no log line has one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::limits::Bucket;
use crate::config::{Allowed, Config};
use crate::failure::{Failure, Result};
use assent_intake::source::Source;

/// A token's length in bytes. What is shorter can be guessed.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=512;

pub struct Client {
    pub id: String,
    /// Anybody can have its token: it is a browser's.
    pub publishable: bool,
    pub bucket: Bucket,
    /// `None`: no consent platform. One may post what it has to say, and nothing else.
    pub source: Option<Source>,
    allow: BTreeSet<Allowed>,
    token_sha256: [u8; 32],
}

impl Client {
    pub fn may(&self, wanted: &[Allowed]) -> bool {
        wanted.is_empty() || wanted.iter().any(|one| self.allow.contains(one))
    }
}

pub struct Clients(Vec<Arc<Client>>);

impl Clients {
    /// Reads the tokens, and the secrets of consent platforms. Fails (78) where one can't be read, is too
    /// short, or is another client's, too.
    pub fn read(config: &Config) -> Result<Self> {
        let mut clients = Self(Vec::new());
        for client in &config.serve.clients {
            let key = format!("serve.clients.{}.token_file", client.id);
            clients.add(&key, &client.token_file, |token_sha256| Client {
                id: client.id.clone(),
                publishable: client.publishable,
                bucket: Bucket::full(config.serve.rate_limit),
                source: None,
                allow: client.allow.clone(),
                token_sha256,
            })?;
        }
        for source in &config.intake {
            let id = source.source.word();
            let key = format!("intake.sources.{id}.secret_file");
            clients.add(&key, &source.secret_file, |token_sha256| Client {
                id: id.to_owned(),
                publishable: false,
                bucket: Bucket::full(config.serve.rate_limit),
                source: Some(source.source),
                allow: BTreeSet::new(),
                token_sha256,
            })?;
        }
        Ok(clients)
    }

    fn add(
        &mut self,
        key: &str,
        file: &Path,
        client: impl FnOnce([u8; 32]) -> Client,
    ) -> Result<()> {
        let refuse = |message: String| Failure::config(format!("{key}: {message}"));
        let token = read_token(file).map_err(refuse)?;
        let token_sha256 = Sha256::digest(token.as_bytes()).into();
        if let Some(other) = self.0.iter().find(|it| it.token_sha256 == token_sha256) {
            let message = format!("it is also the token of {}; give each its own", other.id);
            return Err(refuse(message));
        }
        self.0.push(Arc::new(client(token_sha256)));
        Ok(())
    }

    /// The client that a header `Authorization` names.
    pub fn of(&self, authorization: &[u8]) -> Option<&Arc<Client>> {
        let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        // Each of them is compared, whichever it is.
        self.0.iter().fold(None, |found, client| {
            if is_same(&client.token_sha256, &hash) { Some(client) } else { found }
        })
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|client| client.id.as_str())
    }
}

/// In the same time, wherever they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// No message repeats a byte of it.
fn read_token(path: &Path) -> std::result::Result<String, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    let token = text.trim_end_matches(['\r', '\n']);
    let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if TOKEN.contains(&token.len()) && is_visible {
        return Ok(token.to_owned());
    }
    Err(format!(
        "{} must hold one token of {} to {} visible ASCII characters; create one with `openssl rand \
         -hex 32`",
        path.display(),
        TOKEN.start(),
        TOKEN.end()
    ))
}

/// One client without a file, for tests.
#[cfg(test)]
pub fn of_tokens(tokens: &[(&str, &[Allowed], bool)], rate: crate::config::Rate) -> Clients {
    let client = |(token, allow, publishable): &(&str, &[Allowed], bool)| {
        Arc::new(Client {
            id: (*token).to_owned(),
            publishable: *publishable,
            bucket: Bucket::full(rate),
            source: None,
            allow: allow.iter().copied().collect(),
            token_sha256: Sha256::digest(token.as_bytes()).into(),
        })
    };
    Clients(tokens.iter().map(client).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: crate::config::Rate = crate::config::Rate { requests: 1, seconds: 1 };

    #[test]
    fn a_client_is_who_has_its_token() {
        let clients = of_tokens(
            &[("first-of-them", &[Allowed::Lookup], false), ("second-of-them", &[], true)],
            RATE,
        );
        let id = |header: &str| clients.of(header.as_bytes()).map(|client| client.id.clone());
        assert_eq!(id("Bearer first-of-them").as_deref(), Some("first-of-them"));
        assert_eq!(id("bearer second-of-them").as_deref(), Some("second-of-them"));
        for wrong in
            ["", "Bearer", "Bearer ", "Basic first-of-them", "first-of-them", "Bearer first"]
        {
            assert_eq!(id(wrong), None, "{wrong}");
        }
        let first = clients.of(b"Bearer first-of-them").unwrap();
        assert!(first.may(&[Allowed::Lookup, Allowed::Consent]) && first.may(&[]));
        assert!(!first.may(&[Allowed::Consent]));
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_token(&path)
        };
        assert_eq!(read("0123456789abcdef\n").as_deref(), Ok("0123456789abcdef"));
        for wrong in ["", "0123456789abcde\n", "0123456789 abcdef", "0123456789abcdef\n\u{e9}"] {
            let message = read(wrong).unwrap_err();
            assert!(message.contains("16 to 512"), "{message}");
            assert!(wrong.is_empty() || !message.contains(wrong), "{message}");
        }
    }
}
