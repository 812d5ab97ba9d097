//! Certificates of the test's own making: an authority, and what it issues.

use std::path::{Path, PathBuf};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};

use crate::support::now_ms;

const DAY_S: i64 = 86_400;

/// Names of this machine.
pub const HERE: &[&str] = &["localhost", "127.0.0.1"];

pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    /// Its certificate (PEM).
    pub file: PathBuf,
}

/// A certificate with its key, each in a file (PEM), and both in one.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub both: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = new_key();
        let mut builder = begin(name, &key, DAY_S);
        builder.set_issuer_name(&named(name)).expect("an issuer");
        let constraints = BasicConstraints::new().critical().ca().build().expect("constraints");
        builder.append_extension(constraints).expect("an extension");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        let certificate = builder.build();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, certificate.to_pem().expect("PEM")).expect("written");
        Self { certificate, key, file }
    }

    /// For these hosts, which may be none; it ends in so many seconds.
    pub fn issue(&self, folder: &Path, name: &str, hosts: &[&str], ends_in_s: i64) -> Issued {
        let key = new_key();
        let mut builder = begin(name, &key, ends_in_s);
        builder.set_issuer_name(self.certificate.subject_name()).expect("an issuer");
        if !hosts.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for host in hosts {
                let is_address = host.parse::<std::net::IpAddr>().is_ok();
                if is_address {
                    names.ip(host)
                } else {
                    names.dns(host)
                };
            }
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let names = names.build(&context).expect("names");
            builder.append_extension(names).expect("an extension");
        }
        builder.sign(&self.key, MessageDigest::sha256()).expect("signed");
        let certificate = builder.build().to_pem().expect("PEM");
        let key = key.private_key_to_pem_pkcs8().expect("PEM");
        let file = |what: &str, bytes: &[u8]| {
            let path = folder.join(format!("{name}-{what}.pem"));
            std::fs::write(&path, bytes).expect("written");
            path
        };
        Issued {
            both: file("both", &[key.as_slice(), &certificate].concat()),
            certificate: file("certificate", &certificate),
            key: file("key", &key),
        }
    }

    pub fn issue_for_a_day(&self, folder: &Path, name: &str, hosts: &[&str]) -> Issued {
        self.issue(folder, name, hosts, DAY_S)
    }
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn named(name: &str) -> X509Name {
    let mut builder = X509Name::builder().expect("a name");
    builder.append_entry_by_nid(Nid::COMMONNAME, name).expect("a name");
    builder.build()
}

/// Begun two days ago.
fn begin(name: &str, key: &PKey<Private>, ends_in_s: i64) -> X509Builder {
    let now_s = now_ms() / 1_000;
    let at = |s: i64| Asn1Time::from_unix(s).expect("a time");
    let mut serial = BigNum::new().expect("a number");
    serial.rand(120, MsbOption::MAYBE_ZERO, false).expect("a number");
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("a version");
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).expect("a number")).expect("set");
    builder.set_subject_name(&named(name)).expect("a subject");
    builder.set_pubkey(key).expect("a key");
    builder.set_not_before(&at(now_s - 2 * DAY_S)).expect("a time");
    builder.set_not_after(&at(now_s + ends_in_s)).expect("a time");
    builder
}
