//! docs/runbooks: one page an alert, with the same four parts; every command of Assent in them is one that it takes.

use std::collections::BTreeSet;

use super::{alert_names, known, metrics_in, read, root};
use crate::support::{Assent, Finished};

const FOLDER: &str = "docs/runbooks";

/// In this order.
const PARTS: [&str; 4] =
    ["## What it means", "## How to look", "## How to fix it", "## How to know that it is over"];

fn pages() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(FOLDER)).expect("runbooks");
    let names =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter_map(|name| Some(name.strip_suffix(".md")?.to_owned())).collect()
}

#[test]
fn each_alert_has_one_and_each_one_an_alert() {
    let mut expected = alert_names();
    expected.insert("README".to_owned());
    assert_eq!(pages(), expected);
    let index = read(&format!("{FOLDER}/README.md"));
    for name in alert_names() {
        assert!(index.contains(&format!("]({name}.md)")), "{name} is not in the index");
    }
}

#[test]
fn each_has_the_four_parts() {
    for name in alert_names() {
        let page = read(&format!("{FOLDER}/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let parts: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(parts, PARTS, "{name}");
        assert!(page.contains("\n```"), "{name}: what is there to type?");
    }
}

#[test]
fn they_name_only_metrics_that_there_are() {
    for name in alert_names() {
        let page = read(&format!("{FOLDER}/{name}.md"));
        for line in page.lines().filter(|line| !line.contains("grep")) {
            // In prose a histogram goes by its name.
            for at in metrics_in(line) {
                let metric = &line[at];
                let is_histogram =
                    assent::telemetry::metrics::CATALOG.iter().any(|it| it.name == metric);
                if !is_histogram {
                    known(&name, metric);
                }
            }
        }
    }
}

/// `--help` behind it: clap has read all before, and nothing runs.
#[test]
fn every_command_is_the_programs() {
    let mut checked = 0;
    for page in pages() {
        for command in commands_in(&read(&format!("{FOLDER}/{page}.md"))) {
            let done =
                Finished::of(Assent::command().args(command.split_whitespace()).arg("--help"));
            assert_eq!(done.code, Some(0), "{page}: assent {command}: {}", done.stderr);
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} commands");
}

/// What follows `assent` on a line of a script, or in code style.
fn commands_in(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_script = false;
    for line in page.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            is_script = !is_script;
        } else if is_script {
            found.extend(line.strip_prefix("assent ").map(str::to_owned));
        } else {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.filter_map(|code| {
                let (before, command) = code.split_once("assent ")?;
                (before.is_empty() || before.ends_with("-- ")).then(|| command.to_owned())
            }));
        }
    }
    found
}

#[test]
fn commands_are_found_in_scripts_and_in_prose() {
    let page = "Ask `assent check` or `kubectl exec assent-0 -- assent verify --json`, not `assent_x`.\n```sh\nassent run\n```\n";
    assert_eq!(commands_in(page), ["check", "verify --json", "run"]);
}
