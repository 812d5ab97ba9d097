//! A real Apache Kafka for a test, through `scripts/kafka`, which outlives no test process.
//!
//! `scripts/kafka hold` starts the broker and wipes it when our end of its stdin closes: on drop, on
//! panic, and also where the test process itself is killed.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::records::Producer;
use super::room::{self, Turn};

/// Exit code of `scripts/kafka` where Java or Maven is not there.
const TOOL_MISSING: i32 = 78;

/// Why something that a test needs, a broker first of all, can't be had on this machine.
#[derive(Clone, Debug)]
pub struct LeftOut(String);

impl LeftOut {
    pub fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a broker of a test's own has besides the usual.
#[derive(Clone, Copy, Default)]
pub struct BrokerPlan<'a> {
    /// As `log.cleaner.backoff.ms=100`.
    pub settings: &'a [&'a str],
    /// As `WIRE=PLAINTEXT@127.0.0.1:34567`; see `scripts/kafka --help`.
    pub listeners: &'a [&'a str],
    /// The broker whose cluster it is the second one of.
    pub joins: Option<&'a Kafka>,
    /// A cluster of so many; 0: a broker alone.
    pub nodes: usize,
    /// For Java, as `-Dname=value`; a restart does not have them.
    pub java_options: &'a [&'a str],
}

pub struct Kafka {
    bootstrap: String,
    pub(super) directory: PathBuf,
    /// Of the topics that are made here.
    pub replication: i32,
    /// Its stdin keeps the broker.
    holder: Mutex<Child>,
    pub(super) producer: OnceLock<Producer>,
    /// Of a cluster; given up after its holder has ended (`Drop` runs before the fields').
    pub(super) turn: Option<Turn>,
}

impl Kafka {
    /// One broker for all tests of this process that don't harm it; each has its own [`super::Shop`].
    pub fn shared() -> Result<&'static Self, LeftOut> {
        static SHARED: OnceLock<Result<Kafka, LeftOut>> = OnceLock::new();
        room::share();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    pub fn start() -> Result<Self, LeftOut> {
        Self::start_as(BrokerPlan::default())
    }

    pub fn start_as(plan: BrokerPlan<'_>) -> Result<Self, LeftOut> {
        if plan.nodes == 0 {
            room::share();
        }
        let directory =
            tempfile::Builder::new().prefix("assent-kafka-").tempdir().expect("temp dir").keep();
        let mut command = script("hold", &directory);
        command.args(plan.settings.iter().flat_map(|s| ["--set", s]));
        command.args(plan.listeners.iter().flat_map(|it| ["--listener", it]));
        if let Some(first) = plan.joins {
            command.arg("--join").arg(&first.directory);
        }
        if plan.nodes > 0 {
            command.args(["--nodes", &plan.nodes.to_string()]);
        } else {
            command.args(["--port", "0"]);
        }
        if !plan.java_options.is_empty() {
            command.env("JDK_JAVA_OPTIONS", plan.java_options.join(" "));
        }
        let (holder, bootstrap) = hold(&mut command)?;
        Ok(Self {
            bootstrap,
            directory,
            replication: if plan.nodes >= 3 { 3 } else { 1 },
            holder: Mutex::new(holder),
            producer: OnceLock::new(),
            turn: None,
        })
    }

    /// `host:port` for `bootstrap.servers`, of each node.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of a listener that was asked for, past whatever it advertises.
    pub fn listener(&self, name: &str) -> String {
        let settings = std::fs::read_to_string(self.directory.join("server.properties"));
        let settings = settings.expect("server.properties");
        let listeners = settings.lines().find_map(|it| it.strip_prefix("listeners="));
        let mut listeners = listeners.expect("listeners").split(',');
        let prefix = format!("{name}://");
        listeners.find_map(|it| it.strip_prefix(&prefix)).expect("the listener").to_owned()
    }

    pub fn broker_pid(&self) -> u32 {
        let pid = std::fs::read_to_string(self.directory.join("pid")).expect("the broker runs");
        pid.parse().expect("a process id")
    }

    /// SIGKILL. What was acknowledged stays (the page cache survives: this is no power cut).
    pub fn kill(&self) {
        self.run("kill");
    }

    /// In good order.
    pub fn stop(&self) {
        self.run("stop");
    }

    /// After [`Self::kill`] or [`Self::stop`]: the same ports, the same data. Returns when it answers;
    /// after a kill the broker stays fenced until its old session ends (2 s).
    pub fn restart(&self) {
        self.run("start");
    }

    /// What the broker logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("broker.log")).expect("broker.log")
    }

    fn run(&self, verb: &str) {
        run(verb, &self.directory);
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let mut holder = self.holder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(holder.stdin.take());
        let _ = holder.wait();
    }
}

pub(super) fn run(verb: &str, directory: &Path) {
    let done = script(verb, directory).stdin(Stdio::null()).output().expect("python3");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "scripts/kafka {verb}: {said}");
}

fn script(verb: &str, directory: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka")).arg(verb);
    command.arg("--dir").arg(directory);
    command
}

/// A missing tool is a reason; anything else that keeps the broker from starting is a failure.
/// Starts a script that keeps what it started for as long as its stdin is open; returns it, and the line that it
/// tells once all is there.
pub(super) fn hold(command: &mut Command) -> Result<(Child, String), LeftOut> {
    let started =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut holder = match started {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LeftOut::because("python3 is not on the PATH"));
        }
        started => started.expect("python3 starts"),
    };
    let mut told = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut told).expect("stdout");
    if told.is_empty() { Err(no_broker(holder)) } else { Ok((holder, told.trim().to_owned())) }
}

fn no_broker(mut holder: Child) -> LeftOut {
    let mut said = String::new();
    let _ = holder.stderr.take().unwrap().read_to_string(&mut said);
    let status = holder.wait().expect("the script ends");
    assert_eq!(status.code(), Some(TOOL_MISSING), "hold: {said}");
    let said = said.trim();
    LeftOut(said.split_once(": ").map_or(said, |(_, why)| why).to_owned())
}
