//! What a configured value may look like. Each refusal says what is expected.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use assent_contract::domain::time::Span;

type Checked<T> = Result<T, String>;

/// Kafka's own bound of a topic's name.
const TOPIC_NAME_MAX: usize = 249;

/// The longest purpose id (docs/contract/pseudonyms.md).
const PURPOSE_MAX: usize = 64;

pub(super) const PURPOSE: &str = "{purpose}";

pub(super) fn whole(text: &str, bounds: RangeInclusive<usize>) -> Checked<usize> {
    text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        format!("`{text}` is not a whole number from {} to {}", bounds.start(), bounds.end())
    })
}

/// `15m`, `60s`, `100ms`, `48h`, `30d`, within bounds.
pub(super) fn duration(text: &str, bounds: RangeInclusive<Span>) -> Checked<Span> {
    let span = Span::parse(text).ok_or_else(|| {
        format!("`{text}` is not a duration; write for example 100ms, 60s or 48h")
    })?;
    if bounds.contains(&span) {
        return Ok(span);
    }
    Err(format!("`{text}` is out of bounds; use {} to {}", bounds.start(), bounds.end()))
}

pub(super) fn non_empty(text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return Err("is empty; set a value, or remove the key to use its default".to_owned());
    }
    Ok(text.to_owned())
}

/// Names the transactional ids and audit chains, so it keeps to what a topic's name may hold.
pub(super) fn group_id(text: &str) -> Checked<String> {
    match text.len() {
        1..=200 if text.bytes().all(is_topic_byte) => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` is not allowed; use 1 to 200 of letters, digits, `.`, `_` and `-`"
        )),
    }
}

pub fn topic(text: &str) -> Checked<String> {
    if is_topic(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not a topic name; use 1 to {TOPIC_NAME_MAX} of letters, digits, `.`, `_` and \
         `-`"
    ))
}

/// A topic name with `{purpose}` once, legal for the longest purpose.
pub(super) fn segments_topic(text: &str) -> Checked<String> {
    if text.matches(PURPOSE).count() != 1 {
        return Err(format!(
            "`{text}` must contain {PURPOSE} once, because each purpose has its own topic"
        ));
    }
    let longest = text.replace(PURPOSE, &"p".repeat(PURPOSE_MAX));
    topic(&longest).map(|_| text.to_owned()).map_err(|_| {
        format!(
            "`{text}` does not make a topic name; with a purpose of {PURPOSE_MAX} characters it \
             may have at most {TOPIC_NAME_MAX} of letters, digits, `.`, `_` and `-`"
        )
    })
}

/// Could a purpose's topic be this one?
pub(super) fn may_be_segments_topic(pattern: &str, topic: &str) -> bool {
    pattern.split_once(PURPOSE).is_some_and(|(before, after)| {
        topic
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(assent_contract::domain::ids::is_slug)
    })
}

pub(super) const ID_EXPECTED: &str = "not an id; use 1 to 64 of a-z, 0-9, `_` and `-`";

/// May this be the id of a source or a client?
pub(super) fn is_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// Words that were written as a list, or with commas between them.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn is_topic(text: &str) -> bool {
    (1..=TOPIC_NAME_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(is_topic_byte)
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// `localhost` is the loopback address; no other name is resolved.
pub(super) fn address(text: &str) -> Checked<SocketAddr> {
    text.replacen("localhost:", "127.0.0.1:", 1).parse().map_err(|_| {
        format!("`{text}` is not an address and port; write for example 127.0.0.1:9464")
    })
}

/// `http://host[:port][/path]` or https, without its last slash. What it holds besides is not
/// repeated: it may be a secret.
pub(super) fn registry_url(text: &str) -> Checked<String> {
    let (what, example) = ("a registry", "http://registry:8080/apis/ccompat/v7");
    let user = "schema_registry.username and schema_registry.password";
    http_url(text, what, example, user).map(|_| text.trim_end_matches('/').to_owned())
}

/// https, or http of this machine: a secret is sent there.
pub(super) fn token_url(text: &str) -> Checked<String> {
    let (what, example) = ("a token endpoint", "https://login.example/oauth2/token");
    let user = "sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret";
    let host = http_url(text, what, example, user)?;
    if text.starts_with("http:") && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Err(
            "begins with http:, so the client's secret would be sent unencrypted; use https"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// The same of a consent platform, without its last slash.
pub(super) fn platform_url(text: &str) -> Checked<String> {
    let (what, example) = ("an API", "https://cpm.trustarc.com");
    let host = http_url(text, what, example, "api.token_file")?;
    if text.starts_with("http:") && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Err(
            "begins with http:, so the token would be sent unencrypted; use https".to_owned()
        );
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The host of an address of `what`.
fn http_url<'t>(text: &'t str, what: &str, example: &str, user: &str) -> Checked<&'t str> {
    let example = format!("write for example {example}");
    let after = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(after) = after else {
        return Err(format!("is not an http or https address; {example}"));
    };
    let authority = after.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("contains a user; set {user} instead"));
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => {
            if port.parse::<u16>().is_ok() {
                host
            } else {
                ""
            }
        }
        _ => authority,
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#');
    if host.is_empty() || text.contains(odd) {
        return Err(format!("is not the address of {what}; {example}"));
    }
    Ok(host)
}
