//! What the operators get: alerts, dashboard, runbooks, Helm chart. Each is held to the catalog of metrics, to the
//! others, and to the tools that will read it.
//!
//! `scripts/deploy-tools` brings helm, kubeconform, Kubernetes' schemas, promtool and Prometheus.

mod alerts;
mod chart;
mod compose;
mod dashboard;
mod followed;
mod live;
mod panels;
mod runbooks;
mod served;
mod strimzi;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use assent::telemetry::metrics::CATALOG;
use serde_json::Value;

use crate::support::{LeftOut, yaml};

const RULES: &str = "deploy/prometheus/assent.rules.yml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Panics where a file is not what the code makes, or writes it where UPDATE_DOCS says so.
fn generated(path: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), text).expect("written");
    }
    let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(written == text, "{path} is old: UPDATE_DOCS=1 cargo test --test it current");
}

/// A program of `scripts/deploy-tools`, or of the PATH.
pub fn tool(name: &str) -> Result<PathBuf, LeftOut> {
    let ours = root().join("target/tools/bin").join(name);
    if ours.exists() {
        return Ok(ours);
    }
    let found = Command::new(name).arg("--version").output().is_ok();
    let missing =
        || LeftOut::because(format!("{name} is not here; scripts/deploy-tools brings it"));
    found.then(|| PathBuf::from(name)).ok_or_else(missing)
}

/// As [`tool`], or an early return.
macro_rules! tool_or_skip {
    ($name:literal) => {
        match $crate::operating::tool($name) {
            Ok(tool) => tool,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}
pub(crate) use tool_or_skip;

/// Of the rules file: every rule, in order.
fn rules() -> Vec<Value> {
    let file = yaml::parse(&read(RULES));
    let groups = file["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {value}"))
}

/// Names of alerts, each once.
fn alert_names() -> BTreeSet<String> {
    rules().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// What recording rules make.
fn recorded() -> BTreeSet<String> {
    rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// Where Assent's metrics, recorded ones among them, stand in a query or a page.
fn metrics_in(text: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for (at, start) in text.match_indices("assent") {
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |length| at + length);
        let begins = !text[..at].chars().next_back().is_some_and(is_part);
        let rest = &text[at + start.len()..end];
        let goes_on = rest.len() > 1 && rest.starts_with(['_', ':']);
        if begins && goes_on {
            found.push(at..end);
        }
    }
    found
}

/// The catalog's name of a series: a histogram's parts are its.
fn of_catalog(series: &str) -> Option<&'static str> {
    let named = |name: &str| CATALOG.iter().find(|declared| declared.name == name);
    if let Some(declared) = named(series) {
        return (declared.kind != "histogram").then_some(declared.name);
    }
    ["_bucket", "_sum", "_count"].iter().find_map(|part| {
        let declared = named(series.strip_suffix(part)?)?;
        (declared.kind == "histogram").then_some(declared.name)
    })
}

/// Panics unless each name stands in the catalog or is recorded; gives those of the catalog.
fn known(place: &str, query: &str) -> BTreeSet<&'static str> {
    let recorded = recorded();
    let mut found = BTreeSet::new();
    for name in metrics_in(query) {
        let name = &query[name];
        match of_catalog(name) {
            Some(declared) => drop(found.insert(declared)),
            None => assert!(recorded.contains(name), "{place}: no metric {name}"),
        }
    }
    found
}

#[test]
fn metrics_are_found_in_any_text() {
    let found = |text| metrics_in(text).into_iter().map(|at| &text[at]).collect::<Vec<_>>();
    assert_eq!(
        found("rate(assent_a_total{x=\"assent\"}[5m]) + assent:b"),
        ["assent_a_total", "assent:b"]
    );
    assert!(found("non_assent_a assent check deploy/assent.json").is_empty());
    assert_eq!(
        of_catalog("assent_barrier_wait_seconds_bucket"),
        Some("assent_barrier_wait_seconds")
    );
    assert_eq!(
        of_catalog("assent_barrier_wait_seconds"),
        None,
        "a histogram has no series of its own name"
    );
    assert_eq!(of_catalog("assent_opt_outs_pending_count"), None);
}
