//! deploy/helm/assent: linted, rendered, and each manifest held to Kubernetes' schemas and to what the program takes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use assent::config::Config;
use serde_json::Value;

use super::{RULES, read, root, text, tool_or_skip};
use crate::support::{Assent, Finished, LeftOut, leave_out, yaml};

const CHART: &str = "deploy/helm/assent";

/// As in scripts/deploy-tools: the oldest version that the chart says it runs on, and the newest.
const SCHEMAS: &str = "target/tools/kubernetes-1.37.0";
const KUBERNETES: [&str; 2] = ["1.27.0", "1.37.0"];

/// Of the Prometheus Operator and Strimzi: the part that the chart uses, written by hand, nothing more allowed.
const CUSTOM: &str = "tests/it/operating/crds";

const SHIPPED: &str = "rules/children-retail.yaml";
const VALUES: [&str; 2] = ["least", "all"];
const WITH_SERVE: [&str; 3] = ["least", "all", "serve"];

/// `helm VERB` of the chart with a file of its ci/, the shipped rulebook, and more arguments.
fn helm(program: &Path, verb: &[&str], values: &str, more: &[&str]) -> Finished {
    let mut command = Command::new(program);
    command.current_dir(root()).args(verb).arg(CHART).args(["--namespace", "shop"]);
    command.args(["--values", &format!("{CHART}/ci/{values}-values.yaml"), "--set-file"]);
    Finished::of(command.arg(format!("rulebook={SHIPPED}")).args(more))
}

fn template(program: &Path, values: &str, more: &[&str]) -> Finished {
    // A helm that `go install` built takes the cluster for an old one.
    let more = [&["--kube-version", KUBERNETES[0]], more].concat();
    helm(program, &["template", "assent"], values, &more)
}

/// Every manifest that comes out.
pub fn manifests(program: &Path, values: &str, more: &[&str]) -> Vec<Value> {
    let rendered = template(program, values, more).ok().stdout;
    let documents = rendered.split("---\n").filter(|text| text.contains("apiVersion:"));
    documents.map(yaml::parse).collect()
}

fn of_kind<'m>(manifests: &'m [Value], kind: &str) -> Vec<&'m Value> {
    manifests.iter().filter(|manifest| manifest["kind"] == kind).collect()
}

fn the_one<'m>(manifests: &'m [Value], kind: &str) -> &'m Value {
    let [one] = of_kind(manifests, kind)[..] else { panic!("one {kind}") };
    one
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Of the rendered ConfigMap, as the program reads it.
pub fn config_of(manifests: &[Value]) -> Config {
    let maps = of_kind(manifests, "ConfigMap");
    let map =
        maps.iter().find(|it| it["data"]["assent.yaml"].is_string()).expect("a configuration");
    let folder = tempfile::tempdir().expect("temp dir").keep();
    let file = folder.join("assent.yaml");
    std::fs::write(&file, text(&map["data"], "assent.yaml")).expect("written");
    std::fs::write(folder.join("rulebook.yaml"), text(&map["data"], "rulebook.yaml"))
        .expect("written");
    let mut config = assent::config::load(Some(&file), &[].into()).expect("it is accepted");
    assert_eq!(config.rulebook, Path::new("/etc/assent/rulebook.yaml"));
    config.rulebook = folder.join("rulebook.yaml");
    config
}

#[test]
fn helm_finds_no_fault() {
    let program = tool_or_skip!("helm");
    for values in WITH_SERVE {
        let linted = helm(&program, &["lint", "--strict"], values, &[]).ok();
        assert!(linted.stdout.contains("0 chart(s) failed"), "{}", linted.stdout);
    }
}

#[test]
fn manifests_are_what_kubernetes_takes() {
    let program = tool_or_skip!("helm");
    let kubeconform = tool_or_skip!("kubeconform");
    if !root().join(SCHEMAS).is_dir() {
        return leave_out(&LeftOut::because(
            "Kubernetes' schemas are not here; scripts/deploy-tools brings them",
        ));
    }
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("rendered.yaml");
    for values in WITH_SERVE {
        for version in KUBERNETES {
            let rendered = template(&program, values, &["--kube-version", version]).ok().stdout;
            std::fs::write(&file, &rendered).expect("written");
            let mut command = Command::new(&kubeconform);
            command.current_dir(root()).args([
                "-strict",
                "-summary",
                "-kubernetes-version",
                version,
            ]);
            for place in [&format!("{SCHEMAS}/{{{{.NormalizedKubernetesVersion}}}}"), CUSTOM] {
                let schema = format!("{place}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json");
                command.args(["-schema-location", &schema]);
            }
            let done = Finished::of(command.arg(&file)).ok();
            assert!(done.stdout.contains("Invalid: 0, Errors: 0, Skipped: 0"), "{}", done.stdout);
        }
    }
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let program = tool_or_skip!("helm");
    for (more, said) in [
        (&["--set-file", "rulebook=/dev/null"][..], "rulebook is empty: --set-file rulebook="),
        (&["--set", "keyset.secret="], "keyset.secret is empty"),
        (&["--set", "config.kafka.bootstrap_servers=null"], "/config/kafka/bootstrap_servers"),
        (&["--set", "replica=3"], "additional properties 'replica' not allowed"),
        (&["--set", "config.keyset=k"], "additional properties 'keyset' not allowed"),
        (&["--set", "config.pipeline.state_dir=/tmp"], "/config/pipeline/state_dir"),
        (&["--set", r"config.kafka.properties.sasl\.password=secret"], "sasl.password"),
        (&["--set", "podMonitor.interval=60s"], "/podMonitor/interval"),
        (&["--set", "serve.enabled=true"], "config.serve.clients is empty"),
        (&["--set", "serve.config.serve.listen=x"], "/serve/config/serve/listen"),
        (&["--set", "strimzi.enabled=true"], "strimzi.cluster is empty"),
        (
            &[
                "--set",
                "strimzi.enabled=true,strimzi.cluster=k,strimzi.users[0].name=a,strimzi.users[0].reader=b",
            ],
            "reader b is not `contextual`, `audit` or a purpose",
        ),
        (
            &[
                "--set",
                "strimzi.enabled=true,strimzi.cluster=k,strimzi.users[0].name=a,strimzi.users[0].canary=true",
            ],
            "the rulebook does not say `canary: true`",
        ),
        (
            &[
                "--set",
                "strimzi.enabled=true,strimzi.cluster=k,strimzi.users[0].name=assent,strimzi.users[0].reader=audit",
            ],
            "is Assent itself",
        ),
    ] {
        let refused = template(&program, "least", more);
        assert_ne!(refused.code, Some(0), "{more:?}");
        assert!(refused.stderr.contains(said), "{more:?}: {}", refused.stderr);
    }
    let mut command = Command::new(&program);
    command.current_dir(root()).args([
        "template",
        "assent",
        CHART,
        "--kube-version",
        KUBERNETES[0],
    ]);
    let refused = Finished::of(&mut command);
    assert!(
        refused.stderr.contains("config.kafka.bootstrap_servers is missing"),
        "{}",
        refused.stderr
    );
}

/// With nothing switched on there is nothing that a cluster without operators refuses.
#[test]
fn what_needs_an_operator_is_behind_a_switch() {
    let program = tool_or_skip!("helm");
    let kinds = |values| -> BTreeSet<String> {
        manifests(&program, values, &[]).iter().map(|it| text(it, "kind").to_owned()).collect()
    };
    let least = kinds("least");
    let own = [
        "ConfigMap",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    ];
    assert!(least.iter().eq(own), "{least:?}");
    let all = kinds("all");
    let more: Vec<_> = all.difference(&least).collect();
    assert_eq!(more, ["KafkaTopic", "KafkaUser", "PodMonitor", "PrometheusRule"]);
}

#[test]
fn the_configuration_is_accepted_and_its_paths_are_mounted() {
    let program = tool_or_skip!("helm");
    for values in VALUES {
        let manifests = manifests(&program, values, &[]);
        let config = config_of(&manifests);
        assert_eq!(config.http.listen.to_string(), "0.0.0.0:9464", "127.0.0.1 of a pod is its own");
        let pod = &the_one(&manifests, "StatefulSet")["spec"]["template"]["spec"];
        let mounts: Vec<_> = list(&pod["containers"][0]["volumeMounts"]).collect();
        let mount = |path: &Path| {
            let found = mounts.iter().find(|it| path.starts_with(text(it, "mountPath")));
            *found.unwrap_or_else(|| panic!("{}: nothing is mounted", path.display()))
        };
        assert_eq!(mount(&config.keyset)["name"], "keyset");
        assert_eq!(mount(&config.pipeline.state_dir)["name"], "state");
        assert!(mount(&config.pipeline.state_dir)["readOnly"].is_null());
        for (name, value) in &config.kafka.properties {
            let named = format!("{value:?}");
            if let Some((_, path)) = named.split_once("/run/secrets/") {
                let path = format!("/run/secrets/{}", path.trim_end_matches(['"', ')']));
                assert!(
                    text(mount(Path::new(&path)), "name").starts_with("secret-"),
                    "{name}: {path}"
                );
            }
        }
        let keyset = list(&pod["volumes"]).find(|it| it["name"] == "keyset").expect("a volume");
        assert_eq!(keyset["secret"]["defaultMode"], "0440", "the program refuses more");
        let key = config.keyset.file_name().and_then(|it| it.to_str()).expect("a name");
        assert_eq!(keyset["secret"]["items"][0]["path"], key);
    }
}

/// Kubernetes' restricted profile, and the image's own user, port and program.
#[test]
fn pods_may_do_nothing_that_they_need_not() {
    let program = tool_or_skip!("helm");
    let dockerfile = read("Dockerfile");
    for values in VALUES {
        let manifests = manifests(&program, values, &[]);
        let set = &the_one(&manifests, "StatefulSet")["spec"];
        let pod = &set["template"]["spec"];
        let container = &pod["containers"][0];
        let (of_pod, of_container) = (&pod["securityContext"], &container["securityContext"]);
        assert_eq!(of_pod["runAsNonRoot"], "true");
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
        let user = format!("\nUSER {}:{}\n", text(of_pod, "runAsUser"), text(of_pod, "runAsGroup"));
        assert!(dockerfile.contains(&user), "{user}");
        assert_eq!(of_container["readOnlyRootFilesystem"], "true");
        assert_eq!(of_container["allowPrivilegeEscalation"], "false");
        assert_eq!(of_container["capabilities"]["drop"], serde_json::json!(["ALL"]));
        assert_eq!(pod["automountServiceAccountToken"], "false");
        let account = the_one(&manifests, "ServiceAccount");
        assert_eq!(account["automountServiceAccountToken"], "false");
        assert_eq!(account["metadata"]["name"], pod["serviceAccountName"]);
        let port = text(&container["ports"][0], "containerPort");
        assert!(dockerfile.contains(&format!("\nEXPOSE {port}\n")));
        let grace: u32 = text(pod, "terminationGracePeriodSeconds").parse().expect("seconds");
        assert!(grace > 10, "run drains for up to 10 s");
        assert_eq!(
            (&set["podManagementPolicy"], &set["volumeClaimTemplates"][0]["metadata"]["name"]),
            (&"Parallel".into(), &"state".into())
        );
        for (probe, path) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"]["path"], path);
        }
        let arguments: Vec<_> =
            list(&container["args"]).map(|it| it.as_str().expect("text")).collect();
        let done = Finished::of(Assent::command().args(&arguments).arg("--help"));
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    }
}

#[test]
fn a_change_of_configuration_or_rulebook_rolls_the_pods_and_nothing_else_does() {
    let program = tool_or_skip!("helm");
    let hash = |more: &[&str]| {
        let manifests = manifests(&program, "least", more);
        let set = the_one(&manifests, "StatefulSet");
        text(&set["spec"]["template"]["metadata"]["annotations"], "checksum/config").to_owned()
    };
    let first = hash(&[]);
    assert_eq!(hash(&["--set", "replicas=5,podMonitor.enabled=true"]), first);
    assert_ne!(hash(&["--set", "config.consent.max_sync_lag=30s"]), first);
    assert_ne!(hash(&["--set-file", "rulebook=examples/ecom/rulebook.yaml"]), first);
}

#[test]
fn the_network_is_open_to_prometheus_brokers_and_registry_alone() {
    let program = tool_or_skip!("helm");
    let ports = |more: &[&str]| -> Vec<String> {
        let manifests = manifests(&program, "all", more);
        let egress = &the_one(&manifests, "NetworkPolicy")["spec"]["egress"];
        let [dns, brokers] = list(egress).collect::<Vec<_>>()[..] else { panic!("two rules") };
        assert_eq!(list(&dns["ports"]).count(), 2);
        assert!(brokers["to"].is_array());
        list(&brokers["ports"]).map(|it| text(it, "port").to_owned()).collect()
    };
    assert_eq!(ports(&[]), ["9093", "9094", "443"]);
    assert_eq!(ports(&["--set", "networkPolicy.ports={9100}"]), ["9100"]);
    let closed = manifests(&program, "least", &["--set", "networkPolicy.metricsFrom=null"]);
    assert_eq!(the_one(&closed, "NetworkPolicy")["spec"]["ingress"], serde_json::json!([]));
}

#[test]
fn alerts_are_the_rules_file_with_the_shops_runbooks() {
    let program = tool_or_skip!("helm");
    let manifests = manifests(&program, "all", &[]);
    let expected =
        read(RULES).replace("https://assent.example/runbooks", "https://wiki.example/assent");
    assert_eq!(
        the_one(&manifests, "PrometheusRule")["spec"]["groups"],
        yaml::parse(&expected)["groups"]
    );
    let endpoint = &the_one(&manifests, "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    let pod = &the_one(&manifests, "StatefulSet")["spec"]["template"]["spec"];
    assert_eq!(endpoint["port"], pod["containers"][0]["ports"][0]["name"]);
}

#[test]
fn its_version_is_the_programs() {
    let chart = yaml::parse(&read(&format!("{CHART}/Chart.yaml")));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    let oldest = format!(">={}-0", KUBERNETES[0]);
    assert_eq!(chart["kubeVersion"], oldest);
}

/// Each value is in the schema, and each that is documented is there.
#[test]
fn every_value_is_in_the_schema() {
    let values = yaml::parse(&read(&format!("{CHART}/values.yaml")));
    let schema: Value =
        serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).expect("JSON");
    let of = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("a mapping").keys().filter(|it| *it != "global").cloned().collect()
    };
    assert_eq!(of(&values), of(&schema["properties"]));
    for (name, value) in values.as_object().expect("a mapping") {
        let within = &schema["properties"][name]["properties"];
        if value.is_object() && within.is_object() && name != "config" {
            assert_eq!(of(value), of(within), "{name}");
        }
    }
}
