//! `POST /v1/events`: clicks, one or an array of them, to `clickstream`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::lookup::{checked, has_gpc};
use crate::clock::{Clock, SystemClock};
use crate::serve::app::{App, checked_id};
use crate::serve::body;
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::gpp;

/// At once (docs/contract/http.md).
const EVENTS_MAX: usize = 100;

/// As the pipeline has it: what is further ahead would be a dead letter (docs/contract/bad-input.md).
const AHEAD_MAX: Span = Span(5 * Span::MINUTE.0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    PageView,
    ProductView,
    Search,
    AddToCart,
    Purchase,
    Other,
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::PageView => Self::PageView,
            Kind::ProductView => Self::ProductView,
            Kind::Search => Self::Search,
            Kind::AddToCart => Self::AddToCart,
            Kind::Purchase => Self::Purchase,
            Kind::Other => Self::Other,
        }
    }
}

/// A ClickEvent, named as its schema has it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names)] // the schema's names
pub struct Event {
    /// A UUID.
    #[schema(pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
    event_id: String,
    /// The shop's id of the consumer; a publishable client sends subject_token instead.
    #[serde(default)]
    subject_id: Option<String>,
    /// A JWT that the shop's server signed.
    #[serde(default)]
    subject_token: Option<String>,
    session_id: String,
    /// Epoch ms, at most 5 minutes ahead.
    occurred_at: i64,
    kind: Kind,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    product_id: Option<String>,
    #[serde(default)]
    product_age_range: Option<String>,
    #[serde(default)]
    value_cents: Option<i64>,
    #[serde(default)]
    region: Option<String>,
    /// The header `Sec-GPC: 1` wins over it.
    #[serde(default)]
    gpc: Option<bool>,
    #[serde(default)]
    gpp: Option<String>,
}

/// One event, or at most 100.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // for the document: the body is read by its first character, so that a fault has its field
pub enum Events {
    One(Box<Event>),
    Many(Vec<Event>),
}

#[derive(Serialize, ToSchema)]
pub struct EventsAnswer {
    /// How many were acknowledged.
    accepted: usize,
}

/// Send clicks
#[utoipa::path(
    post, path = "/v1/events", operation_id = "events", tag = "events",
    request_body = Events,
    responses(
        (status = 202, description = "All of them are acknowledged by the brokers", body = EventsAnswer),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take records; send the events again", body = ErrorBody),
    ),
)]
pub async fn post_events(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
) -> Result<(StatusCode, Json<EventsAnswer>), Problem> {
    let sends_gpc = has_gpc(request.headers());
    let bytes = body::read_bytes(request).await?;
    let is_array = bytes.trim_ascii_start().first() == Some(&b'[');
    let events: Vec<Event> =
        if is_array { body::decode_list(&bytes)? } else { vec![body::decode(&bytes)?] };
    if events.len() > EVENTS_MAX {
        let message = format!("at most {EVENTS_MAX} events can be sent at once; split them");
        return Err(Problem::unprocessable(message));
    }
    let now = SystemClock.now();
    let clicks = events.into_iter().enumerate().map(|(place, event)| {
        let path = if is_array { format!("[{place}].") } else { String::new() };
        click(&app, &client, event, sends_gpc, now, &path)
    });
    let clicks: Vec<ClickEvent> = clicks.collect::<Result<_, _>>()?;
    app.events.write(&clicks).await.map_err(|_| {
        Problem::unavailable("the brokers did not acknowledge the events in time; send them again")
    })?;
    for click in &clicks {
        if let Some(subject) = &click.subject_id {
            app.sessions.note(&click.session_id, subject);
        }
    }
    Ok((StatusCode::ACCEPTED, Json(EventsAnswer { accepted: clicks.len() })))
}

fn click(
    app: &App,
    client: &Client,
    event: Event,
    sends_gpc: bool,
    now: Timestamp,
    path: &str,
) -> Result<ClickEvent, Problem> {
    let field = |name: &str| format!("{path}{name}");
    if !is_uuid(&event.event_id) {
        let message = "must be a UUID, such as 0b8e7e7c-6f6b-4b1f-9d4e-0a6f3a1b2c3d";
        return Err(Problem::invalid(field("event_id"), message));
    }
    if Timestamp(event.occurred_at) > now + AHEAD_MAX {
        let message = "is more than 5 minutes ahead; send epoch milliseconds by a right clock";
        return Err(Problem::invalid(field("occurred_at"), message));
    }
    if event.gpp.as_ref().is_some_and(|gpp| gpp.len() > gpp::BYTES_MAX) {
        let message = format!("must have at most {} bytes", gpp::BYTES_MAX);
        return Err(Problem::invalid(field("gpp"), message));
    }
    let texts = [
        (&event.category, "category"),
        (&event.product_id, "product_id"),
        (&event.product_age_range, "product_age_range"),
        (&event.region, "region"),
    ];
    for (text, name) in texts {
        checked(text.as_deref(), &field(name))?;
    }
    let subject_token = event.subject_token.as_deref();
    Ok(ClickEvent {
        subject_id: app.subject(client, event.subject_id, subject_token, path)?,
        session_id: checked_id(event.session_id, &field("session_id"))?,
        event_id: event.event_id,
        occurred_at: Timestamp(event.occurred_at),
        kind: event.kind.into(),
        category: event.category,
        product_id: event.product_id,
        product_age_range: event.product_age_range,
        value_cents: event.value_cents,
        region: event.region,
        gpc: gpc(sends_gpc, client.publishable, event.gpc),
        gpp: event.gpp,
    })
}

/// The header wins. A browser always sends it where it has the signal, so one without says false, unless its
/// script says true: a signal is never taken back. Of a server's own visitors the server speaks.
fn gpc(sends_gpc: bool, is_browser: bool, said: Option<bool>) -> Option<bool> {
    match (sends_gpc, is_browser) {
        (true, _) => Some(true),
        (false, true) => Some(said == Some(true)),
        (false, false) => said,
    }
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_of_the_browser_is_never_lost() {
        assert_eq!(gpc(true, true, Some(false)), Some(true));
        assert_eq!(gpc(true, false, None), Some(true));
        assert_eq!(gpc(false, true, None), Some(false));
        assert_eq!(gpc(false, true, Some(false)), Some(false));
        assert_eq!(gpc(false, true, Some(true)), Some(true));
        assert_eq!(gpc(false, false, None), None);
        assert_eq!(gpc(false, false, Some(false)), Some(false));
    }

    #[test]
    fn an_event_id_is_a_uuid() {
        assert!(is_uuid("0b8e7e7c-6f6b-4b1f-9d4e-0a6f3a1b2c3d"));
        for wrong in
            ["", "1", "0b8e7e7c6f6b4b1f9d4e0a6f3a1b2c3d", "0b8e7e7c-6f6b-4b1f-9d4e-0a6f3a1b2c3g"]
        {
            assert!(!is_uuid(wrong), "{wrong}");
        }
    }
}
