//! A change of consent, on its way to the intake: accepted, or nothing was written.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::clock::{Clock, SystemClock};
use crate::serve::app::App;
use crate::serve::clients::Client;
use crate::serve::errors::Problem;
use crate::serve::intake::{Offer, new_request_id, received};
use assent_contract::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use assent_intake::{Change, Command, Scope};

/// An answer waits so long for the changelog to have the change, so that whoever asks next sees it. It is
/// accepted without that, too.
pub const MERGED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// For `GET /v1/requests/{request_id}`.
    request_id: String,
}

pub type Answer = Result<(StatusCode, Json<Accepted>), Problem>;

/// How a request came: `PrivacyRequest.manner`, and `ConsentRecord.source`.
pub fn manner(client: &Client) -> &'static str {
    if client.publishable { "browser" } else { "api" }
}

/// Of a subject.
pub async fn change(app: &App, client: &Client, subject_id: String, change: Change) -> Answer {
    let command = Command {
        request_id: new_request_id().map_err(|_| no_randomness())?,
        subject_id,
        source: manner(client).to_owned(),
        received_at: SystemClock.now(),
        change,
    };
    let request_id = command.request_id.clone();
    let request = received(&command, &app.keys.now());
    let partition = app.changelog.partition_of(&command.subject_id);
    let merged = app.changelog.await_request(&request_id);
    let offer =
        Offer { commands: vec![(partition, command)], requests: vec![request], ..Offer::default() };
    accept(app, offer).await?;
    let _ = timeout(MERGED_WITHIN, merged).await; // it comes later, then
    Ok(accepted(request_id))
}

/// Of a session that no subject has: nothing is kept of it that could be used, so it is honored at once.
pub async fn session_opt_out(app: &App, client: &Client, scope: &Scope) -> Answer {
    let now = SystemClock.now();
    let request = PrivacyRequest {
        request_id: new_request_id().map_err(|_| no_randomness())?,
        kind: RequestKind::OptOut,
        scope: scope.text().to_owned(),
        manner: manner(client).to_owned(),
        subject: None,
        received_at: now,
        status: RequestStatus::Honored,
        honored_at: Some(now),
        chain: None,
        sequence: None,
        basis_of_denial: None,
    };
    let request_id = request.request_id.clone();
    accept(app, Offer { requests: vec![request], ..Offer::default() }).await?;
    Ok(accepted(request_id))
}

/// 503, and nothing was written, where the brokers don't take it.
pub async fn accept(app: &App, offer: Offer) -> Result<(), Problem> {
    app.acceptor.accept(offer).await.map_err(|_| {
        Problem::unavailable(
            "the brokers don't take the request, and nothing was written; try again",
        )
    })
}

pub fn accepted(request_id: String) -> (StatusCode, Json<Accepted>) {
    (StatusCode::ACCEPTED, Json(Accepted { request_id }))
}

pub fn no_randomness() -> Problem {
    Problem::unavailable("the system gives no random bytes, and nothing was written; try again")
}
