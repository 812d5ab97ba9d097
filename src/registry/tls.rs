//! Which certificates a registry over TLS is held to: those of `schema_registry.ca_file`, else the system's.

use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::config::SchemaRegistry;
use crate::failure::{Failure, Result};

/// Fails (78) where the certificates can't be read.
pub(super) fn of(config: &SchemaRegistry) -> Result<TlsConfig> {
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
    Ok(tls.root_certs(roots(config)?).build())
}

fn roots(config: &SchemaRegistry) -> Result<RootCerts> {
    let Some(path) = &config.ca_file else { return Ok(RootCerts::PlatformVerifier) };
    let refuse = |why: &str| {
        let path = path.display();
        Failure::config(format!("schema_registry.ca_file: {path}: {why}"))
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
