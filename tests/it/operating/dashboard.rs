//! deploy/grafana/assent.json: rendered from `panels`, held to the catalog of metrics and to the rules.

use std::collections::BTreeSet;
use std::process::Command;

use assent::telemetry::metrics::CATALOG;
use serde_json::{Value, json};

use super::panels::{Look, Panel, ROWS, Series};
use super::{generated, known, metrics_in, of_catalog, rules, text, tool_or_skip};
use crate::support::Finished;

const FILE: &str = "deploy/grafana/assent.json";

/// The chart can read only what lies in its folder.
const IN_CHART: &str = "deploy/helm/assent/files/assent.json";

/// Of Grafana's 24 columns, and rows.
const STAT: (usize, usize) = (6, 4);
const LINES: (usize, usize) = (8, 8);
const COLUMNS: usize = 24;

/// A query as it stands in the dashboard, and its legend.
struct Target {
    query: String,
    legend: String,
}

/// Every query of the dashboard, with its panel's title.
pub fn queries() -> Vec<(&'static str, String)> {
    let panels = ROWS.iter().flat_map(|row| row.panels);
    let of = |panel: &'static Panel| {
        targets(panel).into_iter().map(|target| (panel.title, target.query))
    };
    panels.flat_map(of).collect()
}

fn targets(panel: &Panel) -> Vec<Target> {
    let each = panel.series.iter().flat_map(|series| match series {
        Series::Of(query, legend) => vec![((*query).to_owned(), (*legend).to_owned())],
        Series::Delays(histogram, by) => delays(histogram, by),
    });
    each.map(|(query, legend)| Target { query: of_job(&query), legend }).collect()
}

fn delays(histogram: &str, by: &str) -> Vec<(String, String)> {
    let (labels, named) = match by {
        "" => ("le".to_owned(), String::new()),
        by => (format!("le, {by}"), format!("{{{{{by}}}}} ")),
    };
    let rate = format!("sum by ({labels}) (rate({histogram}_bucket[R]))");
    let shares = [("0.5", "half within"), ("0.99", "99 % within")];
    let delay = |(share, words)| {
        (format!("histogram_quantile({share}, {rate})"), format!("{named}{words}"))
    };
    shares.map(delay).into()
}

/// Adds the dashboard's job to every metric, and the range to every `[R]`.
fn of_job(query: &str) -> String {
    let mut written = String::new();
    let mut done = 0;
    for name in metrics_in(query) {
        written.push_str(&query[done..name.end]);
        done = name.end;
        if query[done..].starts_with('{') {
            written.push_str("{job=~\"$job\", ");
            done += 1;
        } else {
            written.push_str("{job=~\"$job\"}");
        }
    }
    written.push_str(&query[done..]);
    written.replace("[R]", "[$__rate_interval]")
}

fn render() -> String {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in ROWS {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}, "panels": [],
        }));
        top += 1;
        let (mut left, mut height) = (0, 0);
        for panel in row.panels {
            let (columns, rows) = if matches!(panel.look, Look::Stat(..)) { STAT } else { LINES };
            if left + columns > COLUMNS {
                (left, top) = (0, top + height);
            }
            let place = json!({"x": left, "y": top, "w": columns, "h": rows});
            panels.push(drawn(panel, panels.len() + 1, &place));
            (left, height) = (left + columns, rows);
        }
        top += height;
    }
    format!("{:#}\n", dashboard(&panels))
}

fn dashboard(panels: &[Value]) -> Value {
    json!({
        "uid": "assent", "title": "Assent", "tags": ["assent"], "schemaVersion": 39, "version": 1,
        "description": "Made from tests/it/operating/panels.rs by UPDATE_DOCS=1 cargo test --test it current.",
        "editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [
            {"name": "ds", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            {
                "name": "job", "label": "Installation", "type": "query",
                "datasource": {"type": "prometheus", "uid": "${ds}"},
                "query": {"query": "label_values(assent_build_info, job)", "refId": "job"},
                "includeAll": true, "multi": true, "allValue": ".+", "refresh": 2, "sort": 1,
                "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "panels": panels,
    })
}

fn drawn(panel: &Panel, id: usize, place: &Value) -> Value {
    let (kind, thresholds) = match panel.look {
        Look::Lines => ("timeseries", json!([{"color": "green", "value": null}])),
        Look::Stat(yellow, red) => {
            let steps = [("green", None), ("yellow", Some(yellow)), ("red", Some(red))];
            ("stat", steps.map(|(color, value)| json!({"color": color, "value": value})).into())
        }
    };
    let targets: Vec<Value> = ('A'..).zip(targets(panel)).map(|(id, target)| {
        json!({"refId": id, "expr": target.query, "legendFormat": target.legend})
    }).collect();
    json!({
        "id": id, "type": kind, "title": panel.title, "description": help(panel), "gridPos": place,
        "datasource": {"type": "prometheus", "uid": "${ds}"}, "targets": targets,
        "fieldConfig": {"overrides": [], "defaults": {
            "unit": panel.unit, "thresholds": {"mode": "absolute", "steps": thresholds},
        }},
    })
}

/// The catalog's own words.
fn help(panel: &Panel) -> String {
    let mut told = BTreeSet::new();
    let mut page = String::new();
    for target in targets(panel) {
        for name in metrics_in(&target.query) {
            let named = of_catalog(&target.query[name]);
            let declared = CATALOG.iter().find(|it| Some(it.name) == named && told.insert(it.name));
            page.extend(declared.map(|it| format!("`{}`: {}\n\n", it.name, it.help)));
        }
    }
    page.trim_end().to_owned()
}

#[test]
fn the_dashboard_is_current() {
    generated(FILE, &render());
    generated(IN_CHART, &render());
}

/// Both ways: a panel names only what there is, and what there is stands in a panel.
#[test]
fn every_metric_has_a_panel_and_every_panel_a_metric() {
    let mut shown = BTreeSet::new();
    for (title, query) in queries() {
        shown.extend(known(title, &query));
    }
    for declared in CATALOG {
        assert!(shown.contains(declared.name), "no panel shows {}", declared.name);
    }
}

/// Labels that a query groups by or a legend names are those of its metric, or of a scrape.
#[test]
fn labels_of_panels_are_the_catalogs() {
    for panel in ROWS.iter().flat_map(|row| row.panels) {
        for target in targets(panel) {
            let mut labels = BTreeSet::from(["job", "instance", "le"]);
            for name in metrics_in(&target.query) {
                let named = of_catalog(&target.query[name]);
                labels.extend(
                    CATALOG
                        .iter()
                        .find(|it| Some(it.name) == named)
                        .into_iter()
                        .flat_map(|it| it.labels),
                );
            }
            let grouped =
                target.query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
            let shown =
                target.legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            for label in grouped.flat_map(|list| list.split(", ")).chain(shown) {
                assert!(labels.contains(label), "{}: no label {label}", panel.title);
            }
        }
    }
}

/// promtool's parser is Prometheus' own: each query as a rule of a file that it checks.
#[test]
fn every_query_parses() {
    let promtool = tool_or_skip!("promtool");
    let all = queries().into_iter().map(|(_, query)| filled_in(&query));
    let rules: Vec<Value> = (0..)
        .zip(all)
        .map(|(number, query)| json!({"record": format!("query:{number}"), "expr": query}))
        .collect();
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("queries.yml");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).expect("written");
    Finished::of(Command::new(promtool).args(["check", "rules"]).arg(&file)).ok();
}

/// With what Grafana puts in the place of its variables.
pub fn filled_in(query: &str) -> String {
    query.replace("$__rate_interval", "1m").replace("$__range", "5m").replace("$job", ".+")
}

/// A bound that an alert has is where the first panels turn red.
#[test]
fn the_first_panels_turn_red_where_the_alerts_fire() {
    let stats: Vec<&Panel> =
        ROWS[0].panels.iter().filter(|it| matches!(it.look, Look::Stat(..))).collect();
    let red = |title: &str| {
        let panel = stats.iter().find(|panel| panel.title.starts_with(title));
        let Look::Stat(_, red) = panel.expect(title).look else { panic!("{title}: no number") };
        red
    };
    let alerts = |alert: &str, bound: &str| {
        let all = rules();
        let found = all.iter().filter(|rule| rule["alert"] == alert);
        assert!(
            found.map(|rule| text(rule, "expr")).any(|it| it.contains(bound)),
            "{alert}: {bound}"
        );
    };
    alerts("AssentConsentSyncLag", &format!("> {}\n", red("Consent-sync lag")));
    alerts("AssentOptOutPending", &format!("> {})", red("Oldest opt-out")));
    assert!((red("Minutes out of sync") - 14.4 * 0.001).abs() < 1e-9);
    alerts("AssentConsentSyncLagBudgetBurn", "> 14.4 * 0.001");
}
