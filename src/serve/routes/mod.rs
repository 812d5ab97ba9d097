//! The endpoints: one table of what each is and who may have it, and one file for each family of handlers.

pub mod consent;
pub mod deliveries;
pub mod events;
pub mod identities;
pub mod lookup;
pub mod openapi;
pub mod opt_out;
pub mod requests;
mod take_in;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::app::App;
use super::errors::Problem;
use crate::config::Allowed;

/// An endpoint, and what a client needs one of to have it; none: any client may.
pub struct Access {
    pub method: &'static str,
    pub path: &'static str,
    pub allow: &'static [Allowed],
}

const fn access(method: &'static str, path: &'static str, allow: &'static [Allowed]) -> Access {
    Access { method, path, allow }
}

/// For consent platforms alone, each with its own secret.
pub const INTAKE: &str = "/v1/intake/{source}";

pub const ACCESS: &[Access] = &[
    access("POST", "/v1/events", &[Allowed::Events]),
    access("POST", "/v1/lookup", &[Allowed::Lookup]),
    access("GET", "/v1/consent/{subject_id}", &[Allowed::Consent]),
    access("PUT", "/v1/consent/{subject_id}", &[Allowed::Consent]),
    access("DELETE", "/v1/subjects/{subject_id}", &[Allowed::Consent]),
    access("PUT", "/v1/identities", &[Allowed::Consent]),
    access("POST", "/v1/opt-out", &[Allowed::OptOut]),
    access("POST", INTAKE, &[]),
    access("GET", "/v1/requests/{request_id}", &[Allowed::Consent, Allowed::OptOut]),
    access("GET", "/v1/openapi.json", &[]),
];

/// The handlers of [`ACCESS`].
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/events", post(events::post_events))
        .route("/v1/lookup", post(lookup::look_up))
        .route("/v1/consent/{subject_id}", get(consent::get_consent).put(consent::put_consent))
        .route("/v1/subjects/{subject_id}", delete(consent::erase_subject))
        .route("/v1/identities", put(identities::put_identity))
        .route("/v1/opt-out", post(opt_out::opt_out))
        .route(INTAKE, post(deliveries::take_delivery))
        .route("/v1/requests/{request_id}", get(requests::get_request))
        .route("/v1/openapi.json", get(openapi::get_openapi))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async {
            Problem::not_found("there is no such path; /v1/openapi.json lists what there is")
        })
}

/// What an endpoint asks of its client; `None`: there is no such endpoint.
pub fn allowed(method: &str, path: &str) -> Option<&'static [Allowed]> {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = ACCESS.iter().find(|access| access.method == method && access.path == path);
    found.map(|access| access.allow)
}
