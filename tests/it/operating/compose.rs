//! Prometheus and Grafana of docker-compose.yml, without Docker: their files name each other, and promtool takes what
//! Prometheus would read.

use std::process::Command;

use serde_json::Value;

use super::{read, root, text, tool_or_skip};
use crate::support::{Finished, yaml};

fn service(name: &str) -> Value {
    yaml::parse(&read("docker-compose.yml"))["services"][name].clone()
}

/// The file of this repository that a container sees at `path`.
fn mounted(service: &Value, path: &str) -> String {
    let mounts = service["volumes"].as_array().expect("volumes").iter();
    let found = mounts
        .filter_map(Value::as_str)
        .find_map(|mount| mount.strip_suffix(":ro")?.strip_suffix(path)?.strip_suffix(':'));
    let found = found.unwrap_or_else(|| panic!("nothing is mounted at {path}, to be read only"));
    found.trim_start_matches("./").to_owned()
}

#[test]
fn prometheus_reads_the_rules() {
    let prometheus = service("prometheus");
    let config = mounted(&prometheus, "/etc/prometheus/prometheus.yml");
    let named = yaml::parse(&read(&config));
    let rules = named["rule_files"][0].as_str().expect("a file of rules");
    let rules_file = mounted(&prometheus, &format!("/etc/prometheus/{rules}"));
    assert_eq!(rules_file, super::RULES);
    let promtool = tool_or_skip!("promtool");
    let folder = tempfile::tempdir().expect("temp dir");
    for (file, name) in [(&config, "prometheus.yml"), (&rules_file, rules)] {
        std::fs::copy(root().join(file), folder.path().join(name)).expect("copied");
    }
    let done = Finished::of(
        Command::new(promtool).args(["check", "config", "prometheus.yml"]).current_dir(&folder),
    );
    assert!(done.ok().stdout.contains("1 rule files found"));
}

#[test]
fn grafana_is_given_the_dashboard_and_prometheus() {
    let grafana = service("grafana");
    let provisioning = "/etc/grafana/provisioning";
    let provider = mounted(&grafana, &format!("{provisioning}/dashboards/assent.yml"));
    let provider = yaml::parse(&read(&provider));
    let folder = text(&provider["providers"][0]["options"], "path").to_owned();
    let dashboard = mounted(&grafana, &format!("{folder}/assent.json"));
    let dashboard: Value = serde_json::from_str(&read(&dashboard)).expect("JSON");
    assert!(read("docker-compose.yml").contains(&format!("/d/{}", text(&dashboard, "uid"))));

    let source = mounted(&grafana, &format!("{provisioning}/datasources/prometheus.yml"));
    let source = yaml::parse(&read(&source));
    let source = &source["datasources"][0];
    let scrape = yaml::parse(&read("deploy/prometheus.yml"));
    assert_eq!(source["jsonData"]["timeInterval"], scrape["global"]["scrape_interval"]);
    let url = text(source, "url");
    let ports = service("prometheus")["ports"][0].as_str().expect("a port").to_owned();
    let inner = ports.rsplit(':').next().expect("a port");
    assert_eq!(url, format!("http://prometheus:{inner}"));
}
