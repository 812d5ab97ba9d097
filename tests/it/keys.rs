//! `assent keys` on files, without a Kafka: rotations that are killed, and rotations at once.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Assent, Finished};

struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().expect("a folder"));
        keys.run(&["new"]).ok();
        keys
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Assent::command();
        command.arg("keys").args(arguments).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.command(arguments))
    }

    /// The active version of a file that is read without a fault.
    fn active(&self) -> u64 {
        let shown = self.run(&["show", "--json"]).ok().json_lines();
        let active: Vec<_> = shown.iter().filter(|key| key["status"] == "active").collect();
        assert_eq!(active.len(), 1, "{shown:?}");
        active[0]["version"].as_u64().expect("a version")
    }
}

#[test]
fn a_rotation_that_is_killed_leaves_the_old_keyset_or_the_new_one() {
    let keys = Keys::new();
    let mut version = 1;
    for round in 0..30 {
        let mut command = keys.command(&["rotate"]);
        let mut rotation = command.stdout(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(round));
        rotation.kill().expect("a child");
        rotation.wait().expect("a child");
        let active = keys.active();
        assert!((version..=version + 1).contains(&active), "{version} became {active}");
        version = active;
    }
    keys.run(&["rotate"]).ok();
    assert_eq!(keys.active(), version + 1, "no lock outlives its process");
}

#[test]
fn of_rotations_at_once_each_that_succeeds_is_in_the_file() {
    let keys = Keys::new();
    let start = |_| {
        let mut command = keys.command(&["rotate"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let rotations: Vec<_> = (0..12).map(start).collect();
    let mut done = 0;
    for rotation in rotations {
        let output = rotation.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => done += 1,
            code => {
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains("another command is changing this keyset"), "{said}");
            }
        }
    }
    assert!(done >= 1);
    assert_eq!(keys.active(), 1 + done);
}
