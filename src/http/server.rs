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

use super::status::Status;
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
pub fn serve(listen: SocketAddr, metrics: Arc<Metrics>, status: Arc<Status>) -> Result<Server> {
    let listener = bind(listen)?;
    let address = listener.local_addr().map_err(|error| unusable(listen, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| unusable(listen, &error))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = routes(metrics, status);
    let thread = std::thread::Builder::new()
        .name("http".into())
        .spawn(move || runtime.block_on(run(listener, routes, stopped)))
        .map_err(|error| Failure::failed(format!("http: can't start its thread: {error}")))?;
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

async fn run(listener: TcpListener, routes: Router, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "http: not serving"),
    };
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let _ = stopped.await;
    serving.abort();
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    status: Arc<Status>,
}

fn routes(metrics: Arc<Metrics>, status: Arc<Status>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .with_state(Shared { metrics, status })
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render()).into_response()
}

async fn livez(State(shared): State<Shared>) -> Response {
    let live = shared.status.is_live();
    (code(live), Json(json!({ "live": live }))).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let readiness = shared.status.readiness();
    (code(readiness.ready), Json(readiness)).into_response()
}

async fn version() -> Json<serde_json::Value> {
    Json(json!({ "version": VERSION, "revision": REVISION }))
}

fn code(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::Timestamp;
    use crate::http::PartitionStatus;

    fn ask(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn started() -> (Server, Arc<Status>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let status = Arc::new(Status::new(1, Duration::from_mins(1), clock.clone()));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (serve(any, Arc::new(Metrics::new()), status.clone()).unwrap(), status, clock)
    }

    #[test]
    fn answers_over_a_real_socket() {
        let (server, status, clock) = started();
        let address = server.address();
        let (code, body) = ask(address, "/metrics");
        assert_eq!(code, 200);
        assert!(body.contains("assent_build_info{"), "{body}");
        assert_eq!(ask(address, "/livez").0, 200);
        assert_eq!(ask(address, "/readyz"), (503, r#"{"ready":false,"partitions":[]}"#.into()));
        assert!(ask(address, "/version").1.contains(VERSION));
        assert_eq!(ask(address, "/else").0, 404);

        status.set_joined();
        status.set_partition(
            7,
            PartitionStatus {
                restored: true,
                consent_sync_lag_seconds: 0.5,
                gate_open: true,
                held_back: false,
                ahead: None,
            },
        );
        let body = r#"{"ready":true,"partitions":[{"partition":7,"restored":true,"consent_sync_lag_seconds":0.5,"gate_open":true}]}"#;
        assert_eq!(ask(address, "/readyz"), (200, body.into()));

        clock.advance(Duration::from_secs(31));
        assert_eq!(ask(address, "/livez"), (503, r#"{"live":false}"#.into()));
    }

    #[test]
    fn a_taken_port_is_one_message_and_a_dropped_server_frees_it() {
        let (server, status, _) = started();
        let address = server.address();
        let metrics = Arc::new(Metrics::new());
        let Err(failure) = serve(address, metrics.clone(), status.clone()) else {
            panic!("two servers on one port");
        };
        assert_eq!(failure.exit, Exit::Config);
        assert!(
            failure.message.starts_with("http.listen: can't listen on 127.0.0.1:"),
            "{failure}"
        );
        drop(server);
        serve(address, metrics, status).unwrap();
    }
}
