//! `/v1/openapi.json`: OpenAPI 3.1, made from the handlers and their types.

use axum::Json;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{consent, deliveries, events, identities, lookup, opt_out, requests};
use crate::serve::errors::ErrorBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Assent",
        description = "Segments that may be used now, events, consent and opt-outs. Times are epoch \
            milliseconds. Every request bears the token of a client.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        events::post_events,
        lookup::look_up,
        consent::get_consent,
        consent::put_consent,
        consent::erase_subject,
        identities::put_identity,
        opt_out::opt_out,
        deliveries::take_delivery,
        requests::get_request,
        get_openapi,
    ),
    modifiers(&Bearer),
    security(("client" = [])),
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("client", scheme);
    }
}

/// The document.
pub fn document() -> Document {
    Api::openapi()
}

/// Describe this service
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "openapi", tag = "service",
    responses(
        (status = 200, description = "This document"),
        (status = "4XX", description = "Refused", body = ErrorBody),
    ),
)]
pub async fn get_openapi() -> Json<Document> {
    Json(document())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::routes::ACCESS;

    #[test]
    fn the_document_has_every_endpoint_and_no_other() {
        let document = serde_json::to_value(document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, operations) in paths {
            for method in operations.as_object().unwrap().keys() {
                described.push((method.to_uppercase(), path.clone()));
            }
        }
        let mut served: Vec<(String, String)> =
            ACCESS.iter().map(|it| (it.method.to_owned(), it.path.to_owned())).collect();
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }
}
