//! The built program as a process: started with nothing but what a test gives it.

use std::process::{Child, Command, Output, Stdio};

/// The binary under test.
pub struct Assent;

impl Assent {
    /// Without a configuration, and with none of the caller's `ASSENT__*` or `RUST_LOG`.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("ASSENT__") || name == "RUST_LOG" {
                command.env_remove(name.as_ref());
            }
        }
        command.stdin(Stdio::null());
        command
    }
}

/// What a command that ran to its end left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the program starts");
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(stderr).expect("stderr is UTF-8"),
        }
    }

    /// Panics with what it said unless it exited with 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.stdout))
    }

    /// stdout as JSON lines.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Term,
    Int,
    Kill,
    Stop,
    Continue,
}

pub fn signal(pid: u32, which: Signal) {
    let name = match which {
        Signal::Term => "TERM",
        Signal::Int => "INT",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    // The shell's own `kill`: there without further packages, and std has no signals.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(sent.expect("sh starts").success(), "SIG{name} to {pid}");
}

/// Ends another process when this one ends in whatever way, SIGKILL included: a service outlasts any
/// fault of Kafka, so an orphan would run for ever.
pub struct Leash(Child);

impl Leash {
    /// Drop it once the process has been waited for: its id may be another's afterwards.
    pub fn on(pid: u32) -> Self {
        // Reads until our end of the pipe closes.
        let script = "while read -r _; do :; done; kill -KILL \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, &pid.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("sh starts"))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
