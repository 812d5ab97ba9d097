//! Confluent's API of a schema registry over HTTP: one question, one answer, nothing remembered.
//!
//! What goes wrong is told by what follows from it. No message holds the password.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::subjects::schema_of;
use crate::config::{Credentials, SchemaRegistry, Topics};
use crate::failure::Result;
use crate::http_client;
use assent_contract::domain::foreign_text::shown;
use assent_contract::wire::{Registered, SchemaName};

/// A registry answers in milliseconds; in 5 s it is out of reach.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A schema's text is a few kilobytes. Sixteen times the largest of the contract's, and few enough
/// that 256 of them are 64 MiB.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// The subjects of one id: a schema that thousands of topics share is still known for what it is.
const PLACES_BYTES_MAX: u64 = 4 * 1024 * 1024;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Why there is no answer that one could go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Nothing came back: the registry is out of reach.
    Unreachable(String),
    /// Something came back that says nothing: an error of its own, or of a proxy before it.
    Broken(String),
    /// It says no, and will again until a person changes something.
    Refused(String),
    /// It says no to this schema.
    Conflict(String),
}

impl RegistryError {
    pub fn why(&self) -> &str {
        match self {
            Self::Unreachable(why)
            | Self::Broken(why)
            | Self::Refused(why)
            | Self::Conflict(why) => why,
        }
    }
}

type Answered<T> = std::result::Result<T, RegistryError>;

pub struct Client {
    agent: ureq::Agent,
    url: String,
    authorization: Option<Zeroizing<String>>,
    topics: Topics,
}

impl Client {
    /// Opens nothing yet. Fails (78) where the certificates can't be read.
    pub fn new(config: &SchemaRegistry, topics: &Topics) -> Result<Self> {
        let agent = http_client::settings(ANSWER_WITHIN).accept(MEDIA_TYPE);
        #[cfg(feature = "tls")]
        let agent = agent.tls_config(http_client::tls::trusting(
            "schema_registry.ca_file",
            config.ca_file.as_deref(),
        )?);
        Ok(Self {
            agent: agent.build().into(),
            url: config.url.clone(),
            authorization: config.credentials.as_ref().map(basic),
            topics: topics.clone(),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What an id names. Its text is asked for only where it is registered under a subject of ours: what
    /// others register is never parsed.
    pub fn schema(&self, id: u32) -> Answered<Registered> {
        let Some(under) = self.places(id)? else { return Ok(Registered::Absent) };
        if under.is_empty() {
            return Ok(Registered::Elsewhere);
        }
        let Some(answer) = self.get(&format!("schemas/ids/{id}"))? else {
            return Ok(Registered::Absent);
        };
        let kind = answer["schemaType"].as_str().unwrap_or("AVRO");
        let refers = answer["references"].as_array().is_some_and(|all| !all.is_empty());
        Ok(match answer["schema"].as_str() {
            _ if kind != "AVRO" => Registered::Unusable("it is not an Avro schema".to_owned()),
            _ if refers => Registered::Unusable(
                "it refers to schemas of other subjects; register it without references".to_owned(),
            ),
            // Whatever somebody registered, the look-ups go on.
            Some(text) => std::panic::catch_unwind(|| Registered::avro(text, &under))
                .unwrap_or_else(|_| Registered::Unusable("its parser failed".to_owned())),
            None => return Err(RegistryError::Broken("it sent no schema".to_owned())),
        })
    }

    /// Of which of the contract's schemas the values are under whose subjects an id is registered, if only
    /// in a version that was deleted since: what was written with it is still in the topic. `None`: there
    /// is no such id.
    fn places(&self, id: u32) -> Answered<Option<Vec<SchemaName>>> {
        let path = format!("schemas/ids/{id}/versions?deleted=true");
        let Some(answer) = self.get_up_to(PLACES_BYTES_MAX, &path)? else { return Ok(None) };
        let places = answer.as_array().ok_or_else(no_places)?.iter().map(|place| {
            let subject = place["subject"].as_str().ok_or_else(no_places)?;
            Ok(schema_of(&self.topics, subject))
        });
        let places: Answered<Vec<_>> = places.collect();
        Ok(Some(places?.into_iter().flatten().collect()))
    }

    /// Does it answer at all, and us?
    pub fn answers(&self) -> Answered<()> {
        self.get("schemas/types").map(drop)
    }

    /// The id of this very schema under a subject; `None`: it is not there.
    pub fn look_up(&self, subject: &str, schema: &str) -> Answered<Option<u32>> {
        let answer = self.post(&format!("subjects/{subject}"), schema)?;
        answer.as_ref().map(id).transpose()
    }

    /// Registers it, or finds it registered.
    pub fn register(&self, subject: &str, schema: &str) -> Answered<u32> {
        match self.post(&format!("subjects/{subject}/versions"), schema)? {
            Some(answer) => id(&answer),
            None => Err(RegistryError::Broken("it knows no subjects".to_owned())),
        }
    }

    /// Would [`Self::register`] be refused as incompatible? True where there is no such subject.
    pub fn is_compatible(&self, subject: &str, schema: &str) -> Answered<bool> {
        let path = format!("compatibility/subjects/{subject}/versions/latest");
        let answer = self.post(&path, schema)?;
        Ok(answer.is_none_or(|answer| answer["is_compatible"] != Value::Bool(false)))
    }

    /// The id of the newest schema of a subject; `None`: there is no such subject.
    pub fn newest(&self, subject: &str) -> Answered<Option<u32>> {
        let answer = self.get(&format!("subjects/{subject}/versions/latest"))?;
        answer.as_ref().map(id).transpose()
    }

    fn get(&self, path: &str) -> Answered<Option<Value>> {
        self.get_up_to(ANSWER_BYTES_MAX, path)
    }

    fn get_up_to(&self, bytes_max: u64, path: &str) -> Answered<Option<Value>> {
        let request = self.agent.get(format!("{}/{path}", self.url));
        let sent = match &self.authorization {
            Some(basic) => request.header("authorization", basic.as_str()).call(),
            None => request.call(),
        };
        self.answer(sent, bytes_max)
    }

    fn post(&self, path: &str, schema: &str) -> Answered<Option<Value>> {
        let request = self.agent.post(format!("{}/{path}", self.url));
        let request = request.header("content-type", MEDIA_TYPE);
        let body = json!({ "schema": schema }).to_string();
        let sent = match &self.authorization {
            Some(basic) => request.header("authorization", basic.as_str()).send(&body),
            None => request.send(&body),
        };
        self.answer(sent, ANSWER_BYTES_MAX)
    }

    /// `None`: it has no such thing.
    fn answer(
        &self,
        sent: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        bytes_max: u64,
    ) -> Answered<Option<Value>> {
        let mut response = sent.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(bytes_max).read_to_string();
        let body = body.map_err(|error| self.transport(&error))?;
        judge(status, serde_json::from_str(&body).ok())
    }

    fn transport(&self, error: &ureq::Error) -> RegistryError {
        match error {
            #[cfg(feature = "tls")]
            ureq::Error::NativeTls(error) => RegistryError::Refused(format!(
                "TLS fails: {error}; check that schema_registry.ca_file (or the system) trusts the \
                 certificate of the registry, and that it was issued for this host"
            )),
            ureq::Error::BodyExceedsLimit(_) => {
                RegistryError::Broken("its answer is too long".to_owned())
            }
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                RegistryError::Refused(format!("{} is not the address of a registry", self.url))
            }
            error => RegistryError::Unreachable(shown(&error.to_string())),
        }
    }
}

/// What a status and its body mean. A 404 counts only in the API's own words: another one is a wrong
/// path's or a proxy's, and says nothing of an id.
fn judge(status: u16, body: Option<Value>) -> Answered<Option<Value>> {
    let code = body.as_ref().and_then(|body| body["error_code"].as_i64());
    let said = body.as_ref().and_then(|body| body["message"].as_str()).map(shown);
    let said = said.map_or_else(|| format!("it answered {status}"), |s| format!("{status}: {s}"));
    match (status, body) {
        (200..=299, Some(body)) => Ok(Some(body)),
        (404, _) if code.is_some_and(|code| (40_400..40_500).contains(&code)) => Ok(None),
        (404, _) => Err(RegistryError::Refused(
            "it answered 404, but not as a registry does; check the path in schema_registry.url"
                .to_owned(),
        )),
        (401, _) => Err(RegistryError::Refused(
            "it answered 401: schema_registry.username and password are missing or wrong"
                .to_owned(),
        )),
        (403, _) => Err(RegistryError::Refused(
            "it answered 403: the user in schema_registry.username is not allowed to do this"
                .to_owned(),
        )),
        (300..=399, _) => Err(RegistryError::Refused(
            "it redirects to another address; set schema_registry.url to that address".to_owned(),
        )),
        (409 | 422, Some(_)) => Err(RegistryError::Conflict(said)),
        _ => Err(RegistryError::Broken(said)),
    }
}

fn no_places() -> RegistryError {
    RegistryError::Broken("it sent no subjects and versions".to_owned())
}

fn id(answer: &Value) -> Answered<u32> {
    let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| RegistryError::Broken("it sent no schema id".to_owned()))
}

fn basic(credentials: &Credentials) -> Zeroizing<String> {
    let pair =
        Zeroizing::new(format!("{}:{}", credentials.username, credentials.password.as_str()));
    Zeroizing::new(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair.as_bytes())
    ))
}

#[cfg(test)]
mod tests;
