//! A running `assent run`: its log in a file, its endpoints, its signals. Killed on drop.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::process::{Leash, Signal, signal};
use super::{Shop, wait_until};

const UP_WITHIN: Duration = Duration::from_mins(1);
const READY_WITHIN: Duration = Duration::from_mins(1);
/// `run` commits, leaves the group and exits 0 within this (docs/contract/commands.md#how-run-ends).
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

pub struct Service {
    /// None once the child has ended.
    leash: Option<Leash>,
    child: Child,
    log: PathBuf,
    address: String,
    instance: String,
}

impl Service {
    /// Starts an instance and waits until it serves HTTP; `instance` names its state_dir.
    pub fn start(shop: &Shop<'_>, instance: &str) -> Self {
        Self::start_with(shop, instance, &[])
    }

    /// With environment variables besides, e.g. `ASSENT__PIPELINE__WORKERS`.
    pub fn start_with(shop: &Shop<'_>, instance: &str, environment: &[(&str, &str)]) -> Self {
        let command = shop.command(&["--log-format", "json", "run"]);
        Self::start_as(shop, instance, command, environment)
    }

    /// `assent serve` instead of `run`; the shop's configuration has its clients.
    pub fn start_serving(shop: &Shop<'_>, instance: &str, environment: &[(&str, &str)]) -> Self {
        let command = shop.command(&["--log-format", "json", "serve"]);
        Self::start_as(shop, instance, command, environment)
    }

    /// `assent run` with these options.
    pub fn start_run(shop: &Shop<'_>, instance: &str, options: &[&str]) -> Self {
        let arguments = [&["--log-format", "json", "run"], options].concat();
        Self::start_as(shop, instance, shop.command(&arguments), &[])
    }

    /// Another build of `assent run`.
    pub fn start_program(shop: &Shop<'_>, instance: &str, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("--config").arg(shop.config()).args(["--log-format", "json", "run"]);
        Self::start_as(shop, instance, command, &[])
    }

    /// `assent canary` of a shop whose rulebook has one.
    pub fn start_canary(shop: &Shop<'_>) -> Self {
        let command = shop.command(&["--log-format", "json", "canary"]);
        Self::start_as(shop, "canary", command, &[])
    }

    /// `host:port` of the front door of `assent serve`.
    pub fn front_door(&self) -> String {
        field(&self.log(), "serve.listen").expect("a log line with serve.listen")
    }

    /// As a process that may have so many descriptors.
    pub fn start_with_descriptors(shop: &Shop<'_>, instance: &str, descriptors: u32) -> Self {
        let assent = shop.command(&["--log-format", "json", "run"]);
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(limited).arg(assent.get_program()).args(assent.get_args());
        command.stdin(Stdio::null()).current_dir(shop.folder());
        Self::start_as(shop, instance, command, &[])
    }

    fn start_as(
        shop: &Shop<'_>,
        instance: &str,
        mut command: Command,
        environment: &[(&str, &str)],
    ) -> Self {
        let start = shop.starts.fetch_add(1, Ordering::Relaxed);
        let log = shop.folder().join(format!("{instance}-{start}.log"));
        let file = File::create(&log).expect("a log file");
        let child = command
            .env("ASSENT__PIPELINE__STATE_DIR", shop.folder().join(format!("state-{instance}")))
            .envs(environment.iter().copied())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("assent starts");
        let leash = Some(Leash::on(child.id()));
        let mut service =
            Self { leash, child, log, address: String::new(), instance: instance.to_owned() };
        service.address = wait_until(UP_WITHIN, "a log line with http.listen", || {
            let ended = service.child.try_wait().expect("a child");
            assert!(ended.is_none(), "assent run ended: {ended:?}");
            field(&service.log(), "http.listen")
        });
        service
    }

    /// Waits until it owns partitions and /readyz says that all are restored and in sync.
    pub fn await_ready(&self) {
        wait_until(READY_WITHIN, "readiness", || {
            let (status, body) = self.readyz();
            (status == 200 && !body["partitions"].as_array()?.is_empty()).then_some(())
        });
    }

    /// As it was named at its start.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it wrote on stdout and stderr so far, one JSON object a line.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    /// Where it writes that.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// `host:port` of its HTTP.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Status and body. Panics where nobody answers.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    fn try_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut connection = TcpStream::connect(&self.address)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        // HTTP/1.0: the body comes unchunked and ends with the connection.
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.expect("a status"), body.to_owned()))
    }

    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::parse(&body)
    }

    pub fn readyz(&self) -> (u16, serde_json::Value) {
        let (status, body) = self.get("/readyz");
        (status, serde_json::from_str(&body).expect("a JSON body"))
    }

    pub fn sigterm(&self) {
        signal(self.pid(), Signal::Term);
    }

    pub fn sigkill(&self) {
        signal(self.pid(), Signal::Kill);
    }

    /// A zombie, in the sense of INV-5: it goes on later as if nothing had happened.
    pub fn sigstop(&self) {
        signal(self.pid(), Signal::Stop);
    }

    pub fn sigcont(&self) {
        signal(self.pid(), Signal::Continue);
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let ended = || self.child.try_wait().expect("a child");
        let status = wait_until(within, "the end of assent run", ended);
        self.leash = None;
        status
    }

    /// SIGTERM, and holds it to its promise: exit 0 within 10 s.
    pub fn stop(mut self) {
        self.sigterm();
        let status = self.wait(DRAINED_WITHIN);
        assert_eq!(status.code(), Some(0), "exit of assent run");
    }

    /// SIGKILL, and gone.
    pub fn kill(mut self) {
        self.sigkill();
        self.wait(DRAINED_WITHIN);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.leash = None;
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("the end of {}:\n{}", self.log.display(), tail.join("\n"));
        }
    }
}

/// The first value of a field that is an address, in the text or the JSON format.
fn field(log: &str, name: &str) -> Option<String> {
    let (_, after) = log.split_once(name)?;
    let value = after.trim_start_matches(['"', '=', ':', ' ']);
    let end = value.find(['"', ' ', ',', '}', '\n'])?;
    Some(value[..end].to_owned())
}

/// Samples of /metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Prometheus' text format, as far as label values without quotes or commas need it.
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(samples.map(Sample::parse).collect())
    }

    /// The sum of all samples of `name` that have these labels, whatever others they have; `None`:
    /// there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0
            .iter()
            .filter(|s| s.name == name && s.has(labels))
            .map(|s| s.value)
            .reduce(|a, b| a + b)
    }

    /// As [`Self::sum`], with none counted as 0: a counter nobody has moved may be absent.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).unwrap_or(0.0) as u64
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let pairs = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
        let label = |pair: &str| {
            let (name, value) = pair.split_once('=').expect("a label");
            (name.to_owned(), value.trim_matches('"').to_owned())
        };
        Self {
            name: name.to_owned(),
            labels: pairs.map(label).collect(),
            value: value.parse().expect("a number"),
        }
    }

    fn has(&self, wanted: &[(&str, &str)]) -> bool {
        let holds =
            |(name, value): &(&str, &str)| self.labels.iter().any(|(n, v)| n == name && v == value);
        wanted.iter().all(holds)
    }
}
