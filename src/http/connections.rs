//! Connections of any of our servers: no more than so many at once, none for longer than it is used, none left out by a
//! crowd of others.
//!
//! Where all places are taken, the address that holds the most gives up the connection it used least
//! lately: a scraper finds a place although somebody opens thousands. Where the process is out of
//! descriptors, connections are given up too, since the pipeline needs them more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// Of metrics and health, at once (docs/contract/http.md).
const CONNECTIONS_MAX: usize = 256;

/// Of the descriptors that a process may have, connections take a quarter at most: Kafka needs some
/// ten for each worker and broker.
const DESCRIPTORS_SHARE: usize = 4;

/// From a connection's last request, or its begin, to its end: idle, half-sent, or half-read
/// (docs/contract/http.md).
const PATIENCE: Duration = Duration::from_secs(30);

/// A request's head in bytes. hyper answers a longer one with 431.
const HEAD_MAX: usize = 16 * 1024;

/// Between two looks whether the last connections have ended.
const LOOK: Duration = Duration::from_millis(10);

/// Between two tries to take a connection where that fails.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What is given to strangers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub patience: Duration,
}

impl Limits {
    /// For a process that may have so many descriptors; `None`: any number.
    pub fn of(descriptors: Option<u64>) -> Self {
        let share = descriptors.map_or(usize::MAX, |all| all as usize / DESCRIPTORS_SHARE);
        Self { connections: share.clamp(1, CONNECTIONS_MAX), patience: PATIENCE }
    }

    /// For a process that is there for its connections: all but what it needs itself.
    pub fn of_service(descriptors: Option<u64>, connections_max: usize, needed: usize) -> Self {
        let rest = descriptors.map_or(usize::MAX, |all| (all as usize).saturating_sub(needed));
        Self { connections: rest.clamp(1, connections_max), patience: PATIENCE }
    }
}

/// How many descriptors this process may have.
#[cfg(target_os = "linux")]
pub fn descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(target_os = "linux"))]
pub fn descriptors() -> Option<u64> {
    None
}

/// As many as the system lets this process have: the number that a shell gives is for programs that
/// mean no crowd.
#[cfg(target_os = "linux")]
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Where that is refused, there are fewer connections.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn raise_descriptors() {}

/// What stands between a connection and its requests.
#[derive(Clone)]
pub struct Door<G> {
    pub routes: Router,
    pub limits: Limits,
    /// The first thing that is done with a connection.
    pub greet: G,
}

/// Nothing is done: what is spoken is HTTP.
pub async fn plain(stream: TcpStream) -> io::Result<TcpStream> {
    Ok(stream)
}

/// When a connection was last used.
#[derive(Clone)]
struct Used(Arc<Mutex<Instant>>);

impl Used {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    from: IpAddr,
    used: Used,
    task: AbortHandle,
}

#[derive(Default)]
struct Connections(Vec<Connection>);

impl Connections {
    /// Gives up so many that fewer than this are left.
    fn make_room(&mut self, connections_max: usize) {
        self.0.retain(|connection| !connection.task.is_finished());
        while self.0.len() >= connections_max.max(1) {
            self.give_one_up();
        }
    }

    /// Of the address that holds the most, the one that was used least lately.
    fn give_one_up(&mut self) {
        let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for connection in &self.0 {
            *held.entry(connection.from).or_default() += 1;
        }
        let found = held.into_iter().max_by_key(|(_, count)| *count).and_then(|(greediest, _)| {
            let its = self.0.iter().enumerate().filter(|(_, it)| it.from == greediest);
            its.min_by_key(|(_, it)| it.used.at()).map(|(place, _)| place)
        });
        if let Some(place) = found {
            self.0.swap_remove(place).task.abort();
        }
    }
}

/// Takes connections until it is told to close; then waits until each has answered what it was asked.
pub async fn accept<G, F, S>(
    listener: Arc<TcpListener>,
    door: Door<G>,
    mut closing: watch::Receiver<bool>,
) where
    G: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(_) = closing.wait_for(|closing| *closing) => break,
        };
        match accepted {
            Ok((stream, from)) => take(&mut connections, stream, from, &door, &closing),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if let Some(repeated) = crate::pace::may_say("http-accept") {
                    tracing::warn!(%error, repeated, "http: can't accept a connection; trying \
                        again");
                }
                connections.make_room(connections.0.len());
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    while connections.0.iter().any(|connection| !connection.task.is_finished()) {
        sleep(LOOK).await;
    }
}

fn take<G, F, S>(
    connections: &mut Connections,
    stream: TcpStream,
    from: SocketAddr,
    door: &Door<G>,
    closing: &watch::Receiver<bool>,
) where
    G: Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    connections.make_room(door.limits.connections);
    let used = Used::now();
    let serving = serve(stream, door.clone(), used.clone(), closing.clone());
    let task = tokio::spawn(serving).abort_handle();
    connections.0.push(Connection { from: from.ip(), used, task });
}

/// Until either side ends it, or no request has come for too long. A whole request is what counts: not a
/// byte of one now and then, nor an answer that is read byte by byte.
async fn serve<G, F, S>(
    stream: TcpStream,
    door: Door<G>,
    used: Used,
    mut closing: watch::Receiver<bool>,
) where
    G: Fn(TcpStream) -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let patience = door.limits.patience;
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout_at(used.at() + patience, (door.greet)(stream)).await else {
        return;
    };
    let answers = TowerToHyperService::new(door.routes);
    let counted = service_fn(|request| {
        used.touch();
        let answer = answers.call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), counted));
    let mut is_closing = false;
    loop {
        let deadline = used.at() + patience;
        tokio::select! {
            ended = timeout_at(deadline, connection.as_mut()) => match ended {
                Err(_) if used.at() + patience > deadline => {}
                _ => return,
            },
            Ok(_) = closing.wait_for(|closing| *closing), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Is it the fault of a client that is gone already?
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
