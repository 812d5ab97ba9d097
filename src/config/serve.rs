//! `serve`: who may ask `assent serve` what, and over which line.
//!
//! Knows what can be said; whether files are there and hold what they should is asked by `assent serve`
//! alone, so that a configuration can be shared with instances that don't serve.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::entries::{CLIENTS, Entries};
use super::keys::ALLOWED;
use super::read::{path, refuse_alike, value};
use super::values;
use crate::failure::{Failure, Result};

/// A client's `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    Lookup,
    Events,
    Consent,
    OptOut,
}

const _: () = assert!(Allowed::OptOut as usize + 1 == ALLOWED.len());

impl Allowed {
    pub fn word(self) -> &'static str {
        ALLOWED[self as usize]
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Lookup, Self::Events, Self::Consent, Self::OptOut]
            .into_iter()
            .find(|allowed| allowed.word() == word)
    }
}

#[derive(Clone, Debug)]
pub struct Serve {
    pub listen: SocketAddr,
    /// `None`: plain HTTP, which only the loopback address may have.
    pub tls: Option<Tls>,
    /// By id.
    pub clients: Vec<Client>,
    /// `None`: no subject_token is accepted.
    pub subject_tokens: Option<SubjectTokens>,
    pub cors_origins: Vec<String>,
    /// Of each client.
    pub rate_limit: Rate,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// `None`: clients need no certificate.
    pub client_ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub token_file: PathBuf,
    pub allow: BTreeSet<Allowed>,
    /// Anybody can have its token.
    pub publishable: bool,
}

#[derive(Clone, Debug)]
pub struct SubjectTokens {
    pub key_file: PathBuf,
    pub issuer: Option<String>,
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub requests: u32,
    pub seconds: u32,
}

impl Serve {
    /// Is there anybody to serve?
    pub fn is_configured(&self) -> bool {
        !self.clients.is_empty()
    }
}

pub(super) fn serve(entries: &Entries) -> Result<Serve> {
    Ok(Serve {
        listen: value(entries, "serve.listen", "127.0.0.1:8470", values::address)?,
        tls: tls(entries)?,
        clients: clients(entries)?,
        subject_tokens: subject_tokens(entries)?,
        cors_origins: value(entries, "serve.cors_origins", "", origins)?,
        rate_limit: value(entries, "serve.rate_limit", "500/s", rate)?,
    })
}

fn optional_path(entries: &Entries, key: &str) -> Result<Option<PathBuf>> {
    entries.get(key).map(|_| path(entries, key, "")).transpose()
}

fn tls(entries: &Entries) -> Result<Option<Tls>> {
    let client_ca_file = optional_path(entries, "serve.tls.client_ca_file")?;
    let cert_file = optional_path(entries, "serve.tls.cert_file")?;
    let key_file = optional_path(entries, "serve.tls.key_file")?;
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Ok(Some(Tls { cert_file, key_file, client_ca_file })),
        (Some(_), None) => Err(entries.refuse(
            "serve.tls.cert_file",
            "serve.tls.key_file is not set; set it to the certificate's private key",
        )),
        (None, Some(_)) => Err(entries.refuse(
            "serve.tls.key_file",
            "serve.tls.cert_file is not set; set it to the key's certificate",
        )),
        (None, None) if client_ca_file.is_some() => Err(entries.refuse(
            "serve.tls.client_ca_file",
            "needs TLS; set serve.tls.cert_file and serve.tls.key_file",
        )),
        (None, None) => Ok(None),
    }
}

fn clients(entries: &Entries) -> Result<Vec<Client>> {
    let ids = entries.ids(CLIENTS);
    refuse_alike(CLIENTS, "client", &ids)?;
    ids.into_iter().map(|id| client(entries, id)).collect()
}

fn client(entries: &Entries, id: &str) -> Result<Client> {
    let key = |name: &str| format!("{CLIENTS}{id}.{name}");
    let refuse = |message: &str| Failure::config(format!("{CLIENTS}{id}: {message}"));
    if !values::is_id(id) {
        return Err(refuse(values::ID_EXPECTED));
    }
    if entries.get(&key("token_file")).is_none() {
        return Err(refuse(
            "token_file is not set; set it to a file that holds the client's token",
        ));
    }
    let client = Client {
        id: id.to_owned(),
        token_file: path(entries, &key("token_file"), "")?,
        allow: value(entries, &key("allow"), "", allow)?,
        publishable: value(entries, &key("publishable"), "false", switch)?,
    };
    if client.allow.is_empty() {
        let words = ALLOWED.join(", ");
        return Err(refuse(&format!("allow is empty, so the client may do nothing; use {words}")));
    }
    if client.publishable && client.allow.contains(&Allowed::Consent) {
        return Err(entries.refuse(
            &key("allow"),
            "a publishable client can't have `consent`, because anybody can have its token; remove \
             the word, or set publishable: false",
        ));
    }
    Ok(client)
}

fn allow(text: &str) -> std::result::Result<BTreeSet<Allowed>, String> {
    let parse = |word: &str| {
        let unknown = || format!("`{word}` is not allowed; use {}", ALLOWED.join(", "));
        Allowed::parse(word).ok_or_else(unknown)
    };
    values::list(text).map(parse).collect()
}

fn switch(text: &str) -> std::result::Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is not allowed; use true or false"))
}

fn subject_tokens(entries: &Entries) -> Result<Option<SubjectTokens>> {
    let issuer = match entries.get("serve.subject_tokens.issuer") {
        None => None,
        Some(_) => Some(value(entries, "serve.subject_tokens.issuer", "", values::non_empty)?),
    };
    match optional_path(entries, "serve.subject_tokens.key_file")? {
        Some(key_file) => Ok(Some(SubjectTokens { key_file, issuer })),
        None if issuer.is_some() => Err(entries.refuse(
            "serve.subject_tokens.issuer",
            "serve.subject_tokens.key_file is not set; set it, or remove the issuer",
        )),
        None => Ok(None),
    }
}

/// As a browser sends them: scheme, host, and a port that is not the scheme's own.
fn origins(text: &str) -> std::result::Result<Vec<String>, String> {
    let check = |origin: &str| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        match host {
            Some(host) if !host.is_empty() && host.chars().all(legal) => {
                Ok(origin.to_ascii_lowercase())
            }
            _ => Err(format!(
                "`{origin}` is not the origin of a page; write for example https://shop.example"
            )),
        }
    };
    values::list(text).map(check).collect()
}

fn rate(text: &str) -> std::result::Result<Rate, String> {
    let refuse = || format!("`{text}` is not a rate; write for example 500/s or 6000/m");
    let (number, unit) = text.split_once('/').ok_or_else(refuse)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        _ => return Err(refuse()),
    };
    let requests = number.parse().ok().filter(|requests| (1..=1_000_000).contains(requests));
    Ok(Rate { requests: requests.ok_or_else(refuse)?, seconds })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn serve_of(yaml: &str, variables: &[(&str, &str)]) -> Result<Serve> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = parse(Path::new("/etc/assent.yaml"), Some(yaml), &variables.collect());
        config.map(|config| config.serve)
    }

    #[track_caller]
    fn refused(yaml: &str, expect: &str) {
        let message = serve_of(yaml, &[]).expect_err("is refused").message;
        assert!(message.contains(expect), "{message}");
    }

    const WEB: &str = "serve:\n  clients:\n  - id: web\n    token_file: web.token\n    \
                       allow: [lookup, opt_out]\n    publishable: true\n";

    #[test]
    fn clients_are_a_list_and_a_variable_wins() {
        let serve = serve_of(WEB, &[("ASSENT__SERVE__CLIENTS__WEB__ALLOW", "events")]).unwrap();
        let [client] = &serve.clients[..] else { panic!("one client") };
        assert_eq!(client.token_file, Path::new("/etc/web.token"));
        assert_eq!(client.allow, BTreeSet::from([Allowed::Events]));
        assert!(client.publishable);
        let added = [
            ("ASSENT__SERVE__CLIENTS__BACK___END__TOKEN_FILE", "/run/token"),
            ("ASSENT__SERVE__CLIENTS__BACK___END__ALLOW", "lookup, consent"),
        ];
        let serve = serve_of(WEB, &added).unwrap();
        let ids: Vec<&str> = serve.clients.iter().map(|client| client.id.as_str()).collect();
        assert_eq!(ids, ["back-end", "web"]);
        assert_eq!(serve.rate_limit, Rate { requests: 500, seconds: 1 });
    }

    #[test]
    fn a_configuration_without_clients_serves_nobody() {
        let nobody = parse(Path::new("a"), None, &BTreeMap::new()).unwrap().serve;
        assert!(!nobody.is_configured());
        assert!(!serve_of("serve: {clients: []}", &[]).unwrap().is_configured());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let client = |rest: &str| format!("serve: {{clients: [{{id: web, {rest}}}]}}");
        refused(&client("allow: [lookup]"), "serve.clients.web: token_file is not set");
        refused(&client("token_file: t"), "serve.clients.web: allow is empty");
        refused(&client("token_file: t, allow: [read]"), "`read` is not allowed; use lookup");
        refused(&client("token_file: t, allow: lookup, token: x"), "a client has id, token_file");
        refused("serve: {clients: [web]}", "1:19: expected a client");
        refused("serve: {clients: [{token_file: t}]}", "this client has no id");
        refused("serve: {clients: [{id: a.b}]}", "not an id");
        refused("serve: {clients: {web: {token_file: t}}}", "expected a list");
        refused(&format!("{WEB}  - id: web\n"), "`serve.clients.web` is set twice");
        let open = WEB.replace("opt_out", "consent");
        refused(&open, "5:12: serve.clients.web.allow: a publishable client can't have `consent`");
        refused("serve: {tls: {cert_file: c}}", "serve.tls.key_file is not set");
        refused("serve: {tls: {client_ca_file: c}}", "needs TLS");
        refused("serve: {tls: {cert: c}}", "serve.tls has cert_file, key_file, client_ca_file");
        refused("serve: {subject_tokens: {issuer: shop}}", "key_file is not set");
        refused("serve: {cors_origins: [shop.example]}", "`shop.example` is not the origin");
        refused("serve: {cors_origins: ['https://shop.example/']}", "is not the origin of a page");
        refused("serve: {rate_limit: 500}", "`500` is not a rate");
        refused("serve: {rate_limit: 0/s}", "is not a rate");
        refused("http: {listen: ['127.0.0.1:1']}", "`http.listen` takes none");
    }
}
