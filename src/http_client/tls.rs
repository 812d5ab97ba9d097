//! Which certificates a server over TLS is held to: those of a file that a key names, else the system's.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::failure::{Failure, Result};

/// `key` names the file. Fails (78) where the certificates can't be read.
pub fn trusting(key: &str, ca_file: Option<&Path>) -> Result<TlsConfig> {
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
    Ok(tls.root_certs(roots(key, ca_file)?).build())
}

fn roots(key: &str, ca_file: Option<&Path>) -> Result<RootCerts> {
    let Some(path) = ca_file else { return Ok(RootCerts::PlatformVerifier) };
    let refuse = |why: &str| {
        let path = path.display();
        Failure::config(format!("{key}: {path}: {why}"))
    };
    let pem = std::fs::read(path).map_err(|error| refuse(&error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(refuse("not a PEM file")),
        }
    }
    if certificates.is_empty() {
        return Err(refuse("contains no certificate; it must be PEM with BEGIN CERTIFICATE"));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
