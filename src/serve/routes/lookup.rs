//! `POST /v1/lookup`: which segments may a page show somebody now, for this purpose?

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::events::Kind;
use crate::clock::{Clock, SystemClock};
use crate::serve::app::{App, checked_id};
use crate::serve::body::{self, Object};
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use crate::serve::keys::KeysInUse;
use assent_contract::domain::consent::ConsentStatus;
use assent_contract::domain::event::Click;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::gpp;

/// The longest text of a page that a rule can compare.
pub const TEXT_BYTES_MAX: usize = 512;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupRequest {
    /// The shop's id of the consumer; a publishable client sends subject_token instead.
    #[serde(default)]
    subject_id: Option<String>,
    /// A JWT that the shop's server signed.
    #[serde(default)]
    subject_token: Option<String>,
    #[serde(default)]
    session_id: Option<String>,
    /// A purpose of the rulebook.
    purpose: String,
    /// What `navigator.globalPrivacyControl` says; the header `Sec-GPC: 1` counts without it.
    #[serde(default)]
    gpc: Option<bool>,
    /// IAB Global Privacy Platform string.
    #[serde(default)]
    gpp: Option<String>,
    /// The page at hand, for contextual segments.
    #[serde(default)]
    #[schema(value_type = Option<Page>)]
    page: Option<Object<Page>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Default: PAGE_VIEW.
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    product_id: Option<String>,
    #[serde(default)]
    product_age_range: Option<String>,
    #[serde(default)]
    region: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct LookupAnswer {
    /// Segments that may be used now, or the default segment alone.
    segments: Vec<String>,
    /// Segments of the page at hand: they say nothing of the person.
    contextual: Vec<String>,
    /// True for anyone unknown, withheld, expired or in doubt: never says which.
    is_default: bool,
    purpose: String,
    /// Why the segments may be used: OPT_IN, GUARDIAN_OPT_IN or NOT_OPTED_OUT.
    basis: Option<String>,
    /// Until when they may be used, epoch ms.
    expires_at: Option<i64>,
    /// There once an honored opt-out covers the purpose.
    opt_out: Option<OptOut>,
}

#[derive(Serialize, ToSchema)]
pub struct OptOut {
    honored: bool,
    /// When the request was received, epoch ms.
    since: i64,
}

/// Look up the segments that a page may show
#[utoipa::path(
    post, path = "/v1/lookup", operation_id = "lookup", tag = "lookup",
    request_body = LookupRequest,
    responses(
        (status = 200, description = "The segments, or the default segment", body = LookupAnswer),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
    ),
)]
pub async fn look_up(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
) -> Result<Json<LookupAnswer>, Problem> {
    let sends_gpc = has_gpc(request.headers());
    let body: LookupRequest = body::read(request).await?;
    let purpose = app.purpose_index(&body.purpose)?;
    if let Some(session) = body.session_id {
        checked_id(session, "session_id")?;
    }
    let subject = app.subject(&client, body.subject_id, body.subject_token.as_deref(), "")?;
    let contextual = contextual(&app, body.page.as_ref().map(|page| &page.0))?;
    let gpc = if sends_gpc { Some(true) } else { body.gpc };
    let is_signaled = gpp::signal(gpc, body.gpp.as_deref()).is_some();
    let mut answer = LookupAnswer {
        segments: vec![app.rulebook.default_segment.clone()],
        contextual,
        is_default: true,
        purpose: body.purpose,
        basis: None,
        expires_at: None,
        opt_out: None,
    };
    let Some(subject) = subject else { return Ok(Json(answer)) };
    let keys = app.keys.now();
    let is_withheld = is_signaled && app.purposes[purpose].sale_or_share;
    let found =
        app.copy.find(&keys.ring, purpose, &subject, SystemClock.now()).filter(|_| !is_withheld);
    match found {
        Some((assigned, expires_at)) => {
            answer.segments.clone_from(&assigned.segments);
            answer.is_default = false;
            answer.basis = Some(assigned.basis.symbol().to_owned());
            answer.expires_at = Some(expires_at.0);
        }
        None => answer.opt_out = opt_out(&app, &keys, purpose, &subject),
    }
    Ok(Json(answer))
}

/// `Sec-GPC: 1`.
pub fn has_gpc(headers: &HeaderMap) -> bool {
    headers.get_all("sec-gpc").iter().any(|value| value.as_bytes().trim_ascii() == b"1")
}

/// Of a person who granted the purpose again since, an older opt-out says nothing.
fn opt_out(app: &App, keys: &KeysInUse, purpose: usize, subject: &str) -> Option<OptOut> {
    let terms = &app.purposes[purpose];
    let since = app.register.opted_out_since(keys, subject, terms, None)?;
    let record = app.changelog.current(subject).record;
    let granted = record.and_then(|mut record| record.decisions.remove(&terms.id));
    let granted = granted.filter(|decision| decision.status == ConsentStatus::Granted);
    let since = match granted {
        None => since,
        Some(grant) => app.register.opted_out_since(keys, subject, terms, Some(grant.since))?,
    };
    Some(OptOut { honored: true, since: since.0 })
}

fn contextual(app: &App, page: Option<&Page>) -> Result<Vec<String>, Problem> {
    let Some(page) = page else { return Ok(Vec::new()) };
    let click = Click {
        kind: page.kind.unwrap_or(Kind::PageView).into(),
        category: checked(page.category.as_deref(), "page.category")?,
        product_id: checked(page.product_id.as_deref(), "page.product_id")?,
        product_age_range: checked(page.product_age_range.as_deref(), "page.product_age_range")?,
        region: checked(page.region.as_deref(), "page.region")?,
        occurred_at: Timestamp(0),
        ..Click::default()
    };
    let holding = app.rulebook.contextual.iter().filter(|rule| rule.condition.holds(&click));
    Ok(holding.map(|rule| rule.id.clone()).collect())
}

pub fn checked<'t>(text: Option<&'t str>, field: &str) -> Result<Option<&'t str>, Problem> {
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            let message = format!("must have at most {TEXT_BYTES_MAX} bytes");
            Err(Problem::invalid(field, message))
        }
        text => Ok(text),
    }
}
