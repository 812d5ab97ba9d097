//! `assent serve` on a real Kafka: a shop with a server, a browser, and whoever else asks.

mod bounds;
mod doubt;
mod intake;
mod minute;
mod openapi;
mod pages;
mod platform;
mod refusals;
mod secured;
mod tls;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Kafka, Plan, Service, Shop, now_ms, wait_until};

/// Debug builds on a machine that other tests share.
pub const WITHIN: Duration = Duration::from_mins(3);

pub const OFFERS: &str = "personalized-offers";
pub const ADS: &str = "partner-advertising";

/// Tokens of the clients that every shop here has.
pub const SERVER: &str = "token-of-the-shops-own-server";
pub const BROWSER: &str = "token-that-every-browser-has";
pub const EVENTS_ONLY: &str = "token-of-the-collector-alone";

const SUBJECT_SECRET: &str = "a secret of the shop's server, long enough";

/// A shop that can be served: clients, tokens, topics. Whoever looks twice is in both purposes.
pub fn open(kafka: &Kafka) -> Shop<'_> {
    open_with(kafka, &json!({}))
}

pub fn open_with<'a>(kafka: &'a Kafka, serve: &Value) -> Shop<'a> {
    open_with_all(kafka, serve, &json!({}))
}

/// With other settings than those of `serve` besides.
pub fn open_with_all<'a>(kafka: &'a Kafka, serve: &Value, others: &Value) -> Shop<'a> {
    let mut section = json!({
        "listen": "127.0.0.1:0",
        "clients": [
            {"id": "server", "token_file": "server.token",
             "allow": ["lookup", "events", "consent", "opt_out"]},
            {"id": "browser", "token_file": "browser.token",
             "allow": ["lookup", "events", "opt_out"], "publishable": true},
            {"id": "collector", "token_file": "collector.token", "allow": ["events"]},
        ],
        "subject_tokens": {"key_file": "subject.key", "issuer": "shop"},
        "cors_origins": ["https://shop.example"],
        "rate_limit": "100000/s",
    });
    crate::support::merge(&mut section, serve);
    let mut settings = json!({"serve": section});
    crate::support::merge(&mut settings, others);
    let shop = Shop::open_with(kafka, &Plan { settings, ..Plan::of_lookers("serve-1", 2) });
    for (file, text) in [
        ("server.token", SERVER),
        ("browser.token", BROWSER),
        ("collector.token", EVENTS_ONLY),
        ("subject.key", SUBJECT_SECRET),
    ] {
        std::fs::write(shop.folder().join(file), text).expect("written");
    }
    kafka.create_topics(&shop.served_topic_plans());
    shop
}

/// What the shop's server signs for a browser.
pub fn subject_token(subject: &str) -> String {
    subject_token_with(&json!({"sub": subject, "exp": now_ms() / 1_000 + 600, "iss": "shop"}))
}

pub fn subject_token_with(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let key = Hmac::<Sha256>::new_from_slice(SUBJECT_SECRET.as_bytes()).expect("a key");
    let tag = key.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }
}

/// Somebody who asks, with a token.
#[derive(Clone)]
pub struct Caller {
    pub address: String,
    pub token: &'static str,
}

impl Caller {
    pub fn of(service: &Service, token: &'static str) -> Self {
        Self { address: service.front_door(), token }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[], Some(body))
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        let mut all = vec![("authorization".to_owned(), format!("Bearer {}", self.token))];
        if body.is_some() {
            all.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body = body.map(Value::to_string).unwrap_or_default();
        raw(&self.address, method, path, &all, body.as_bytes())
    }

    pub fn look_up(&self, subject: &str, purpose: &str) -> Value {
        self.post("/v1/lookup", &json!({"subject_id": subject, "purpose": purpose})).ok(200)
    }

    /// Asks until it is honored.
    pub fn await_honored(&self, accepted: &Value) -> Value {
        let path = format!("/v1/requests/{}", accepted["request_id"].as_str().expect("an id"));
        wait_until(WITHIN, "an honored request", || {
            let request = self.get(&path).ok(200);
            assert_ne!(request["status"], "failed", "{request}");
            (request["status"] == "honored").then_some(request)
        })
    }
}

/// One request on a connection of its own.
pub fn raw(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(WITHIN))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
    }
    let names_length = headers.iter().any(|(name, _)| name == "content-length");
    if !names_length && (!body.is_empty() || matches!(method, "POST" | "PUT")) {
        head.extend(["content-length: ", body.len().to_string().as_str(), "\r\n"]);
    }
    connection.write_all(format!("{head}\r\n").as_bytes())?;
    // A server that refuses early may not read it all.
    let _ = connection.write_all(body);
    let mut answer = Vec::new();
    let ended = connection.read_to_end(&mut answer);
    if answer.is_empty() {
        ended?;
    }
    read_answer(&String::from_utf8_lossy(&answer))
}

pub fn read_answer(text: &str) -> std::io::Result<Answer> {
    let broken = || std::io::Error::other(format!("no answer: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Ok(Answer { status: status.ok_or_else(broken)?, headers, text: body.to_owned() })
}

/// What an adult's server writes.
pub fn statement(status: &str, purposes: &[&str]) -> Value {
    let since = now_ms() - 60_000;
    let decision = json!({"status": status, "since": since, "expires_at": null});
    let decisions: serde_json::Map<String, Value> =
        purposes.iter().map(|purpose| ((*purpose).to_owned(), decision.clone())).collect();
    json!({"age_band": "FROM_18", "decisions": decisions, "guardian": null, "double_opt_in_at": since})
}

/// A look at a toy, without a subject.
pub fn event(session: &str) -> Value {
    json!({
        "event_id": "5f0c3b8e-9a51-4f4a-8f65-3f1d0b8a4a11", "session_id": session,
        "occurred_at": now_ms(), "kind": "PRODUCT_VIEW", "category": "preschool-toys",
    })
}

/// Grants both purposes and looks twice: from then on the subject is in both segments.
pub fn bring_in(server: &Caller, subject: &str) {
    let path = format!("/v1/consent/{subject}");
    let accepted = server.put(&path, &statement("GRANTED", &[OFFERS, ADS])).ok(202);
    server.await_honored(&accepted);
    let mut looked = event("visit");
    looked["subject_id"] = subject.into();
    server.post("/v1/events", &json!([looked, looked])).ok(202);
    for purpose in [OFFERS, ADS] {
        await_segment(server, subject, purpose);
    }
}

pub fn await_segment(caller: &Caller, subject: &str, purpose: &str) -> Value {
    wait_until(WITHIN, "a segment", || {
        let found = caller.look_up(subject, purpose);
        (found["is_default"] == false).then_some(found)
    })
}
