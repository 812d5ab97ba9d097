//! docker-compose.yml, Dockerfile and deploy/ without Docker: every file, path, port, variable, key and
//! command that they name is there or is accepted, and what the containers would run runs here, on a
//! broker with the compose file's settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assent::config::Config;
use serde_json::Value;

use crate::support::{Assent, Finished, Kafka, leave_out, wait_until, yaml};

mod image;
mod package;
mod rehearsal;

const WITHIN: Duration = Duration::from_mins(1);

/// Where the image's commands run, and all that Assent reads and keeps lies.
const HOME: &str = "/assent";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

struct Compose(Value);

impl Compose {
    fn read() -> Self {
        Self(yaml::parse(&read("docker-compose.yml")))
    }

    fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        let services = self.0["services"].as_object().expect("services");
        services.iter().map(|(name, service)| (name.as_str(), service))
    }

    /// Those that run our image.
    fn ours(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.services().filter(|(_, service)| service["image"] == "assent:local")
    }

    fn instances(&self) -> Vec<(&str, &Value)> {
        self.ours()
            .filter(|(_, service)| service["command"] == serde_json::json!(["run"]))
            .collect()
    }

    fn kafka(&self) -> BTreeMap<String, String> {
        environment(&self.0["services"]["kafka"])
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let pairs = service["environment"].as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), interpolated(text(value)).to_owned())).collect()
}

/// `${NAME:-default}` where nobody set NAME.
fn interpolated(value: &str) -> &str {
    let default = value.strip_prefix("${").and_then(|rest| rest.split_once(":-"));
    default.map_or(value, |(_, default)| default.strip_suffix('}').expect("${NAME:-default}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(text)
}

fn configured(service: &Value) -> Config {
    assent::config::load(None, &environment(service)).expect("variables that are accepted")
}

#[test]
fn services_wait_for_what_will_come() {
    let compose = Compose::read();
    for (name, service) in compose.services() {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let other = &compose.0["services"][other];
            match text(&how["condition"]) {
                "service_healthy" => assert!(other["healthcheck"]["test"].is_array(), "{name}"),
                "service_completed_successfully" => assert!(other["restart"].is_null(), "{name}"),
                condition => panic!("{name}: {condition}"),
            }
            let is_there = other["profiles"].is_null() || other["profiles"] == service["profiles"];
            let optional =
                how["required"] == serde_json::json!(false) || how["required"] == "false";
            assert!(is_there || optional, "{name} waits for what a profile leaves out");
        }
    }
    for (name, instance) in compose.instances() {
        assert!(instance["depends_on"]["setup"].is_object(), "{name} needs keys and topics");
        let grace = text(&instance["stop_grace_period"]).trim_end_matches('s');
        assert!(grace.parse::<u64>().expect("seconds") > 10, "{name}: run drains for up to 10 s");
    }
    let builders: Vec<_> = compose.ours().filter(|(_, s)| !s["build"].is_null()).collect();
    assert_eq!(builders.len(), 1, "the image is built once");
    for (name, service) in compose.ours().filter(|(_, service)| service["build"].is_null()) {
        assert_eq!(service["pull_policy"], "never", "{name} would look for the image elsewhere");
    }
}

#[test]
fn volumes_and_files_are_there_and_no_two_instances_share_a_state() {
    let compose = Compose::read();
    let mut used = BTreeSet::new();
    let mut states = BTreeSet::new();
    for (name, service) in compose.services() {
        for mount in list(&service["volumes"]) {
            let (source, target) = mount.split_once(':').expect("SOURCE:TARGET");
            match source.strip_prefix("./") {
                Some(file) => assert!(root().join(file).is_file(), "{name}: {file}"),
                None => assert!(source == "keys" || !used.contains(source), "{source} twice"),
            }
            if !source.starts_with("./") {
                used.insert(source.to_owned());
            }
            if target == format!("{HOME}/state") {
                states.insert(name);
            }
        }
    }
    let declared = compose.0["volumes"].as_object().expect("volumes").keys().cloned().collect();
    assert_eq!(used, declared);
    assert_eq!(states, compose.instances().iter().map(|(name, _)| *name).collect());
}

#[test]
fn paths_of_the_configuration_lie_in_the_image_or_in_a_volume() {
    let here = std::env::current_dir().expect("a folder");
    let in_image = |path: &Path| Path::new(HOME).join(path.strip_prefix(&here).expect("below"));
    for (name, service) in Compose::read().ours() {
        let config = configured(service);
        assert!(config.rulebook.exists(), "{name}: COPY rules puts it there");
        let mounted = |path: &Path| {
            let path = in_image(path).display().to_string();
            list(&service["volumes"])
                .any(|mount| path.starts_with(mount.split(':').nth(1).expect("a target")))
        };
        let is_instance = service["command"] == serde_json::json!(["run"]);
        assert_eq!(mounted(&config.keyset), is_instance || name == "setup", "{name}: keyset");
        assert_eq!(mounted(&config.pipeline.state_dir), is_instance, "{name}: state_dir");
    }
}

#[test]
fn ports_lead_where_something_listens() {
    let compose = Compose::read();
    let mut taken = BTreeSet::new();
    for (name, service) in compose.services() {
        for published in list(&service["ports"]) {
            let [address, host, inner] = published.split(':').collect::<Vec<_>>()[..] else {
                panic!("{name}: {published}: ADDRESS:PORT:PORT");
            };
            assert_eq!(address, "127.0.0.1", "{name} would be open to the network");
            assert!(taken.insert(host.to_owned()), "{name}: port {host} is taken");
            let listens = match name {
                "kafka" => port(&listeners(&compose.kafka()["KAFKA_LISTENERS"])["OUTSIDE"]),
                "prometheus" => "9090".to_owned(),
                "grafana" => environment(service)["GF_SERVER_HTTP_PORT"].clone(),
                "registry" => environment(service)["QUARKUS_HTTP_PORT"].clone(),
                _ => configured(service).http.listen.port().to_string(),
            };
            assert_eq!(inner, listens, "{name}");
        }
    }
    for (name, instance) in compose.instances() {
        let listen = configured(instance).http.listen;
        assert!(listen.ip().is_unspecified(), "{name}: 127.0.0.1 of a container is its own");
        let check = health_check(instance).join(" ");
        assert!(
            check.contains(&format!("/dev/tcp/127.0.0.1/{} ", listen.port())),
            "{name}: {check}"
        );
        assert!(read("Dockerfile").contains(&format!("\nEXPOSE {}\n", listen.port())));
    }
}

#[test]
fn prometheus_scrapes_every_instance() {
    let compose = Compose::read();
    let scrape = yaml::parse(&read("deploy/prometheus.yml"));
    let jobs = scrape["scrape_configs"].as_array().expect("jobs");
    let job = jobs.iter().find(|job| job["job_name"] == "assent").expect("a job");
    let targets: BTreeSet<_> =
        list(&job["static_configs"][0]["targets"]).map(str::to_owned).collect();
    let address = |(name, service): &(&str, &Value)| {
        format!("{name}:{}", configured(service).http.listen.port())
    };
    assert_eq!(targets, compose.instances().iter().map(address).collect());
    assert_eq!(job["metrics_path"], "/metrics");
}

#[test]
fn kafkas_listeners_agree_with_each_other_and_with_their_clients() {
    let compose = Compose::read();
    let kafka = compose.kafka();
    let (bound, told) =
        (listeners(&kafka["KAFKA_LISTENERS"]), listeners(&kafka["KAFKA_ADVERTISED_LISTENERS"]));
    let secured: BTreeSet<_> = kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
        .split(',')
        .map(|entry| entry.split_once(':').expect("NAME:PROTOCOL").0)
        .collect();
    assert_eq!(secured, bound.keys().copied().collect());
    for (name, address) in &told {
        assert_eq!(port(address), port(&bound[name]), "{name}");
    }
    let quorum = &kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"];
    let controller = &kafka["KAFKA_CONTROLLER_LISTENER_NAMES"];
    let voter = format!("{}@kafka:{}", kafka["KAFKA_NODE_ID"], port(&bound[controller.as_str()]));
    assert_eq!(*quorum, voter);
    let inside = &told[kafka["KAFKA_INTER_BROKER_LISTENER_NAME"].as_str()];
    assert!(inside.starts_with("kafka:"), "{inside}");
    for (name, service) in compose.ours() {
        assert_eq!(configured(service).kafka.bootstrap_servers, *inside, "{name}");
    }
    assert!(health_check(&compose.0["services"]["kafka"]).contains(inside));
    let image = text(&compose.0["services"]["kafka"]["image"]);
    let version = image.strip_prefix("apache/kafka:").expect("Apache Kafka");
    assert!(read("scripts/kafka").contains(&format!("or \"{version}\"")), "{version}");
}

#[test]
fn the_registry_is_the_one_that_is_tested_and_answers_its_health_check() {
    let compose = Compose::read();
    let service = &compose.0["services"]["registry"];
    let version = text(&service["image"]).strip_prefix("apicurio/apicurio-registry:");
    let version = version.expect("Apicurio Registry");
    assert!(read("scripts/registry").contains(&format!("VERSION = \"{version}\"")), "{version}");
    let variables = environment(service);
    let kafka = compose.kafka();
    let inside = &listeners(&kafka["KAFKA_ADVERTISED_LISTENERS"])["INSIDE"];
    assert_eq!(variables["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"], *inside);
    let port = &variables["QUARKUS_HTTP_PORT"];
    let url = format!("http://registry:{port}/apis/ccompat/v7");
    assert!(read("docker-compose.yml").contains(&format!("export REGISTRY_URL={url}")), "{url}");
    for (name, ours) in compose.ours() {
        let mut variables = environment(ours);
        variables.insert("ASSENT__SCHEMA_REGISTRY__URL".to_owned(), url.clone());
        let config = assent::config::load(None, &variables).expect(name);
        assert_eq!(config.schema_registry.expect("a registry").url, url, "{name}");
    }
    let registry = registry_or_skip!();
    let (host_and_port, _) = registry.url()["http://".len()..].split_once('/').expect("a path");
    let here = host_and_port.rsplit_once(':').expect("a port").1;
    let check: Vec<String> =
        health_check(service).iter().map(|part| part.replace(port, here)).collect();
    wait_until(WITHIN, "a health check that passes", || {
        Finished::of(Command::new(&check[0]).args(&check[1..])).code.filter(|code| *code == 0)
    });
}

/// `NAME://host:port,..` → name, `host:port`.
fn listeners(text: &str) -> BTreeMap<&str, String> {
    let listener = |entry: &'_ str| entry.split_once("://").map(|(_, address)| address.to_owned());
    text.split(',')
        .map(|entry| (entry.split(':').next().expect("a name"), listener(entry).expect("NAME://")))
        .collect()
}

fn port(address: &str) -> String {
    address.rsplit_once(':').expect("a port").1.to_owned()
}

/// The command of a health check, as the container runs it.
fn health_check(service: &Value) -> Vec<String> {
    let test: Vec<_> = list(&service["healthcheck"]["test"]).collect();
    assert_eq!(test[0], "CMD");
    test[1..].iter().map(|argument| argument.replace("$$", "$")).collect()
}

#[test]
fn commands_are_the_programs() {
    let compose = Compose::read();
    let mut commands: Vec<Vec<String>> = Vec::new();
    for (_, service) in compose.ours() {
        let command = list(&service["command"]).map(str::to_owned).collect::<Vec<_>>();
        if service["entrypoint"].is_null() {
            commands.push(command);
        } else {
            commands.extend(command.iter().flat_map(|script| programs_in(script)));
        }
    }
    commands.extend(programs_in(&read("docker-compose.yml").replace('#', " ")));
    assert!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        let done = Finished::of(Assent::command().args(&command).arg("--help"));
        assert_eq!(done.code, Some(0), "assent {}: {}", command.join(" "), done.stderr);
    }
}

/// The arguments of every `assent ...` that a line of a script runs.
fn programs_in(script: &str) -> Vec<Vec<String>> {
    let simple = script.lines().flat_map(|line| line.split("||")).flat_map(|part| part.split("&&"));
    simple
        .filter_map(|command| {
            let command = command.trim();
            let run = command.strip_prefix("assent ").or_else(|| {
                command
                    .strip_prefix("docker compose exec ")?
                    .split_once(" assent ")
                    .map(|(_, run)| run)
            })?;
            Some(run.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}
