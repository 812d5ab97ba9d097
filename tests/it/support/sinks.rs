//! What copies segments elsewhere, or the database that they go to, for a test: a program of `scripts/sinks`, which
//! outlives no test process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::kafka::{LeftOut, hold};

pub struct Sink {
    directory: PathBuf,
    /// What `scripts/sinks` told when it had started: an address.
    told: String,
    /// Its stdin keeps the program.
    holder: Child,
}

impl Sink {
    /// `scripts/sinks VERB FILE..`, with these variables.
    pub fn start(
        verb: &str,
        files: &[&Path],
        environment: &[(&str, &str)],
    ) -> Result<Self, LeftOut> {
        let directory = tempfile::Builder::new().prefix("assent-sinks-").tempdir();
        let directory = directory.expect("temp dir").keep();
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sinks")).arg(verb);
        command.arg("--dir").arg(&directory).args(files).envs(environment.iter().copied());
        let (holder, told) = hold(&mut command)?;
        Ok(Self { directory, told, holder })
    }

    pub fn told(&self) -> &str {
        &self.told
    }

    /// What the program said so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.join("log")).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
