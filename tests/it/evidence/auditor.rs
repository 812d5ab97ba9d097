//! tests/auditor: Go's sumdb and tessera's client on a log. Nothing of ours is in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{Finished, LeftOut};

/// Built once.
pub struct Auditor(PathBuf);

impl Auditor {
    pub fn get() -> Result<&'static Self, LeftOut> {
        static BUILT: OnceLock<Result<Auditor, LeftOut>> = OnceLock::new();
        BUILT.get_or_init(Self::build).as_ref().map_err(Clone::clone)
    }

    fn build() -> Result<Self, LeftOut> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join("target/tools/bin/auditor");
        let mut command = Command::new("go");
        command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
        match command.current_dir(root.join("tests/auditor")).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(LeftOut::because("go is not on the PATH; Go 1.26 builds tests/auditor"))
            }
            built => {
                let built = built.expect("go starts");
                let said = String::from_utf8_lossy(&built.stderr);
                assert!(built.status.success(), "tests/auditor: {said}");
                Ok(Self(program))
            }
        }
    }

    /// Each of these entries is proved by both tools; returns the entries.
    pub fn inclusion(&self, key: &str, log: &Path, indexes: &[u64]) -> Vec<String> {
        let finished = self.try_inclusion(key, log, indexes).ok();
        let of_tool = |tool: &str| -> Vec<String> {
            let lines = finished.stdout.lines().filter_map(|line| line.strip_prefix(tool));
            lines.map(|line| line.split_once(' ').expect("an index").1.to_owned()).collect()
        };
        let (sumdb, tessera) = (of_tool("sumdb "), of_tool("tessera "));
        assert_eq!(sumdb, tessera);
        assert_eq!(sumdb.len(), indexes.len(), "{finished:?}");
        sumdb
    }

    pub fn try_inclusion(&self, key: &str, log: &Path, indexes: &[u64]) -> Finished {
        let mut command = Command::new(&self.0);
        command.args(["inclusion", "-key", key, "-log"]).arg(log);
        command.args(indexes.iter().map(u64::to_string));
        Finished::of(&mut command)
    }

    /// Both tools prove that the log extends an older checkpoint of it.
    pub fn consistency(&self, key: &str, log: &Path, old: &Path) -> Finished {
        let mut command = Command::new(&self.0);
        command.args(["consistency", "-key", key, "-log"]).arg(log).arg("-old").arg(old);
        Finished::of(&mut command)
    }

    /// The lines of an export's proofs, with its checkpoint alone.
    pub fn proofs(&self, key: &str, checkpoint: &Path, lines: &[u8]) -> bool {
        let mut command = Command::new(&self.0);
        command.args(["proof", "-key", key, "-checkpoint"]).arg(checkpoint);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = command.spawn().expect("it starts");
        // It may have refused and gone before it has read all.
        let _ = running.stdin.take().expect("piped").write_all(lines);
        running.wait().expect("it ends").success()
    }
}

/// The tools, or an early return where there is no Go (CI: a failure).
macro_rules! auditor_or_skip {
    () => {
        match $crate::evidence::auditor::Auditor::get() {
            Ok(auditor) => auditor,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}
pub(crate) use auditor_or_skip;
