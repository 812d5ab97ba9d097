//! A small OAuth server: HTTPS, client credentials, tokens that it signs (RS256). The brokers know its key.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use openssl::base64::{decode_block, encode_block};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use serde_json::{Value, json};

use super::authority::Issued;
use crate::support::now_ms;

/// Of every client.
pub const SECRET: &str = "correct + horse";

pub const ISSUER: &str = "https://login.example";
pub const AUDIENCE: &str = "kafka";
const KEY_ID: &str = "1";

pub struct TokenServer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    key: PKey<Private>,
    /// Of the tokens, in seconds.
    life_s: AtomicU64,
    /// Answers 503.
    is_down: AtomicBool,
    given: AtomicU32,
}

impl TokenServer {
    /// Also writes the key as the brokers read it.
    pub fn start(issued: &Issued, jwks: &Path) -> Self {
        let key = Rsa::generate(2048).expect("a key");
        let keys = json!({"keys": [{
            "kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256",
            "n": base64url(&key.n().to_vec()), "e": base64url(&key.e().to_vec()),
        }]});
        std::fs::write(jwks, keys.to_string()).expect("written");
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("TLS");
        acceptor.set_private_key_file(&issued.key, SslFiletype::PEM).expect("a key");
        acceptor.set_certificate_chain_file(&issued.certificate).expect("a certificate");
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            key: PKey::from_rsa(key).expect("a key"),
            life_s: AtomicU64::new(300),
            is_down: AtomicBool::new(false),
            given: AtomicU32::new(0),
        });
        let its = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                // Whoever does not trust the certificate hangs up.
                let _ = its.answer(&acceptor, connection);
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/token", self.port)
    }

    /// Of the tokens from now on.
    pub fn set_life(&self, life: Duration) {
        self.shared.life_s.store(life.as_secs(), Ordering::Relaxed);
    }

    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::Relaxed);
    }

    /// How many tokens were given.
    pub fn given(&self) -> u32 {
        self.shared.given.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn answer(&self, acceptor: &SslAcceptor, connection: TcpStream) -> Option<()> {
        connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut connection = acceptor.accept(connection).ok()?;
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !request.contains("grant_type=") {
            let size = connection.read(&mut buffer).ok().filter(|size| *size > 0)?;
            request.push_str(&String::from_utf8_lossy(&buffer[..size]));
        }
        let (status, body) = self.judge(&request);
        let size = body.to_string().len();
        write!(
            connection,
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {size}\r\n\r\n{body}"
        )
        .ok()
    }

    fn judge(&self, request: &str) -> (&'static str, Value) {
        if self.is_down.load(Ordering::Relaxed) {
            return ("503 Service Unavailable", json!({}));
        }
        let client = client_of(request);
        match client {
            Some((client, secret)) if secret == "correct+%2B+horse" => {
                self.given.fetch_add(1, Ordering::Relaxed);
                let life_s = self.life_s.load(Ordering::Relaxed);
                let token = self.token(&client, life_s);
                let body = json!({
                    "access_token": token, "token_type": "Bearer", "expires_in": life_s,
                });
                ("200 OK", body)
            }
            _ => (
                "401 Unauthorized",
                json!({"error": "invalid_client", "error_description": "unknown client"}),
            ),
        }
    }

    /// A client whose name begins so has its tokens for somebody else.
    fn token(&self, client: &str, life_s: u64) -> String {
        let now_s = now_ms() / 1_000;
        let audience = if client.starts_with("elsewhere") { "billing" } else { AUDIENCE };
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER, "aud": audience, "sub": client, "iat": now_s,
            "exp": now_s + life_s as i64, "scope": "kafka",
        });
        let parts = [head, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(parts.as_bytes()).expect("signed");
        format!("{parts}.{}", base64url(&signature))
    }
}

/// Name and secret, as a form has them.
fn client_of(request: &str) -> Option<(String, String)> {
    let lower = request.to_ascii_lowercase();
    let at = lower.find("authorization: basic ")? + "authorization: basic ".len();
    let pair = decode_block(request[at..].lines().next()?).ok()?;
    let (client, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some((client.to_owned(), secret.to_owned()))
}

fn base64url(bytes: &[u8]) -> String {
    encode_block(bytes).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}
