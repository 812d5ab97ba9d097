//! What every handler works with.

use std::sync::Arc;

use super::changelog::Changelog;
use super::clients::{Client, Clients};
use super::copy::Copy;
use super::errors::Problem;
use super::events::EventWriter;
use super::identities::Identities;
use super::intake::Acceptor;
use super::keys::Keys;
use super::platform::Platforms;
use super::register::Register;
use super::sessions::Sessions;
use super::subject_token::Verifier;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::ids::is_valid_id;
use assent_contract::rulebook::Rulebook;
use assent_intake::Terms;

pub struct App {
    pub config: Arc<Config>,
    pub rulebook: Rulebook,
    /// Of the rulebook's purposes, in its order.
    pub purposes: Vec<Terms>,
    pub keys: Arc<Keys>,
    pub clients: Arc<Clients>,
    /// `None`: no subject_token is accepted.
    pub verifier: Option<Verifier>,
    pub copy: Arc<Copy>,
    pub changelog: Arc<Changelog>,
    pub identities: Arc<Identities>,
    pub register: Arc<Register>,
    pub platforms: Platforms,
    pub acceptor: Acceptor,
    pub events: EventWriter,
    pub sessions: Sessions,
    pub metrics: Arc<Metrics>,
}

impl App {
    /// Whom a request is about; `None`: it names nobody. A publishable client names a subject by a token alone:
    /// by a plain id anybody could ask about any child.
    pub fn subject(
        &self,
        client: &Client,
        subject_id: Option<String>,
        subject_token: Option<&str>,
        path: &str,
    ) -> Result<Option<String>, Problem> {
        let field = |name: &str| format!("{path}{name}");
        match (subject_id, subject_token) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Problem::invalid(
                field("subject_token"),
                "both subject_id and subject_token are there; send one of them",
            )),
            (Some(_), None) if client.publishable => Err(Problem::forbidden(
                "a publishable client names a subject by subject_token, signed by the shop's server",
            )
            .field(field("subject_id"))),
            (Some(id), None) => checked_id(id, &field("subject_id")).map(Some),
            (None, Some(token)) => {
                let verifier = self.verifier.as_ref().ok_or_else(|| {
                    Problem::forbidden("no key for subject tokens is configured")
                        .field(field("subject_token"))
                })?;
                let subject = verifier.subject(token, SystemClock.now());
                subject.map(Some).map_err(|why| {
                    Problem::forbidden(why).field(field("subject_token"))
                })
            }
        }
    }

    pub fn purpose_index(&self, purpose: &str) -> Result<usize, Problem> {
        self.rulebook.purpose_index(purpose).ok_or_else(|| {
            let known: Vec<&str> = self.purposes.iter().map(|it| it.id.as_str()).collect();
            let message = format!("the rulebook has no such purpose; it has {}", known.join(", "));
            Problem::invalid("purpose", message)
        })
    }
}

/// An id of a subject or a session.
pub fn checked_id(id: String, field: &str) -> Result<String, Problem> {
    if is_valid_id(&id) {
        return Ok(id);
    }
    let message = "must have 1 to 512 bytes and must not begin with __assent_";
    Err(Problem::invalid(field, message))
}
