//! The server of the toy shop, as examples/shop/server.mjs is one: subject tokens for browsers, and consent written
//! with a token that no browser has. Knows Assent by its HTTP alone.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock};
use crate::demo::live::Live;
use crate::http_client;

/// Longer than `assent serve` takes to answer that it can't.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// A subject token's life in seconds.
const TOKEN_LIFE: i64 = 900;

/// After it a shelf is the default. A debug build is slow; it is there for tests.
const LOOKUP_MS: u64 = if cfg!(debug_assertions) { 3_000 } else { 150 };

/// An answer of Assent's is a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Of the shop's own folder, as `serve` reads them too.
pub struct Secrets {
    pub server_token: Zeroizing<String>,
    pub web_token: Zeroizing<String>,
    pub subject_secret: Zeroizing<String>,
    pub issuer: &'static str,
}

pub struct Shop {
    pub secrets: Secrets,
    /// `http://host:port` of `assent serve`.
    pub assent: String,
    pub live: Arc<Live>,
    agent: ureq::Agent,
}

/// Who somebody says they are, in the place of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Person {
    Adult,
    Teen,
    Child,
}

impl Person {
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Adult, Self::Teen, Self::Child].into_iter().find(|person| person.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Adult => "adult",
            Self::Teen => "teen",
            Self::Child => "child",
        }
    }

    fn band(self) -> &'static str {
        match self {
            Self::Adult => "FROM_18",
            Self::Teen => "FROM_13_TO_15",
            Self::Child => "UNDER_13",
        }
    }
}

/// What a person chose in a dialog.
#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)] // they are boxes of a dialog
pub struct Choice {
    #[serde(rename = "as")]
    person: Person,
    offers: bool,
    partners: bool,
    /// Asked twice.
    #[serde(default)]
    confirmed: bool,
    /// The parent's dialog.
    #[serde(default)]
    parent: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A child can't consent.
    NotTheParent,
    /// Assent does not answer, or says no.
    Unavailable,
}

impl Shop {
    pub fn new(secrets: Secrets, assent: String, live: Arc<Live>) -> Self {
        let agent = http_client::settings(ANSWERED_WITHIN).build().into();
        Self { secrets, assent, live, agent }
    }

    /// What a page needs of one person. Before the shop opens a yes could come behind the clicks after it.
    pub fn visit(&self, family: &str, person: Person, session: &str) -> Result<Value, Refused> {
        if !self.live.is_open() {
            return Err(Refused::Unavailable);
        }
        let subject = subject_of(family, person);
        let (status, found) = self.ask("GET", &subject, None)?;
        if !matches!(status, 200 | 404) {
            return Err(Refused::Unavailable);
        }
        let decided = |words: &[&str]| {
            let decisions = found["decisions"].as_object().into_iter().flatten();
            decisions.filter_map(|(_, it)| it["status"].as_str()).any(|it| words.contains(&it))
        };
        self.live.visited(&subject);
        Ok(json!({
            "assent": {
                "url": self.assent,
                "token": self.secrets.web_token.as_str(),
                "timeout": LOOKUP_MS,
            },
            "subjectToken": self.subject_token(&subject).ok_or(Refused::Unavailable)?,
            "sessionId": session,
            "asked": decided(&["GRANTED", "DENIED", "WITHDRAWN"]),
            "allowed": decided(&["GRANTED"]),
            "optedOut": decided(&["WITHDRAWN"]),
            "live": true,
        }))
    }

    pub fn consent(&self, family: &str, choice: &Choice) -> Result<(), Refused> {
        if choice.person == Person::Child && !choice.parent {
            return Err(Refused::NotTheParent);
        }
        let subject = subject_of(family, choice.person);
        let statement = statement(choice, SystemClock.now().0).to_string();
        match self.ask("PUT", &subject, Some(statement))? {
            (202, _) => Ok(()),
            _ => Err(Refused::Unavailable),
        }
    }

    /// Of the subject's consent.
    fn ask(
        &self,
        method: &str,
        subject: &str,
        body: Option<String>,
    ) -> Result<(u16, Value), Refused> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/v1/consent/{subject}", self.assent))
            .header("authorization", format!("Bearer {}", self.secrets.server_token.as_str()))
            .header("content-type", "application/json");
        let unavailable = |_| Refused::Unavailable;
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body).map_err(|_| Refused::Unavailable)?),
            None => self.agent.run(request.body(()).map_err(|_| Refused::Unavailable)?),
        }
        .map_err(unavailable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(unavailable)?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// A JWT: for 15 minutes this browser may speak of this subject.
    fn subject_token(&self, subject: &str) -> Option<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let exp = SystemClock.now().0 / 1_000 + TOKEN_LIFE;
        let claims = json!({"sub": subject, "exp": exp, "iss": self.secrets.issuer});
        let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
        let key = Hmac::<Sha256>::new_from_slice(self.secrets.subject_secret.as_bytes()).ok()?;
        let tag = key.chain_update(&signed).finalize().into_bytes();
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }
}

fn subject_of(family: &str, person: Person) -> String {
    format!("family-{family}-{}", person.word())
}

/// A child's consent is its parent's, or none.
fn statement(choice: &Choice, now: i64) -> Value {
    let decision = |granted: bool| {
        let status = if granted { "GRANTED" } else { "DENIED" };
        json!({"status": status, "notice_version": "2026-11"})
    };
    let guardian = json!({
        "verified_at": now,
        "method": "toy-shop-button",
        "coppa_consent": choice.offers || choice.partners,
        "coppa_disclosure": choice.partners,
        "ccpa_authorization": choice.partners,
    });
    let is_parents = choice.person == Person::Child && choice.parent;
    json!({
        "age_band": choice.person.band(),
        "decisions": {
            "personalized-offers": decision(choice.offers),
            "partner-advertising": decision(choice.partners),
        },
        "guardian": is_parents.then_some(guardian),
        "double_opt_in_at": choice.confirmed.then_some(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(person: Person, parent: bool) -> Choice {
        Choice { person, offers: true, partners: false, confirmed: false, parent }
    }

    #[test]
    fn only_a_parent_consents_for_a_child_and_for_nobody_else() {
        let parents = statement(&choice(Person::Child, true), 7);
        assert_eq!(parents["guardian"]["coppa_consent"], true);
        assert_eq!(parents["guardian"]["ccpa_authorization"], false);
        assert_eq!(parents["age_band"], "UNDER_13");
        assert_eq!(statement(&choice(Person::Adult, true), 7)["guardian"], Value::Null);
        let nowhere = "http://127.0.0.1:1".to_owned();
        let secrets = Secrets {
            server_token: Zeroizing::default(),
            web_token: Zeroizing::default(),
            subject_secret: Zeroizing::new("a secret of the shop's own server".to_owned()),
            issuer: "shop.example",
        };
        let shop = Shop::new(secrets, nowhere, Arc::new(Live::new(SystemClock.instant())));
        let alone = shop.consent("f", &choice(Person::Child, false));
        assert_eq!(alone, Err(Refused::NotTheParent));
        let unheard = shop.consent("f", &choice(Person::Child, true));
        assert_eq!(unheard, Err(Refused::Unavailable), "nobody answers");
        let closed = shop.visit("f", Person::Adult, "v");
        shop.live.open();
        let nowhere = shop.visit("f", Person::Adult, "v");
        assert_eq!((closed, nowhere), (Err(Refused::Unavailable), Err(Refused::Unavailable)));
    }
}
