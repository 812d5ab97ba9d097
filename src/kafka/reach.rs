//! The first contact with a cluster. What keeps it from coming about is named as what it is, within
//! seconds where waiting would not help; librdkafka itself goes on trying.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::calls::{Call, Calls};
use super::client::{LoggedIn, reader_config};
use super::context;
use super::handle::Handle;
use super::token::{self, Keeper};
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Failure, Result};
use assent_contract::domain::foreign_text::shown;

/// One question; between two of them what went wrong is listened to.
const QUESTION: Duration = Duration::from_millis(500);

/// What waiting does not fix is believed after this long: another broker may answer first.
const BELIEVED_AFTER: Duration = Duration::from_secs(2);

/// What may be a broker that is starting is believed after this long.
const LIKELY_AFTER: Duration = Duration::from_secs(6);

/// Talks to a broker, or says why that can't be: 78 where what is configured is why, else 69.
pub fn reach(config: &Config, within: Duration, clock: &dyn Clock) -> Result<()> {
    let started = clock.instant();
    find_files(config)?;
    if let Some(login) = &config.kafka.oauth {
        Keeper::of(login).await_token(within).map_err(token::TokenError::failure)?;
    }
    let heard = Arc::new(Mutex::new(None));
    let mut client = reader_config(config);
    // A connection that is closed at once is no error to librdkafka, but a line of its log.
    client.set("allow.auto.create.topics", "false").set_log_level(RDKafkaLogLevel::Info);
    let client: LoggedIn<BaseConsumer<Listener>> = client
        .create_with_context(Listener(Arc::clone(&heard)))
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    let (client, calls) = (Handle::new(client), Calls::default());
    loop {
        let (asked, topic) = (client.clone(), config.topics.clickstream.clone());
        let answer = calls.make(Call::Metadata, QUESTION, move || {
            asked.fetch_metadata(Some(&topic), QUESTION).map(drop)
        });
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let Err(error) = answer.unwrap_or(Err(timed_out)) else { return Ok(()) };
        for _ in 0..16 {
            client.poll(Duration::ZERO);
        }
        let told: Option<ConnectionError> =
            heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waited = clock.instant().saturating_duration_since(started);
        let believed = told.as_ref().is_some_and(|error| waited >= error.kind.believed_after());
        if believed || waited >= within {
            return Err(match told {
                Some(error) => error.failure(config),
                None => silent(config, within, &error),
            });
        }
    }
}

/// Properties that name a file, or a folder with files.
const FILES: &[&str] = &[
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
];

/// Fails (78) where a file is not there, or may not be read: librdkafka would not say which.
pub fn find_files(config: &Config) -> Result<()> {
    for name in FILES {
        let Some(path) = config.kafka.properties.get(*name) else { continue };
        // librdkafka's own word for wherever this system has them.
        if path == "probe" {
            continue;
        }
        if let Err(error) = std::fs::File::open(path) {
            return Err(Failure::config(format!(
                "kafka.properties.{name}: {path}: {error}; check the path, and that this user may \
                 read it"
            )));
        }
    }
    Ok(())
}

fn silent(config: &Config, within: Duration, error: &KafkaError) -> Failure {
    let cause = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::BrokerTransportFailure) => "connection failed".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    Failure::unavailable(format!(
        "kafka.bootstrap_servers: no broker at {} answered within {} s ({cause}); check the \
         address, and that the broker runs",
        config.kafka.bootstrap_servers,
        within.as_secs()
    ))
}

/// Why there is no connection, as far as it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConnectionError {
    kind: Kind,
    /// What librdkafka said.
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    UnknownHost,
    /// TLS was spoken to a port that doesn't.
    PlainPort,
    /// A port that wants TLS was spoken to without.
    TlsPort,
    /// It closes connections at once: it may want TLS.
    LikelyTlsPort,
    /// It closes connections before anything is asked: it may want a login.
    LikelyLogin,
    Certificate,
    /// The broker takes no connection with this client's certificate, or without one.
    OwnCertificate,
    Handshake,
    Login,
}

/// What a broker tells a client whose certificate it does not take, in OpenSSL's words.
const ALERTS: &[&str] = &[
    "certificate required",
    "bad certificate",
    "certificate unknown",
    "certificate expired",
    "certificate revoked",
    "unsupported certificate",
    "unknown ca",
];

impl Kind {
    fn believed_after(self) -> Duration {
        match self {
            Self::PlainPort | Self::LikelyTlsPort | Self::LikelyLogin => LIKELY_AFTER,
            _ => BELIEVED_AFTER,
        }
    }
}

impl ConnectionError {
    /// `None`: it says no more than that nobody answers.
    fn of(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<Self> {
        let says = |text: &str| reason.contains(text);
        let kind = match code.unwrap_or(RDKafkaErrorCode::BrokerTransportFailure) {
            RDKafkaErrorCode::Resolve => Kind::UnknownHost,
            _ if says("connecting to a PLAINTEXT broker listener") => Kind::PlainPort,
            _ if says(" alert ") && ALERTS.iter().any(|alert| says(alert)) => Kind::OwnCertificate,
            RDKafkaErrorCode::SSL if says("verif") => Kind::Certificate,
            RDKafkaErrorCode::SSL => Kind::Handshake,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Kind::Login
            }
            // A TLS alert, read as a size: 15 03 0x 00.
            RDKafkaErrorCode::BadMessage if says("Invalid response size 352518") => Kind::TlsPort,
            _ if says("connecting to a SSL listener") => Kind::LikelyTlsPort,
            _ if says("might require SASL") => Kind::LikelyLogin,
            _ => return None,
        };
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        let reason = reason.split_once("]: ").map_or(reason, |(_thread, reason)| reason);
        Some(Self { kind, reason: shown(reason) })
    }

    fn failure(&self, config: &Config) -> Failure {
        let Self { kind, reason } = self;
        let servers = &config.kafka.bootstrap_servers;
        let property = config.kafka.properties.get("security.protocol");
        let protocol = property.map_or("PLAINTEXT", String::as_str).to_ascii_uppercase();
        match kind {
            Kind::UnknownHost => Failure::unavailable(format!(
                "kafka.bootstrap_servers: {servers}: unknown host name ({reason}); check the name, \
                 and that this machine can resolve it"
            )),
            Kind::PlainPort => Failure::config(format!(
                "kafka.properties.security.protocol is {protocol}, but {servers} doesn't speak TLS \
                 ({reason}); use the TLS port of the brokers, or set PLAINTEXT or SASL_PLAINTEXT"
            )),
            Kind::TlsPort => Failure::config(format!(
                "kafka.properties.security.protocol is {protocol}, but {servers} speaks TLS \
                 ({reason}); set SSL or SASL_SSL, or use another port"
            )),
            Kind::LikelyTlsPort => Failure::unavailable(format!(
                "kafka.properties.security.protocol is {protocol}, and {servers} closes each \
                 connection ({reason}); if it requires TLS, set SSL or SASL_SSL; otherwise check \
                 that it is a broker"
            )),
            Kind::LikelyLogin => Failure::unavailable(format!(
                "kafka.properties.security.protocol is {protocol}, and {servers} closes each \
                 connection ({reason}); if it requires a login, set SASL_SSL or SASL_PLAINTEXT"
            )),
            Kind::Certificate => Failure::config(self.of_certificate(config)),
            Kind::OwnCertificate => Failure::config(format!(
                "kafka.properties.ssl.certificate.location: {servers} doesn't accept Assent's \
                 certificate, or the lack of one ({reason}); set ssl.certificate.location and \
                 ssl.key.location to a certificate that the brokers trust and that has not expired"
            )),
            Kind::Handshake => Failure::config(format!(
                "kafka.properties.ssl: {servers} and Assent don't agree on TLS ({reason}); check \
                 which certificates and protocol versions the brokers require"
            )),
            Kind::Login => Failure::config(format!(
                "kafka.properties.sasl: {servers} refuses the login ({reason}); check {}",
                match &config.kafka.oauth {
                    None => "sasl.mechanism, sasl.username and sasl.password",
                    Some(_) =>
                        "sasl.oauthbearer.client.id and sasl.oauthbearer.scope, and which issuer and \
                         audience the brokers expect of a token",
                }
            )),
        }
    }
}

impl ConnectionError {
    /// What is wrong with the brokers' certificate, as far as it shows.
    fn of_certificate(&self, config: &Config) -> String {
        let servers = &config.kafka.bootstrap_servers;
        #[cfg(feature = "tls")]
        {
            use super::certificate::{Fault, look};
            match look(config) {
                Some((Fault::Expired, told)) => {
                    return format!(
                        "kafka.bootstrap_servers: the certificate of {servers} has expired \
                         ({told}); renew it on the brokers, or correct the clock of this machine"
                    );
                }
                Some((Fault::NotYetValid, told)) => {
                    return format!(
                        "kafka.bootstrap_servers: the certificate of {servers} is not valid yet \
                         ({told}); correct the clock of this machine, or have it issued anew"
                    );
                }
                Some((Fault::OtherHost, told)) => {
                    return format!(
                        "kafka.bootstrap_servers: the certificate of {servers} was issued for \
                         another host ({told}); use a host name that it was issued for, or have it \
                         issued for this one"
                    );
                }
                Some((Fault::Stranger, _)) | None => {}
            }
        }
        format!(
            "kafka.properties.ssl.ca.location: the certificate of {servers} is not trusted \
             ({}); set the file of the authority that signed it",
            self.reason
        )
    }
}

/// Keeps what says most about why there is no connection; its log lines would say it once more.
struct Listener(Arc<Mutex<Option<ConnectionError>>>);

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log("reach", RDKafkaLogLevel::Debug, facility, message);
        self.take(ConnectionError::of(None, message));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::error_event("reach", &error, reason);
        self.take(ConnectionError::of(error.rdkafka_error_code(), reason));
    }
}

impl Listener {
    fn take(&self, error: Option<ConnectionError>) {
        if let Some(error) = error {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

impl ConsumerContext for Listener {}

#[cfg(test)]
mod tests {
    use super::*;

    /// As librdkafka 2.12.1 says it.
    #[test]
    fn what_is_said_is_understood() {
        use RDKafkaErrorCode as Code;
        let check = |code, reason: &str, expect| {
            let error = ConnectionError::of(Some(code), reason);
            assert_eq!(error.map(|error| error.kind), expect, "{reason}");
        };
        check(
            Code::Resolve,
            "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known \
             (after 2ms in state CONNECT)",
            Some(Kind::UnknownHost),
        );
        check(
            Code::BrokerTransportFailure,
            "ssl://a:1/bootstrap: SSL handshake failed: Disconnected: connection reset by peer: \
             connecting to a PLAINTEXT broker listener? (after 1ms in state SSL_HANDSHAKE)",
            Some(Kind::PlainPort),
        );
        check(
            Code::SSL,
            "SSL handshake failed: error:0A000086: certificate verify failed",
            Some(Kind::Certificate),
        );
        check(
            Code::BadMessage,
            "Receive failed: Invalid response size 352518912 (0..100000000): increase \
             receive.message.max.bytes",
            Some(Kind::TlsPort),
        );
        check(Code::Authentication, "SASL authentication error", Some(Kind::Login));
        check(Code::BrokerTransportFailure, "Connect to ipv4#127.0.0.1:1 failed", None);
        check(Code::AllBrokersDown, "1/1 brokers are down", None);
    }

    #[test]
    fn a_line_of_the_log_tells_of_a_port_that_may_want_tls() {
        let line = "[thrd:a:1/bootstrap]: a:1/bootstrap: Disconnected: requesting ApiVersion: might be \
                    caused by incorrect security.protocol configuration (connecting to a SSL listener?) \
                    or broker version is < 0.10 (see api.version.request) (after 1ms in state X)";
        let error = ConnectionError::of(None, line).expect("an error");
        assert_eq!(error.kind, Kind::LikelyTlsPort);
        assert!(error.reason.starts_with("a:1/bootstrap: Disconnected"), "{}", error.reason);
        assert_eq!(ConnectionError::of(None, "[thrd:main]: brokers are down"), None);
    }

    #[test]
    fn a_message_is_bounded_and_has_no_control_characters() {
        let reason = format!("Failed to resolve \u{1b}[2J{}", "x".repeat(1_000));
        let error = ConnectionError::of(Some(RDKafkaErrorCode::Resolve), &reason).unwrap();
        assert!(error.reason.chars().count() <= 300 && !error.reason.contains('\u{1b}'));
    }
}
