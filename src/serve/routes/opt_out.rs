//! `POST /v1/opt-out`: no proof of who somebody is beyond the token (11 CCR 7026(d)).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::take_in::{self, Accepted, Answer};
use crate::serve::app::{App, checked_id};
use crate::serve::body;
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use assent_intake::{Change, Scope};

/// One of subject_id, subject_token and session_id.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutRequest {
    #[serde(default)]
    subject_id: Option<String>,
    #[serde(default)]
    subject_token: Option<String>,
    #[serde(default)]
    session_id: Option<String>,
    /// `sale_or_share`, `all`, or a purpose of the rulebook.
    scope: String,
}

/// Opt out of sale and sharing, of everything, or of one purpose
#[utoipa::path(
    post, path = "/v1/opt-out", operation_id = "opt_out", tag = "opt-out",
    request_body = OptOutRequest,
    responses(
        (status = 202, description = "The request is in the register", body = Accepted),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take it; nothing was written", body = ErrorBody),
    ),
)]
pub async fn opt_out(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
) -> Answer {
    let body: OptOutRequest = body::read(request).await?;
    let scope = scope(&app, body.scope)?;
    let subject = app.subject(&client, body.subject_id, body.subject_token.as_deref(), "")?;
    let session = body.session_id.map(|id| checked_id(id, "session_id")).transpose()?;
    match (subject, session) {
        (Some(_), Some(_)) => Err(Problem::invalid(
            "session_id",
            "the request names a subject and a session; send one of them",
        )),
        (Some(subject), None) => {
            take_in::change(&app, &client, subject, Change::OptOut(scope)).await
        }
        (None, Some(session)) => match app.sessions.subject_of(&session) {
            Some(subject) => take_in::change(&app, &client, subject, Change::OptOut(scope)).await,
            None => take_in::session_opt_out(&app, &client, &scope).await,
        },
        (None, None) => Err(Problem::invalid(
            "subject_token",
            "the request names nobody; send subject_id, subject_token or session_id",
        )),
    }
}

/// A purpose that nobody declares is a slip that would leave the meant one as it was.
fn scope(app: &App, text: String) -> Result<Scope, Problem> {
    let is_known = match text.as_str() {
        "sale_or_share" | "all" => true,
        id => app.rulebook.purpose_index(id).is_some(),
    };
    let scope = Scope::try_from(text).ok().filter(|_| is_known);
    scope.ok_or_else(|| {
        let known: Vec<&str> = app.purposes.iter().map(|it| it.id.as_str()).collect();
        let message = format!("must be sale_or_share, all, or one of {}", known.join(", "));
        Problem::invalid("scope", message)
    })
}
