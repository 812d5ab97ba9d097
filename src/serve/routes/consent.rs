//! `GET` and `PUT /v1/consent/{subject_id}`, `DELETE /v1/subjects/{subject_id}`: for the shop's own servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lookup::checked;
use super::requests::{await_proof, path_text};
use super::take_in::{self, Accepted, Answer};
use crate::clock::{Clock, SystemClock};
use crate::serve::app::{App, checked_id};
use crate::serve::body::{self, Object};
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use assent_contract::domain::consent::{self, AgeBand, ConsentRecord, ConsentStatus};
use assent_contract::domain::time::Timestamp;
use assent_intake::{Change, Statement, may_ask_again_at};

/// The end of the year 9999: what lies beyond is a slip.
const TIME_MAX: i64 = 253_402_300_799_999;

#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub enum Band {
    #[default]
    #[serde(rename = "UNKNOWN")]
    Unknown,
    #[serde(rename = "UNDER_13")]
    Under13,
    #[serde(rename = "FROM_13_TO_15")]
    From13To15,
    #[serde(rename = "FROM_16_TO_17")]
    From16To17,
    #[serde(rename = "FROM_18")]
    From18,
}

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    NotAsked,
    Granted,
    Denied,
    Withdrawn,
}

/// What was decided for one purpose.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    status: Status,
    /// The status holds from here on, epoch ms; missing, or later than the receipt: from the receipt on.
    #[serde(default)]
    since: Option<i64>,
    /// A grant ends here, epoch ms.
    #[serde(default)]
    expires_at: Option<i64>,
    /// Which notice the person was shown.
    #[serde(default)]
    notice_version: Option<String>,
}

/// What a verified parent or guardian allowed for a child under 13.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // three separate permissions of the law
pub struct Guardian {
    /// Epoch ms.
    verified_at: i64,
    #[serde(default)]
    method: Option<String>,
    /// Collection and use: 16 CFR 312.5(a)(1).
    #[serde(default)]
    coppa_consent: bool,
    /// Disclosure to third parties: 16 CFR 312.5(a)(2).
    #[serde(default)]
    coppa_disclosure: bool,
    /// Sale or sharing: 11 CCR 7070.
    #[serde(default)]
    ccpa_authorization: bool,
}

/// What the shop knows of a subject's consent. Of a purpose the later decision stands, on a tie the stricter;
/// everything else takes the place of what was there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentStatement {
    /// Missing: UNKNOWN, which is treated as UNDER_13.
    #[serde(default)]
    age_band: Band,
    /// By purpose of the rulebook.
    #[serde(default, deserialize_with = "body::distinct")]
    #[schema(value_type = BTreeMap<String, Decision>)]
    decisions: BTreeMap<String, Object<Decision>>,
    #[serde(default)]
    #[schema(value_type = Option<Guardian>)]
    guardian: Option<Object<Guardian>>,
    /// When the second step of an opt-in was confirmed, epoch ms.
    #[serde(default)]
    double_opt_in_at: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct ConsentAnswer {
    age_band: Band,
    decisions: BTreeMap<String, Decision>,
    guardian: Option<Guardian>,
    double_opt_in_at: Option<i64>,
    /// By purpose: 12 months after an opt-out, epoch ms. Before it, don't ask.
    may_ask_again_at: BTreeMap<String, i64>,
}

/// Read a subject's consent
#[utoipa::path(
    get, path = "/v1/consent/{subject_id}", operation_id = "get_consent", tag = "consent",
    params(("subject_id" = String, Path, description = "The shop's id of the consumer")),
    responses(
        (status = 200, description = "What stands", body = ConsentAnswer),
        (status = "4XX", description = "Refused, or there is no record", body = ErrorBody),
        (status = 503, description = "The changelog can't be read now", body = ErrorBody),
    ),
)]
pub async fn get_consent(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ConsentAnswer>, Problem> {
    let subject = checked_id(path_text(path, "subject_id")?, "subject_id")?;
    await_proof(app.changelog.progress()).await?;
    let record = app.changelog.current(&subject).record.ok_or_else(|| {
        let message = "this subject has no consent record that can be read";
        Problem::not_found(message).field("subject_id")
    })?;
    let again = may_ask_again_at(&record, &app.purposes);
    Ok(Json(ConsentAnswer {
        may_ask_again_at: again.into_iter().map(|(purpose, at)| (purpose, at.0)).collect(),
        ..record.into()
    }))
}

/// Write a subject's consent
#[utoipa::path(
    put, path = "/v1/consent/{subject_id}", operation_id = "put_consent", tag = "consent",
    params(("subject_id" = String, Path, description = "The shop's id of the consumer")),
    request_body = ConsentStatement,
    responses(
        (status = 202, description = "The request is in the register", body = Accepted),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take it; nothing was written", body = ErrorBody),
    ),
)]
pub async fn put_consent(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let subject = checked_id(path_text(path, "subject_id")?, "subject_id")?;
    let body: ConsentStatement = body::read(request).await?;
    let statement = statement(&app, body)?;
    take_in::change(&app, &client, subject, Change::Put(statement)).await
}

/// Erase a subject
#[utoipa::path(
    delete, path = "/v1/subjects/{subject_id}", operation_id = "erase_subject", tag = "consent",
    params(("subject_id" = String, Path, description = "The shop's id of the consumer")),
    responses(
        (status = 202, description = "The request is in the register", body = Accepted),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take it; nothing was written", body = ErrorBody),
    ),
)]
pub async fn erase_subject(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let subject = checked_id(path_text(path, "subject_id")?, "subject_id")?;
    take_in::change(&app, &client, subject, Change::Erase).await
}

fn statement(app: &App, body: ConsentStatement) -> Result<Statement, Problem> {
    let now = SystemClock.now();
    let mut decisions = BTreeMap::new();
    for (purpose, decision) in body.decisions {
        let field = format!("decisions.{}", assent_contract::domain::foreign_text::shown(&purpose));
        if app.rulebook.purpose_index(&purpose).is_none() {
            let known: Vec<&str> = app.purposes.iter().map(|it| it.id.as_str()).collect();
            let message = format!("the rulebook has no such purpose; it has {}", known.join(", "));
            return Err(Problem::invalid(field, message));
        }
        decisions.insert(purpose, decided(decision.0, now, &field)?);
    }
    let guardian = body.guardian.map(|said| guardian(said.0)).transpose()?;
    Ok(Statement {
        age_band: body.age_band.into(),
        decisions,
        guardian,
        double_opt_in_at: optional_time(body.double_opt_in_at, "double_opt_in_at")?,
    })
}

fn decided(decision: Decision, now: Timestamp, field: &str) -> Result<consent::Decision, Problem> {
    let status = decision.status.into();
    let expires_at = optional_time(decision.expires_at, &format!("{field}.expires_at"))?;
    checked(decision.notice_version.as_deref(), &format!("{field}.notice_version"))?;
    Ok(consent::Decision {
        status,
        since: optional_time(decision.since, &format!("{field}.since"))?.unwrap_or(now),
        expires_at: expires_at.filter(|_| status == ConsentStatus::Granted),
        notice_version: decision.notice_version,
    })
}

fn guardian(guardian: Guardian) -> Result<consent::Guardian, Problem> {
    checked(guardian.method.as_deref(), "guardian.method")?;
    Ok(consent::Guardian {
        verified_at: time(guardian.verified_at, "guardian.verified_at")?,
        method: guardian.method,
        coppa_consent: guardian.coppa_consent,
        coppa_disclosure: guardian.coppa_disclosure,
        ccpa_authorization: guardian.ccpa_authorization,
    })
}

fn optional_time(ms: Option<i64>, field: &str) -> Result<Option<Timestamp>, Problem> {
    ms.map(|ms| time(ms, field)).transpose()
}

fn time(ms: i64, field: &str) -> Result<Timestamp, Problem> {
    if (0..=TIME_MAX).contains(&ms) {
        return Ok(Timestamp(ms));
    }
    Err(Problem::invalid(field, "is not a time; send epoch milliseconds"))
}

impl From<ConsentRecord> for ConsentAnswer {
    fn from(record: ConsentRecord) -> Self {
        let decision = |decision: consent::Decision| Decision {
            status: decision.status.into(),
            since: Some(decision.since.0),
            expires_at: decision.expires_at.map(|at| at.0),
            notice_version: decision.notice_version,
        };
        let decisions = record.decisions.into_iter();
        Self {
            age_band: record.age_band.into(),
            decisions: decisions.map(|(purpose, it)| (purpose, decision(it))).collect(),
            guardian: record.guardian.map(|guardian| Guardian {
                verified_at: guardian.verified_at.0,
                method: guardian.method,
                coppa_consent: guardian.coppa_consent,
                coppa_disclosure: guardian.coppa_disclosure,
                ccpa_authorization: guardian.ccpa_authorization,
            }),
            double_opt_in_at: record.double_opt_in_at.map(|at| at.0),
            may_ask_again_at: BTreeMap::new(),
        }
    }
}

/// Two names of one thing: as the contract has it, and as the document of the API is made from.
macro_rules! same {
    ($($ours:ty = $contract:ty { $($variant:ident),+ })+) => {$(
        impl From<$ours> for $contract {
            fn from(value: $ours) -> Self {
                match value { $(<$ours>::$variant => <$contract>::$variant),+ }
            }
        }

        impl From<$contract> for $ours {
            fn from(value: $contract) -> Self {
                match value { $(<$contract>::$variant => <$ours>::$variant),+ }
            }
        }
    )+};
}

same! {
    Band = AgeBand { Unknown, Under13, From13To15, From16To17, From18 }
    Status = ConsentStatus { NotAsked, Granted, Denied, Withdrawn }
}
