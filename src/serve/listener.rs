//! The front door: binds, speaks TLS where it is configured, and closes in good order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::config::Serve;
use crate::failure::{Failure, Result};
use crate::http::connections::{self, Door, Limits};

/// At once (docs/contract/http.md).
const CONNECTIONS_MAX: usize = 10_000;

/// Descriptors for Kafka's clients, metrics and files.
const OWN_DESCRIPTORS: usize = 128;

/// Requests that are under way when the service is told to stop have this long.
const DRAINED_WITHIN: Duration = Duration::from_secs(6);

/// A running front door.
pub struct FrontDoor {
    address: SocketAddr,
    runtime: Option<Runtime>,
    close: watch::Sender<bool>,
    accepting: Option<tokio::task::JoinHandle<()>>,
}

/// Refuses (78) to listen in the clear where others than this host can hear.
pub fn check(serve: &Serve) -> Result<()> {
    if serve.tls.is_none() && !serve.listen.ip().is_loopback() {
        return Err(Failure::config(format!(
            "serve.listen: {} is not a loopback address, and without TLS tokens and ids could be read \
             on the way; set serve.tls.cert_file and serve.tls.key_file, or listen on 127.0.0.1",
            serve.listen
        )));
    }
    if serve.tls.is_some() && !cfg!(feature = "tls") {
        return Err(Failure::config(
            "serve.tls: this build of assent has no TLS; build it with `--features tls-vendored`, or \
             with `--features tls` for the system's OpenSSL",
        ));
    }
    Ok(())
}

impl FrontDoor {
    /// Listens before it returns. 78 where the address can't be had, or a certificate not be used.
    pub fn open(serve: &Serve, routes: Router) -> Result<Self> {
        check(serve)?;
        connections::raise_descriptors();
        let (listener, address) = bind(serve.listen).map_err(|error| unusable(serve, &error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(|error| unusable(serve, &error))?;
        let (close, closing) = watch::channel(false);
        let limits =
            Limits::of_service(connections::descriptors(), CONNECTIONS_MAX, OWN_DESCRIPTORS);
        let guarded = runtime.enter();
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|error| unusable(serve, &error))?;
        let listener = Arc::new(listener);
        let accepting = accept(serve, &runtime, listener, routes, limits, closing)?;
        drop(guarded);
        let tls = serve.tls.is_some();
        tracing::info!(serve.listen = %address, tls, "serving front ends");
        Ok(Self { address, runtime: Some(runtime), close, accepting: Some(accepting) })
    }

    /// Where it listens: the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and lets those that are there end what they asked.
    pub fn close(&mut self) {
        let _ = self.close.send(true);
        if let (Some(runtime), Some(accepting)) = (&self.runtime, self.accepting.take()) {
            let _ =
                runtime.block_on(async { tokio::time::timeout(DRAINED_WITHIN, accepting).await });
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FrontDoor {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn unusable(serve: &Serve, error: &io::Error) -> Failure {
    Failure::config(format!(
        "serve.listen: can't listen on {}: {error}; choose another address, or port 0 for a free one",
        serve.listen
    ))
}

#[cfg_attr(not(feature = "tls"), allow(clippy::unnecessary_wraps))]
fn accept(
    serve: &Serve,
    runtime: &Runtime,
    listener: Arc<tokio::net::TcpListener>,
    routes: Router,
    limits: Limits,
    closing: watch::Receiver<bool>,
) -> Result<tokio::task::JoinHandle<()>> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &serve.tls {
        let greet = super::tls::greeter(tls)?;
        let door = Door { routes, limits, greet };
        return Ok(runtime.spawn(connections::accept(listener, door, closing)));
    }
    let _ = serve;
    let door = Door { routes, limits, greet: connections::plain };
    Ok(runtime.spawn(connections::accept(listener, door, closing)))
}
