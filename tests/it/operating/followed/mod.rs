//! The runbooks, followed: each page's commands are run against a real broker that has the page's very fault, and
//! show what the page says. What only Kubernetes can answer is left out, and counted.

mod faults;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::{read, root};
use crate::support::{Assent, Finished, Service, Shop};

/// These need a cluster of Kubernetes; the log that `kubectl logs` prints is the instance's own.
const OF_KUBERNETES: [&str; 3] =
    ["kubectl get ", "kubectl describe ", "kubectl logs assent-0 --previous"];

const KAFKA_TOOLS: [&str; 5] = [
    "kafka-console-consumer",
    "kafka-consumer-groups",
    "kafka-get-offsets",
    "kafka-topics",
    "kafka-transactions",
];

/// A part of a command as it stands on the page, and what its output has to say.
type Shown<'a> = (&'a str, &'a str);

/// A page, and where its commands are run.
struct Runbook<'a> {
    page: &'static str,
    shop: &'a Shop<'a>,
    service: Option<&'a Service>,
    /// What the page's placeholders stand for, besides addresses and names.
    meant: Vec<(&'a str, String)>,
    programs: TempDir,
}

impl<'a> Runbook<'a> {
    fn of(page: &'static str, shop: &'a Shop<'a>, service: Option<&'a Service>) -> Self {
        let programs = tempfile::tempdir().expect("temp dir");
        let config = shop.config();
        let listen = service.map(|it| format!("export ASSENT__HTTP__LISTEN={}", it.address()));
        let assent = format!(
            "#!/bin/sh\n{}\nexec {} --config {} \"$@\"\n",
            listen.unwrap_or_default(),
            Assent::command().get_program().display(),
            config.display()
        );
        write_program(&programs, "assent", &assent);
        for name in KAFKA_TOOLS {
            let script = root().join("scripts/kafka");
            let tool = format!("#!/bin/sh\nexec {} tool {name} \"$@\"\n", script.display());
            write_program(&programs, &format!("{name}.sh"), &tool);
        }
        Self { page, shop, service, meant: Vec::new(), programs }
    }

    fn meaning(mut self, placeholder: &'a str, value: impl Into<String>) -> Self {
        self.meant.push((placeholder, value.into()));
        self
    }

    /// Runs what stands under "How to look", while the fault is there.
    fn look(&self, shown: &[Shown<'_>]) {
        self.run("## How to look", shown, false);
    }

    /// Runs what stands under "How to know that it is over", once it is: each ends with 0.
    fn over(&self, shown: &[Shown<'_>]) {
        self.run("## How to know that it is over", shown, true);
    }

    fn run(&self, part: &str, shown: &[Shown<'_>], succeeds: bool) {
        let commands = commands(self.page, part);
        let named: Vec<&str> = shown.iter().map(|(command, _)| *command).collect();
        assert_eq!(commands.len(), shown.len(), "{}: {commands:#?} and {named:#?}", self.page);
        for (command, (beginning, expected)) in commands.iter().zip(shown) {
            assert!(command.contains(beginning), "{}: {command} is not {beginning}", self.page);
            let done = self.execute(command);
            let said = format!("{}{}", done.stdout, done.stderr);
            assert!(said.contains(expected), "{}: {command}\nlacks {expected}:\n{said}", self.page);
            assert!(done.code != Some(124), "{}: {command} does not end", self.page);
            assert!(!succeeds || done.code == Some(0), "{}: {command}\n{said}", self.page);
        }
    }

    /// As a person at a terminal would, with a minute of patience.
    fn execute(&self, command: &str) -> Finished {
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{path}", self.programs.path().display());
        let mut shell = Command::new("timeout");
        shell.args(["60", "bash", "-c", &self.as_here(command)]).env("PATH", path);
        Finished::of(shell.current_dir(self.shop.folder()))
    }

    /// The page's addresses and names are examples: these are this shop's.
    fn as_here(&self, command: &str) -> String {
        let mut here = command.replace("localhost:9092", self.shop.kafka.bootstrap());
        for topic in ["consent-changelog", "clickstream"] {
            here = here.replace(
                &format!("--topic {topic}"),
                &format!("--topic {}", self.shop.topic(topic)),
            );
        }
        here = here.replace("--group assent ", &format!("--group {} ", self.shop.group_id()));
        if let Some(service) = self.service {
            let (host, port) = service.address().split_once(':').expect("an address");
            here = here.replace("127.0.0.1:9464", service.address());
            here = here.replace("/dev/tcp/127.0.0.1/9464", &format!("/dev/tcp/{host}/{port}"));
            let log = service.log_file().display().to_string();
            here = here.replace("kubectl logs assent-0 --tail=50", &format!("tail -n 50 {log}"));
            here = here.replace("kubectl logs assent-0", &format!("cat {log}"));
        }
        here = here.replace("kubectl exec assent-0 -- ", "");
        self.meant.iter().fold(here, |here, (placeholder, value)| here.replace(placeholder, value))
    }
}

fn write_program(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
}

/// The lines of the scripts in a part of a page, without those that only Kubernetes can answer.
fn commands(page: &str, part: &str) -> Vec<String> {
    let text = read(&format!("docs/runbooks/{page}.md"));
    let (_, text) = text.split_once(&format!("{part}\n")).expect("the part");
    let text = text.split("\n## ").next().expect("a text");
    let scripts = text.split("```sh\n").skip(1);
    let lines = scripts.flat_map(|script| {
        script.split("```").next().unwrap_or_default().lines().map(|line| line.trim().to_owned())
    });
    let is_ours = |line: &String| {
        !line.is_empty() && !OF_KUBERNETES.iter().any(|beginning| line.starts_with(beginning))
    };
    lines.filter(is_ours).collect()
}

/// The pages that nobody follows here have nothing but Kubernetes and Prometheus to ask.
#[test]
fn every_page_with_commands_is_followed() {
    let followed = read("tests/it/operating/followed/faults.rs");
    let mut missing = String::new();
    for page in super::alert_names() {
        let all = ["## How to look", "## How to fix it", "## How to know that it is over"];
        let count: usize = all.iter().map(|part| commands(&page, part).len()).sum();
        if count > 0 && !followed.contains(&format!("\"{page}\"")) {
            writeln!(missing, "{page}: {count} commands").expect("a text");
        }
        assert!(commands(&page, "## How to fix it").is_empty(), "{page}: who runs these?");
    }
    assert!(missing.is_empty(), "not followed by any test:\n{missing}");
}
