//! `assent serve` in the chart: pods of their own, which nothing takes for those that decide.

use std::path::Path;

use serde_json::Value;

use super::chart::manifests;
use super::{text, tool_or_skip};
use crate::support::{Assent, Finished};

const NAME: &str = "assent-serve";

fn of<'m>(manifests: &'m [Value], kind: &str) -> &'m Value {
    let found = manifests.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == NAME);
    found.unwrap_or_else(|| panic!("no {kind} {NAME}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn its_configuration_is_accepted_and_its_paths_are_mounted() {
    let program = tool_or_skip!("helm");
    let manifests = manifests(&program, "serve", &[]);
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("assent.yaml");
    let written = text(&of(&manifests, "ConfigMap")["data"], "assent.yaml");
    std::fs::write(&file, written).expect("written");
    let config = assent::config::load(Some(&file), &[].into()).expect("it is accepted");
    assert_eq!(config.serve.listen.to_string(), "0.0.0.0:8470");
    let user = &config.kafka.properties["ssl.certificate.location"];
    assert!(format!("{user:?}").contains("/run/secrets/front/"), "a user of its own: {user:?}");

    let pod = &of(&manifests, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mounts: Vec<&Value> = list(&container["volumeMounts"]).collect();
    let tls = config.serve.tls.as_ref().expect("TLS");
    let clients = config.serve.clients.iter().map(|it| it.token_file.as_path());
    let paths = [config.keyset.as_path(), &tls.cert_file, &tls.key_file].into_iter().chain(clients);
    for path in paths.chain([Path::new("/run/secrets/front/user.crt")]) {
        let is_mounted = mounts.iter().any(|it| path.starts_with(text(it, "mountPath")));
        assert!(is_mounted, "{}", path.display());
    }
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], "true");
    assert_eq!(pod["automountServiceAccountToken"], "false");
    let arguments: Vec<_> = list(&container["args"]).map(|it| it.as_str().expect("text")).collect();
    let done = Finished::of(Assent::command().args(&arguments).arg("--help"));
    assert_eq!((done.code, arguments.last()), (Some(0), Some(&"serve")), "{}", done.stderr);
}

/// What selects the pods that decide must not find these, nor the other way round.
#[test]
fn its_pods_are_told_from_those_that_decide() {
    let program = tool_or_skip!("helm");
    let manifests = manifests(&program, "serve", &[]);
    let labels = |kind: &str, name: &str| {
        let found =
            manifests.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
        found.expect(kind)["spec"]["template"]["metadata"]["labels"].clone()
    };
    let (deciding, serving) = (labels("StatefulSet", "assent"), labels("Deployment", NAME));
    let mut selectors = 0;
    for manifest in &manifests {
        let spec = &manifest["spec"];
        let selector = match text(manifest, "kind") {
            "Service" => &spec["selector"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            "StatefulSet" | "Deployment" | "PodDisruptionBudget" | "PodMonitor" => {
                &spec["selector"]["matchLabels"]
            }
            _ => continue,
        };
        selectors += 1;
        let finds = |labels: &Value| {
            let wanted = selector.as_object().expect("labels");
            wanted.iter().all(|(name, value)| labels[name] == *value)
        };
        let is_of_serve = manifest["metadata"]["name"] == NAME;
        assert_eq!((finds(&serving), finds(&deciding)), (is_of_serve, !is_of_serve), "{manifest}");
    }
    assert_eq!(selectors, 10, "five of each");
    let port = &of(&manifests, "Service")["spec"]["ports"][0];
    let ports = &of(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert!(list(ports).any(|it| it["name"] == port["targetPort"]), "{port}");
    let open = &of(&manifests, "NetworkPolicy")["spec"]["ingress"][0];
    assert_eq!(open["ports"][0]["port"], port["targetPort"]);
}
