//! What stands before every handler: CORS, who asks, whether they may, how much; and after it, what is counted
//! and logged. No id of a person is: of a path the log has the pattern, of a client the configured id.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    AUTHORIZATION, CACHE_CONTROL, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::clients::Client;
use super::errors::Problem;
use super::routes;
use crate::clock::{Clock, SystemClock};

/// The label of a request that no route has.
const OTHER: &str = "other";

/// The routes behind the guard.
pub fn router(app: Arc<App>) -> Router {
    routes::router().layer(from_fn_with_state(Arc::clone(&app), guard)).with_state(app)
}

async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = SystemClock.instant();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| OTHER.to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let origin = allowed_origin(&app, request.headers());
    if is_preflight(&method, request.headers()) {
        return preflight(origin.as_ref());
    }
    let (mut response, client) = match admit(&app, &request, &method, &route) {
        Ok(client) => {
            request.extensions_mut().insert(Arc::clone(&client));
            (next.run(request).await, Some(client))
        }
        Err((problem, client)) => (problem.into_response(), client),
    };
    finish(&mut response, origin);
    tell(&app, &method, &route, client.as_deref(), response.status(), started);
    response
}

type Refused = (Problem, Option<Arc<Client>>);

fn admit(
    app: &App,
    request: &Request,
    method: &Method,
    route: &str,
) -> Result<Arc<Client>, Refused> {
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let client = authorization.and_then(|value| app.clients.of(value)).cloned();
    let Some(client) = client else { return Err((Problem::unauthorized(), None)) };
    let known = routes::allowed(method.as_str(), route);
    if known.is_some() && client.source.is_some() != (route == routes::INTAKE) {
        let message = "a consent platform's secret is for its own intake, and nothing else is";
        return Err((Problem::forbidden(message), Some(client)));
    }
    let wanted = known.unwrap_or_default();
    if !client.may(wanted) {
        let words: Vec<&str> = wanted.iter().map(|it| it.word()).collect();
        let message = format!("this client may not do that; it needs {}", words.join(" or "));
        return Err((Problem::forbidden(message), Some(client)));
    }
    if !client.bucket.take() {
        app.metrics.rate_limited_total.with_label_values(&[client.id.as_str()]).inc();
        return Err((Problem::too_many(), Some(client)));
    }
    Ok(client)
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The request's origin, if its pages may call.
fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?.to_ascii_lowercase();
    app.config.serve.cors_origins.contains(&text).then(|| origin.clone())
}

fn preflight(origin: Option<&HeaderValue>) -> Response {
    let Some(origin) = origin else {
        let message = "pages of this origin may not call the service; see serve.cors_origins";
        return Problem::forbidden(message).field("origin").into_response();
    };
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let text = HeaderValue::from_static;
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, text("GET, POST, PUT, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, text("authorization, content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, text("600"));
    headers.insert(VARY, text("origin"));
    response
}

/// What every answer has. It is of one moment and one person: nobody may keep it.
fn finish(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
}

fn tell(
    app: &App,
    method: &Method,
    route: &str,
    client: Option<&Client>,
    status: StatusCode,
    started: Instant,
) {
    let took = started.elapsed();
    app.metrics.http_requests_total.with_label_values(&[route, status.as_str()]).inc();
    app.metrics
        .http_request_duration_seconds
        .with_label_values(&[route])
        .observe(took.as_secs_f64());
    tracing::info!(
        target: "assent::access",
        method = known(method),
        route,
        status = status.as_u16(),
        client = client.map_or("", |client| client.id.as_str()),
        took_us = took.as_micros() as u64,
        "request"
    );
}

/// A method may be any word of the caller's.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    }
}
