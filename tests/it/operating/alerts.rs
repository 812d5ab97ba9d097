//! deploy/prometheus/assent.rules.yml: checked by promtool, and held to the catalog, the contract and the runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use assent::telemetry::metrics::CATALOG;

use super::{
    RULES, alert_names, generated, known, metrics_in, of_catalog, read, recorded, root, rules,
    text, tool_or_skip,
};
use crate::support::{Finished, yaml};

/// The chart can read only what lies in its folder.
const IN_CHART: &str = "deploy/helm/assent/files/assent.rules.yml";

/// The names of the contract, by hand: dashboards, routes and people's habits rest on them.
const CONTRACT: [&str; 16] = [
    "AssentCanaryFailing",
    "AssentConsentMisrouted",
    "AssentConsentSourceSilent",
    "AssentConsentSyncLag",
    "AssentConsentSyncLagBudgetBurn",
    "AssentConsentUnreadable",
    "AssentDeadLetters",
    "AssentGateClosed",
    "AssentInvariantViolated",
    "AssentMetricsMissing",
    "AssentOptOutPending",
    "AssentOptOutSlow",
    "AssentPartitionUnowned",
    "AssentReaderBehind",
    "AssentRestoreLoop",
    "AssentTransactionsFailing",
];

/// Where a metric is no alert's, a person looks at it on the dashboard.
const RUNBOOKS: &str = "https://assent.example/runbooks/";

#[test]
fn the_names_are_the_contracts() {
    assert!(alert_names().iter().eq(CONTRACT), "{:?}", alert_names());
}

#[test]
fn the_charts_copy_is_current() {
    generated(IN_CHART, &read(RULES));
}

#[test]
fn each_alert_says_how_bad_what_and_where_to_read_on() {
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = text(rule, "alert");
        let severity = text(&rule["labels"], "severity");
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        let notes = &rule["annotations"];
        assert!(text(notes, "summary").contains("$labels."), "{name}: where?");
        assert!(text(notes, "description").len() > 100, "{name}: what does it mean for people?");
        assert_eq!(text(notes, "runbook_url"), format!("{RUNBOOKS}{name}.md"));
    }
}

#[test]
fn rules_name_only_metrics_that_there_are() {
    for rule in rules() {
        known(rule["alert"].as_str().unwrap_or("a recorded one"), text(&rule, "expr"));
    }
    let used: BTreeSet<String> = rules()
        .iter()
        .flat_map(|rule| {
            let query = text(rule, "expr").to_owned();
            metrics_in(&query).into_iter().map(|at| query[at].to_owned()).collect::<Vec<_>>()
        })
        .collect();
    for name in recorded() {
        assert!(used.contains(&name), "{name} is recorded, and no rule reads it");
    }
}

/// A label that a summary names or a rule groups by is one of its metrics', or of a scrape or rule.
#[test]
fn labels_of_rules_are_the_catalogs() {
    for rule in rules() {
        let query = text(&rule, "expr");
        let mut labels = BTreeSet::from(["job", "instance", "le"]);
        let mut is_recorded = false;
        for name in metrics_in(query) {
            let named = of_catalog(&query[name]);
            is_recorded |= named.is_none();
            labels.extend(
                CATALOG
                    .iter()
                    .find(|it| Some(it.name) == named)
                    .into_iter()
                    .flat_map(|it| it.labels),
            );
        }
        if is_recorded {
            labels.insert("partition");
        }
        let grouped = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        for label in grouped.flat_map(|list| list.split(", ")) {
            assert!(labels.contains(label), "{query}: no label {label}");
        }
        let summary = rule["annotations"]["summary"].as_str().unwrap_or_default();
        for part in summary.split("$labels.").skip(1) {
            let label: String = part.chars().take_while(char::is_ascii_lowercase).collect();
            let optional = format!("with $labels.{label}");
            // Every rule keeps the job, but one that finds nothing at all.
            let is_there = label == "job" || query.contains(&label);
            assert!(is_there || summary.contains(&optional), "{query}: {summary}");
        }
    }
}

/// The bound that the rules name is a bucket of the histogram, as Prometheus 2 has it and as 3 does.
#[test]
fn the_objectives_bound_is_a_bucket() {
    let text = assent::telemetry::metrics::Metrics::new().render();
    assert!(text.contains("assent_opt_out_propagation_seconds_bucket{le=\"1\"} 0"));
    let rules = read(RULES);
    let bounds: BTreeSet<&str> =
        rules.split("_bucket{le").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    assert!(bounds.iter().eq(&["=~\"1|1[.]0\""]), "{bounds:?}");
}

/// promtool runs them: each alert fires in one test at least, and is silent in another.
#[test]
fn each_alert_is_seen_to_fire_and_to_be_silent() {
    let mut seen: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for file in test_files() {
        for test in yaml::parse(&read(&file))["tests"].as_array().expect("tests") {
            for asked in test["promql_expr_test"].as_array().into_iter().flatten() {
                let fires = !asked["exp_samples"].as_array().expect("samples").is_empty();
                for name in alert_names() {
                    let quoted = [
                        format!("\"{name}\""),
                        format!("\"{name}|"),
                        format!("|{name}|"),
                        format!("|{name}\""),
                    ];
                    if quoted.iter().any(|it| text(asked, "expr").contains(it)) {
                        let entry = seen.entry(name).or_default();
                        *entry = (entry.0 || fires, entry.1 || !fires);
                    }
                }
            }
        }
    }
    for name in alert_names() {
        assert_eq!(seen.get(&name), Some(&(true, true)), "{name}: (fires, is silent)");
    }
    let promtool = tool_or_skip!("promtool");
    let promtool = || {
        let mut command = Command::new(&promtool);
        command.current_dir(root());
        command
    };
    Finished::of(promtool().args(["check", "rules", RULES])).ok();
    Finished::of(promtool().args(["test", "rules"]).args(test_files())).ok();
}

fn test_files() -> Vec<String> {
    ["consent", "pipeline"].map(|name| format!("deploy/prometheus/tests/{name}.yml")).into()
}
