//! `PUT /v1/identities`: whose an identifier of a consent platform is.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::take_in::{self, Accepted, Answer, MERGED_WITHIN};
use crate::clock::{Clock, SystemClock};
use crate::config::identifier_kind;
use crate::serve::app::{App, checked_id};
use crate::serve::body;
use crate::serve::clients::Client;
use crate::serve::errors::{ErrorBody, Problem};
use crate::serve::identities::{Mapped, key_of};
use crate::serve::intake::{Offer, new_request_id};
use assent_contract::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use assent_intake::source::Identifier;

const LOOK: Duration = Duration::from_millis(2);

/// An identifier, and the subject whose it is. It takes the place of what was there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityStatement {
    /// What kind of identifier it is, such as `email`: the `identifier_kind` of a source.
    kind: String,
    /// As the platform has it. An email address is compared in lower case.
    identifier: String,
    /// The shop's id of the consumer.
    subject_id: String,
}

/// Map an identifier of a consent platform to a subject
#[utoipa::path(
    put, path = "/v1/identities", operation_id = "put_identity", tag = "consent",
    request_body = IdentityStatement,
    responses(
        (status = 202, description = "It is mapped; what was held of it is applied", body = Accepted),
        (status = "4XX", description = "Refused; nothing was written", body = ErrorBody),
        (status = 503, description = "The brokers don't take it; nothing was written", body = ErrorBody),
    ),
)]
pub async fn put_identity(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
) -> Answer {
    let body: IdentityStatement = body::read(request).await?;
    let kind = identifier_kind(&body.kind).map_err(|why| Problem::invalid("kind", why))?;
    let identifier = Identifier::new(&kind, &body.identifier).ok_or_else(|| {
        Problem::invalid("identifier", "must not be empty, and have at most 700 bytes")
    })?;
    let subject_id = checked_id(body.subject_id, "subject_id")?;
    let (keys, now) = (app.keys.now(), SystemClock.now());
    let request_id = new_request_id().map_err(|_| take_in::no_randomness())?;
    let entry = PrivacyRequest {
        request_id: request_id.clone(),
        kind: RequestKind::Other,
        scope: "all".to_owned(),
        manner: take_in::manner(&client).to_owned(),
        subject: Some(keys.ring.audit_token(subject_id.as_bytes())),
        received_at: now,
        status: RequestStatus::Honored,
        honored_at: Some(now),
        chain: None,
        sequence: None,
        basis_of_denial: None,
    };
    let key = key_of(&keys, &identifier);
    let mapped = Mapped { subject_id: subject_id.clone(), mapped_at: now };
    let identities = vec![(key.clone(), mapped)];
    take_in::accept(&app, Offer { requests: vec![entry], identities, ..Offer::default() }).await?;
    // So that whoever delivers next finds it.
    let known = async {
        while app.identities.subject(&key).as_ref() != Some(&subject_id) {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(MERGED_WITHIN, known).await;
    Ok(take_in::accepted(request_id))
}
