//! What is wrong with a broker's certificate: librdkafka says only that it could not be verified.
//!
//! Asked once there is no doubt that something is: one more handshake, with what librdkafka trusts.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use native_tls::{Certificate, HandshakeError, TlsConnector};

use crate::config::Config;
use assent_contract::domain::foreign_text::shown;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What to do about it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Expired,
    NotYetValid,
    OtherHost,
    /// Nobody who is trusted signed it.
    Stranger,
}

/// Of the first broker that answers, in OpenSSL's words; `None`: it does not show.
pub fn look(config: &Config) -> Option<(Fault, String)> {
    let servers = config.kafka.bootstrap_servers.split(',').map(str::trim);
    servers.filter_map(|server| shake_hands(config, server)).map(|told| (judge(&told), told)).next()
}

/// Why a handshake with this one fails.
fn shake_hands(config: &Config, server: &str) -> Option<String> {
    let host = server.rsplit_once(':')?.0.trim_matches(['[', ']']);
    let connection = server
        .to_socket_addrs()
        .ok()?
        .find_map(|address| TcpStream::connect_timeout(&address, CONNECT_WITHIN).ok())?;
    connection.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    connection.set_write_timeout(Some(ANSWER_WITHIN)).ok()?;
    match connector(config)?.connect(host, connection) {
        Err(HandshakeError::Failure(error)) => Some(shown(&error.to_string())),
        Ok(_) | Err(HandshakeError::WouldBlock(_)) => None,
    }
}

/// `None`: what is configured can't be read.
fn connector(config: &Config) -> Option<TlsConnector> {
    let property = |name: &str| config.kafka.properties.get(name);
    let mut builder = TlsConnector::builder();
    let pem = match (property("ssl.ca.pem"), property("ssl.ca.location")) {
        (Some(pem), _) => Some(pem.clone().into_bytes()),
        (None, Some(path)) => Some(std::fs::read(path).ok()?),
        (None, None) => None,
    };
    if let Some(pem) = pem {
        builder.disable_built_in_roots(true);
        for certificate in Certificate::stack_from_pem(&pem).ok()? {
            builder.add_root_certificate(certificate);
        }
    }
    builder.build().ok()
}

fn judge(told: &str) -> Fault {
    let told = told.to_ascii_lowercase();
    let says = |words: &str| told.contains(words);
    if says("has expired") {
        Fault::Expired
    } else if says("not yet valid") {
        Fault::NotYetValid
    } else if says("hostname mismatch") || says("ip address mismatch") {
        Fault::OtherHost
    } else {
        Fault::Stranger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_is_understood() {
        let check = |words: &str, fault| {
            let told = format!("error:0A000086:SSL routines: certificate verify failed ({words})");
            assert_eq!(judge(&told), fault, "{words}");
        };
        check("certificate has expired", Fault::Expired);
        check("certificate is not yet valid", Fault::NotYetValid);
        check("hostname mismatch", Fault::OtherHost);
        check("IP address mismatch", Fault::OtherHost);
        check("self-signed certificate in certificate chain", Fault::Stranger);
        check("unable to get local issuer certificate", Fault::Stranger);
    }
}
