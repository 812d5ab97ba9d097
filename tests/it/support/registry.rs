//! A real schema registry for a test, through `scripts/registry`, which outlives no test process; and
//! a gateway before it that speaks TLS and asks for a password.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use super::avro;
use super::kafka::{LeftOut, hold};
use super::process::Leash;
use super::records::Message;

pub struct Registry {
    url: String,
    directory: PathBuf,
    /// Its stdin keeps the registry.
    holder: Mutex<Child>,
}

impl Registry {
    /// One for all tests of this process that don't stop it; topics, and so subjects, are each test's
    /// own.
    pub fn shared() -> Result<&'static Self, LeftOut> {
        static SHARED: OnceLock<Result<Registry, LeftOut>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    pub fn start() -> Result<Self, LeftOut> {
        let directory = tempfile::Builder::new().prefix("assent-registry-").tempdir();
        let directory = directory.expect("temp dir").keep();
        let mut command = script("hold", &directory);
        command.args(["--port", "0"]);
        let (holder, url) = hold(&mut command)?;
        Ok(Self { url, directory, holder: Mutex::new(holder) })
    }

    /// For `schema_registry.url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// In good order; its ids stay.
    pub fn stop(&self) {
        self.run("stop");
    }

    /// After [`Self::stop`]: the same port, the same ids.
    pub fn restart(&self) {
        self.run("start");
    }

    /// What it logged so far, each question to it among that.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("registry.log")).expect("registry.log")
    }

    /// Registers a schema under a topic's subject; its id.
    pub fn register(&self, topic: &str, schema: &str) -> u32 {
        let path = format!("/subjects/{topic}-value/versions");
        let (status, answer) = self.ask("POST", &path, &json!({ "schema": schema }));
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_u64().expect("an id") as u32
    }

    /// The versions of a subject.
    pub fn versions(&self, topic: &str) -> Vec<u64> {
        let (status, answer) =
            self.ask("GET", &format!("/subjects/{topic}-value/versions"), &Value::Null);
        let versions = answer.as_array().filter(|_| status == 200).cloned().unwrap_or_default();
        versions.iter().map(|version| version.as_u64().expect("a number")).collect()
    }

    /// The text of a schema.
    pub fn schema(&self, id: u32) -> String {
        let (status, answer) = self.ask("GET", &format!("/schemas/ids/{id}"), &Value::Null);
        assert_eq!(status, 200, "{answer}");
        answer["schema"].as_str().expect("a schema").to_owned()
    }

    /// The JSON of a value in Confluent's framing, by the schema that its id names.
    pub fn decode(&self, value: &[u8]) -> Value {
        assert_eq!(value[0], 0, "Confluent's framing");
        let id = u32::from_be_bytes(value[1..5].try_into().unwrap());
        avro::read_datum(&self.schema(id), &value[5..])
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let rest = self.url.strip_prefix("http://").expect("http");
        let (address, base) = rest.split_once('/').expect("a path");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = TcpStream::connect(address).expect("the registry listens");
        write!(
            connection,
            "{method} /{base}{path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: \
             application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn run(&self, verb: &str) {
        let done = script(verb, &self.directory).stdin(Stdio::null()).output().expect("python3");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "scripts/registry {verb}: {said}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let mut holder = self.holder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(holder.stdin.take());
        let _ = holder.wait();
    }
}

/// The same message with its value in Confluent's framing.
pub fn confluent(mut message: Message, id: u32, schema: &str, json: &Value) -> Message {
    let header = [&[0][..], &id.to_be_bytes()].concat();
    message.value = Some([header, avro::datum(schema, json)].concat());
    message
}

fn script(verb: &str, directory: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/registry")).arg(verb);
    command.arg("--dir").arg(directory);
    command
}

/// TLS and basic authentication before a registry, with a certificate made for this test. Ends on
/// drop.
pub struct Gateway {
    url: String,
    child: Child,
    _leash: Leash,
}

impl Gateway {
    /// `folder`: gets the certificate, as [`Self::certificate`].
    pub fn open(registry: &Registry, folder: &Path, user: &str) -> Result<Self, LeftOut> {
        make_certificate(folder)?;
        let rest = registry.url().strip_prefix("http://").expect("http");
        let (address, base) = rest.split_once('/').expect("a path");
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/gateway.py"))
            .args([address, user])
            .arg(Self::certificate(folder))
            .arg(folder.join("gateway.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let leash = Leash::on(child.id());
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).expect("stdout");
        let url = format!("https://127.0.0.1:{}/{base}", port.trim());
        Ok(Self { url, child, _leash: leash })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn certificate(folder: &Path) -> PathBuf {
        folder.join("gateway.pem")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make_certificate(folder: &Path) -> Result<(), LeftOut> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(folder.join("gateway.key"))
        .arg("-out")
        .arg(Gateway::certificate(folder))
        .output();
    match made {
        Err(_) => Err(LeftOut::because("openssl, which makes a certificate, is not on the PATH")),
        Ok(done) => {
            assert!(done.status.success(), "openssl: {}", String::from_utf8_lossy(&done.stderr));
            Ok(())
        }
    }
}
