//! The HTTP server: binds at once, serves on a thread of its own, ends when it is dropped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::oneshot;

use super::connections::{self, Door, Limits};
use super::health::Health;
use crate::failure::{Exit, Failure, Result};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{REVISION, VERSION};

/// A running server. Dropping it closes the listener and every connection.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it listens: the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Listens before it returns. Fails (78) where the address can't be had.
pub fn serve(listen: SocketAddr, metrics: Arc<Metrics>, health: Arc<dyn Health>) -> Result<Server> {
    serve_within(Limits::of(connections::descriptors()), listen, metrics, health)
}

fn serve_within(
    limits: Limits,
    listen: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
) -> Result<Server> {
    let listener = bind(listen)?;
    let address = listener.local_addr().map_err(|error| unusable(listen, &error))?;
    // With time: what waits for a client, or for a free descriptor, waits no longer than it may.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unusable(listen, &error))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = routes(metrics, health);
    let thread = std::thread::Builder::new()
        .name("http".into())
        .spawn(move || runtime.block_on(run(listener, routes, limits, stopped)))
        .map_err(|error| Failure::failed(format!("http: can't start the thread: {error}")))?;
    tracing::info!(http.listen = %address, "serving metrics and health");
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

fn bind(listen: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(listen).map_err(|error| unusable(listen, &error))?;
    listener.set_nonblocking(true).map_err(|error| unusable(listen, &error))?;
    Ok(listener)
}

fn unusable(listen: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Config,
        format!(
            "http.listen: can't listen on {listen}: {error}; choose another address, or port 0 \
             for a free one"
        ),
    )
}

/// Until it is stopped: metrics and health outlast whatever a connection does.
async fn run(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => Arc::new(listener),
        Err(error) => return tracing::error!(%error, "http: not serving"),
    };
    let (_open, never) = tokio::sync::watch::channel(false);
    loop {
        let door = Door { routes: routes.clone(), limits, greet: connections::plain };
        let accepting = connections::accept(Arc::clone(&listener), door, never.clone());
        let mut accepting = tokio::spawn(accepting);
        tokio::select! {
            _ = &mut stopped => return accepting.abort(),
            ended = &mut accepting => tracing::error!(?ended, "http: a request failed because of a \
                defect of assent; serving again"),
        }
    }
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
}

fn routes(metrics: Arc<Metrics>, health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .with_state(Shared { metrics, health })
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    shared.health.publish(&shared.metrics);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render()).into_response()
}

async fn livez(State(shared): State<Shared>) -> Response {
    let live = shared.health.is_live();
    (code(live), Json(json!({ "live": live }))).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let (ready, body) = shared.health.readiness();
    (code(ready), Json(body)).into_response()
}

async fn version() -> Json<serde_json::Value> {
    Json(json!({ "version": VERSION, "revision": REVISION }))
}

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests;
