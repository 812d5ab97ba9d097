//! `GET /v1/requests/{request_id}`: what became of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::{Clock, SystemClock};
use crate::serve::app::App;
use crate::serve::errors::{ErrorBody, Problem};
use crate::serve::follow::Progress;

/// How long an answer may wait until what it is read from is known to be complete.
const PROVEN_WITHIN: Duration = Duration::from_secs(2);

const LOOK: Duration = Duration::from_millis(5);

#[derive(Serialize, ToSchema)]
pub struct RequestAnswer {
    /// opt_out, opt_out_signal, consent, erasure, access or other.
    kind: String,
    /// Epoch ms.
    received_at: i64,
    /// received, honored or failed.
    status: String,
    /// Epoch ms; null: not yet.
    honored_at: Option<i64>,
    /// The audit batch that records the effect; null: there is none yet, or there was nothing to do.
    audit: Option<AuditPlace>,
}

#[derive(Serialize, ToSchema)]
pub struct AuditPlace {
    chain: String,
    sequence: i64,
}

/// Ask what became of a request
#[utoipa::path(
    get, path = "/v1/requests/{request_id}", operation_id = "request", tag = "requests",
    params(("request_id" = String, Path, description = "As the change was answered")),
    responses(
        (status = 200, description = "The request as it stands", body = RequestAnswer),
        (status = "4XX", description = "Refused, or there is no such request", body = ErrorBody),
        (status = 503, description = "The register can't be read now", body = ErrorBody),
    ),
)]
pub async fn get_request(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<RequestAnswer>, Problem> {
    let request_id = path_text(path, "request_id")?;
    let mut found = app.register.find(&request_id);
    if found.is_none() {
        // Another instance may have taken it in a moment ago.
        await_proof(app.register.progress()).await?;
        found = app.register.find(&request_id);
    }
    let found = found.ok_or_else(|| {
        Problem::not_found("the register has no such request").field("request_id")
    })?;
    let audit = found.chain.clone().zip(found.sequence);
    Ok(Json(RequestAnswer {
        kind: found.kind.label().to_owned(),
        received_at: found.received_at.0,
        status: found.status.label().to_owned(),
        honored_at: found.honored_at.map(|at| at.0),
        audit: audit.map(|(chain, sequence)| AuditPlace { chain, sequence }),
    }))
}

/// Until a copy is complete as of now.
pub async fn await_proof(progress: &Progress) -> Result<(), Problem> {
    let started = SystemClock.instant();
    while !progress.is_proven_since(started) {
        if started.elapsed() > PROVEN_WITHIN {
            return Err(Problem::unavailable("the brokers don't answer; try again"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The one part of a path that a client chooses.
pub fn path_text(
    path: Result<Path<String>, PathRejection>,
    field: &'static str,
) -> Result<String, Problem> {
    let path = path.map_err(|_| {
        Problem::malformed("this part of the path is not UTF-8; percent-encode it").field(field)
    })?;
    Ok(path.0)
}
