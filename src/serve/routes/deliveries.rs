//! `POST /v1/intake/{source}`: what a consent platform sends. Answered 2xx once all of it is committed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::requests::path_text;
use super::take_in::{self, MERGED_WITHIN};
use crate::clock::{Clock, SystemClock};
use crate::config::IntakeSource;
use crate::serve::app::App;
use crate::serve::body;
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use crate::serve::intake::Offer;
use crate::serve::sorting::{Sorted, sort};
use assent_intake::source::{Delivery, Refused, Source, trustarc_hint};

/// What becomes of a delivery, or of a statement in it: labels of a metric.
pub const OUTCOMES: [&str; 6] = ["taken", "held", "known", "nothing", "refused", "unavailable"];

/// What became of the statements of a delivery.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[allow(clippy::struct_field_names)] // the names of the JSON
pub struct Taken {
    /// Changes that wait to be merged, and were committed.
    taken: u32,
    /// Held, since nobody maps the identifier.
    held: u32,
    /// They came before.
    known: u32,
}

/// Take in what a consent platform sends
#[utoipa::path(
    post, path = "/v1/intake/{source}", operation_id = "intake", tag = "intake",
    params(("source" = String, Path, description = "onetrust, trustarc, zigpoll or ketch")),
    request_body(
        content = serde_json::Value,
        description = "As the platform documents it; of trustarc anything, since the consents are read back",
    ),
    responses(
        (status = 202, description = "All of it is committed", body = Taken),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take it, or the platform can't be read \
            back; nothing was written: send it again", body = ErrorBody),
    ),
)]
pub async fn take_delivery(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let word = path_text(path, "source")?;
    let asked = Source::of_word(&word);
    let known = app.config.intake.iter().find(|it| Some(it.source) == asked);
    let Some(source) = known else {
        let message = "no such source is configured; see intake.sources";
        return Err(Problem::not_found(message).field("source"));
    };
    if client.source != Some(source.source) {
        let message = "this is the secret of another source";
        return Err(Problem::forbidden(message).field("source"));
    }
    let answer = take(&app, source, request).await;
    if let Err(problem) = &answer {
        count(
            &app,
            source.source,
            if problem.is_server_side() { "unavailable" } else { "refused" },
            1,
        );
    }
    answer
}

async fn take(
    app: &Arc<App>,
    source: &IntakeSource,
    request: Request,
) -> Result<(StatusCode, Json<Taken>), Problem> {
    let body = body::read_bytes(request).await?;
    let delivery = read(app, source, body).await?;
    for (what, number) in delivery.notes.counts() {
        let labels = [source.source.word(), what];
        app.metrics.intake_left_out_total.with_label_values(&labels).inc_by(number.into());
    }
    let Sorted { offer, known } = sort(
        delivery.said,
        source.source.word(),
        &app.keys.now(),
        &app.identities,
        &app.register,
        &app.changelog,
        SystemClock.now(),
    );
    let (taken, held) = (offer.commands.len() as u32, offer.held.len() as u32);
    offer_all(app, offer).await?;
    for (outcome, number) in [("taken", taken), ("held", held), ("known", known)] {
        count(app, source.source, outcome, number);
    }
    if taken + held + known == 0 {
        count(app, source.source, "nothing", 1);
    }
    Ok((StatusCode::ACCEPTED, Json(Taken { taken, held, known })))
}

async fn offer_all(app: &App, offer: Offer) -> Result<(), Problem> {
    if offer.is_empty() {
        return Ok(());
    }
    let commands = offer.commands.iter();
    let merged: Vec<_> =
        commands.map(|(_, command)| app.changelog.await_request(&command.request_id)).collect();
    take_in::accept(app, offer).await?;
    let all = async {
        for one in merged {
            let _ = one.await; // of what changes nothing it never comes
        }
    };
    let _ = timeout(MERGED_WITHIN, all).await;
    Ok(())
}

async fn read(app: &Arc<App>, source: &IntakeSource, body: Bytes) -> Result<Delivery, Problem> {
    if source.source != Source::TrustArc {
        return source.source.read(&body, &source.mapping).map_err(problem);
    }
    let hint = trustarc_hint(&body).map_err(problem)?;
    let answer = app.platforms.read_back(hint).await.map_err(Problem::unavailable)?;
    source.source.read(&answer, &source.mapping).map_err(|_| {
        let message = "the consents that were read back can't be understood; try again";
        Problem::unavailable(message)
    })
}

fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::Malformed => Problem::malformed("the body is not valid JSON"),
        Refused::Field { field, message } if field.is_empty() => Problem::unprocessable(message),
        Refused::Field { field, message } => Problem::invalid(field, message),
    }
}

fn count(app: &App, source: Source, outcome: &str, number: u32) {
    let labels = [source.word(), outcome];
    app.metrics.intake_deliveries_total.with_label_values(&labels).inc_by(number.into());
}
