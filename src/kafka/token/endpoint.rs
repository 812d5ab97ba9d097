//! Asks an OAuth server for a token over HTTP, bounded in time and size. No message holds the secret or a
//! token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::TokenError;
use super::answer::{self, Token};
use crate::config::OAuth;
use crate::http_client;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::Timestamp;

/// An OAuth server answers in some 100 ms.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A token has a few kilobytes; the brokers take half a megabyte.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

pub struct Endpoint<'a> {
    login: &'a OAuth,
}

/// The property and the address, for messages.
pub fn name(login: &OAuth) -> String {
    format!("kafka.properties.sasl.oauthbearer.token.endpoint.url: {}", login.url)
}

impl<'a> Endpoint<'a> {
    pub fn of(login: &'a OAuth) -> Self {
        Self { login }
    }

    /// The client credentials grant of RFC 6749, with name and secret as it wants a client's password. Fails,
    /// too, where the certificates can't be read.
    pub fn fetch(&self, now: Timestamp) -> Result<Token, TokenError> {
        let agent = http_client::settings(ANSWER_WITHIN).accept("application/json");
        #[cfg(feature = "tls")]
        let agent = {
            let key = "kafka.properties.https.ca.location";
            let tls = http_client::tls::trusting(key, self.login.ca_file.as_deref());
            agent.tls_config(tls.map_err(|failure| TokenError::Refused(failure.message))?)
        };
        let agent = ureq::Agent::from(agent.build());
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.login.scope.as_deref().map(|scope| ("scope", scope)));
        let request = agent.post(&self.login.url);
        let sent = request.header("authorization", basic(self.login).as_str()).send_form(form);
        let mut response = sent.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = Zeroizing::new(body.map_err(|error| self.transport(&error))?);
        match status {
            200 => answer::read(&body, self.login, now).map_err(|why| self.away(&why)),
            _ => Err(self.refusal(status, &body)),
        }
    }

    fn refusal(&self, status: u16, body: &str) -> TokenError {
        let said = answer::read_error(body);
        let said =
            said.map_or_else(|| format!("HTTP {status}"), |said| format!("{status}, {said}"));
        let told = |what: &str| format!("{} {what}", name(self.login));
        match status {
            300..=399 => {
                TokenError::Refused(told("redirects to another address; set that address"))
            }
            404 | 405 => TokenError::Refused(told(&format!(
                "is not a token endpoint ({said}); set the address that the OAuth server documents"
            ))),
            400..=403 => TokenError::Refused(told(&format!(
                "gives no token ({said}); check sasl.oauthbearer.client.id, \
                 sasl.oauthbearer.client.secret and sasl.oauthbearer.scope"
            ))),
            _ => self.away(&format!("it answered {said}")),
        }
    }

    fn transport(&self, error: &ureq::Error) -> TokenError {
        match error {
            #[cfg(feature = "tls")]
            ureq::Error::NativeTls(error) => TokenError::Refused(format!(
                "{}: TLS fails: {error}; check that kafka.properties.https.ca.location (or the \
                 system) trusts the certificate of the OAuth server, and that it was issued for \
                 this host",
                name(self.login)
            )),
            ureq::Error::BodyExceedsLimit(_) => self.away("its answer is too long"),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                TokenError::Refused(format!("{} is not an address", name(self.login)))
            }
            error => self.away(&shown(&error.to_string())),
        }
    }

    fn away(&self, why: &str) -> TokenError {
        TokenError::Away(format!(
            "{} gives no token ({why}); check the address, and that the OAuth server runs",
            name(self.login)
        ))
    }
}

fn basic(login: &OAuth) -> Zeroizing<String> {
    let (id, secret) = (encoded(&login.client_id), encoded(&login.client_secret));
    let pair = Zeroizing::new(format!("{}:{}", *id, *secret));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// As a form has it (application/x-www-form-urlencoded).
fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(byte.into());
            }
            b' ' => encoded.push('+'),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                encoded.push('%');
                encoded.push(HEX[usize::from(byte >> 4)].into());
                encoded.push(HEX[usize::from(byte & 15)].into());
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_as_a_form_has_it() {
        assert_eq!(encoded("svc-1.x_y*").as_str(), "svc-1.x_y*");
        assert_eq!(encoded("a b:c/é").as_str(), "a+b%3Ac%2F%C3%A9");
    }
}
