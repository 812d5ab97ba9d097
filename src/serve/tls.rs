//! TLS of the front door, with the OpenSSL that librdkafka has.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::config::Tls;
use crate::failure::{Failure, Result};

type Greeting = Pin<Box<dyn Future<Output = io::Result<SslStream<TcpStream>>> + Send>>;

/// What does the handshake with each connection. Fails (78) where a file is not what it should be.
pub fn greeter(
    tls: &Tls,
) -> Result<impl Fn(TcpStream) -> Greeting + Clone + Send + Sync + 'static> {
    let acceptor = acceptor(tls)?;
    Ok(move |stream| -> Greeting {
        let context = acceptor.clone();
        Box::pin(async move {
            let ssl = Ssl::new(context.context()).map_err(io::Error::other)?;
            let mut stream = SslStream::new(ssl, stream).map_err(io::Error::other)?;
            Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
            Ok(stream)
        })
    })
}

fn acceptor(tls: &Tls) -> Result<SslAcceptor> {
    let refuse = |key: &str, path: &Path, what: &str| {
        Failure::config(format!("serve.tls.{key}: {} {what}", path.display()))
    };
    let no_tls = |error| Failure::config(format!("serve.tls: OpenSSL can't be used: {error}"));
    // Mozilla's intermediate settings: TLS 1.2 and 1.3, forward secrecy alone.
    let mut builder =
        SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(no_tls)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(no_tls)?;
    builder.set_certificate_chain_file(&tls.cert_file).map_err(|_| {
        refuse("cert_file", &tls.cert_file, "holds no certificate that can be read (PEM)")
    })?;
    builder.set_private_key_file(&tls.key_file, SslFiletype::PEM).map_err(|_| {
        refuse("key_file", &tls.key_file, "holds no private key (PEM) of the certificate")
    })?;
    builder
        .check_private_key()
        .map_err(|_| refuse("key_file", &tls.key_file, "is not the key of the certificate"))?;
    if let Some(authorities) = &tls.client_ca_file {
        builder.set_ca_file(authorities).map_err(|_| {
            refuse("client_ca_file", authorities, "holds no certificates that can be read (PEM)")
        })?;
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    Ok(builder.build())
}
