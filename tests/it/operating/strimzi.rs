//! Topics and users by Strimzi: the same that `topics create` would make and `check --print-acls` prints. The chart
//! renders them from a file that is made of both, and what it renders is compared with both again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use assent::config::{Allowed, Client, Config};
use assent::kafka::topic_plan::{served_topic_plans, topic_plans};
use serde_json::{Value, json};

use super::chart::{config_of, manifests};
use super::{generated, read, root, text, tool_or_skip};
use crate::support::{Assent, Finished};

const FILE: &str = "deploy/helm/assent/files/kafka.json";

/// (resource, its name, literal or prefixed) → operations.
type Grants = BTreeMap<(String, String, String), BTreeSet<String>>;

/// What `assent check --print-acls` prints under this configuration.
fn printed(config: &Config, more: &[&str]) -> Grants {
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("assent.yaml");
    let topics = &config.topics;
    let client =
        |it: &Client| json!({"id": it.id, "token_file": it.token_file, "allow": ["lookup"]});
    let clients: Vec<Value> = config.serve.clients.iter().map(client).collect();
    let written = json!({
        "kafka": {"group_id": config.kafka.group_id}, "rulebook": config.rulebook,
        "topics": {
            "clickstream": topics.clickstream, "consent": topics.consent, "segments": topics.segments,
            "contextual": topics.contextual, "audit": topics.audit, "state": topics.state, "dead_letters": topics.dead_letters,
            "privacy_requests": topics.privacy_requests, "identity_map": topics.identity_map, "intake_state": topics.intake_state,
            "reader_acks": topics.reader_acks,
        },
        "serve": {"clients": clients},
    });
    std::fs::write(&file, written.to_string()).expect("written");
    let mut command = Assent::command();
    command
        .arg("--config")
        .arg(&file)
        .args(["--json", "check", "--print-acls", "User:x"])
        .args(more);
    let commands = Finished::of(&mut command).ok().json_lines();
    commands.iter().map(|line| grant_of(text(line, "command"))).collect()
}

/// `kafka-acls.sh … --operation O… --topic 'NAME'`
fn grant_of(command: &str) -> ((String, String, String), BTreeSet<String>) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let behind = |flag: &str| -> Vec<&str> {
        let pairs = words.windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1].trim_matches('\'')).collect()
    };
    let resources =
        [("--topic", "topic"), ("--group", "group"), ("--transactional-id", "transactionalId")];
    let named = resources.iter().find_map(|(flag, kind)| Some((*kind, *behind(flag).first()?)));
    let (kind, name) = named.unwrap_or_else(|| panic!("{command}: of what?"));
    let pattern = behind("--resource-pattern-type");
    let pattern = if pattern == ["prefixed"] { "prefix" } else { "literal" };
    let operations = behind("--operation").into_iter().map(str::to_owned).collect();
    ((kind.to_owned(), name.to_owned(), pattern.to_owned()), operations)
}

/// The file that the chart reads: topics by their configuration key, rights by role, names left open.
fn render() -> String {
    let mut config = assent::config::load(None, &[].into()).expect("the defaults");
    config.rulebook = root().join("rules/children-retail.yaml");
    // Whoever serves has a client.
    config.serve.clients.push(Client {
        id: "any".to_owned(),
        token_file: "any.token".into(),
        allow: [Allowed::Lookup].into(),
        publishable: false,
    });
    let rulebook = assent::config::load_rulebook(&config.rulebook).expect("it compiles").rulebook;
    let purpose = rulebook.purposes[0].id.clone();
    let mut keys: BTreeMap<String, &str> = BTreeMap::new();
    let mut topics: Vec<Value> = Vec::new();
    let served = served_topic_plans(&config);
    for plan in topic_plans(&config, &rulebook).iter().chain(&served) {
        let key = plan.key.strip_prefix("topics.").expect("a key of the topics");
        keys.insert(plan.name.clone(), key);
        if topics.iter().any(|topic| topic["key"] == key) {
            continue;
        }
        let settings: BTreeMap<_, _> =
            plan.settings.iter().map(|(name, it)| (*name, it.value())).collect();
        let named = plan.name.replace(&purpose, "{purpose}");
        let mut topic = json!({"key": key, "default": named, "settings": settings});
        if served.iter().any(|it| it.key == plan.key) {
            topic["serve"] = true.into();
        }
        topics.push(topic);
    }
    let roles = [
        ("run", &[][..]),
        ("verifier", &["--verifier"]),
        ("serve", &["--serve"]),
        ("reader", &["--reader", &purpose]),
    ];
    keys.insert(config.topics.segments_of("canary"), "segments");
    let folder = tempfile::tempdir().expect("temp dir");
    let with_canary = Config { rulebook: with_canary(folder.path()), ..config.clone() };
    let of_canary = left_open(&printed(&with_canary, &["--canary"]), &keys, &config);
    let mut grants: serde_json::Map<String, Value> = roles
        .iter()
        .map(|(role, more)| {
            ((*role).to_owned(), left_open(&printed(&config, more), &keys, &config))
        })
        .collect();
    grants.insert("canary".to_owned(), of_canary);
    let readers = reader_lag_rights(&config);
    format!("{:#}\n", json!({"topics": topics, "grants": grants, "readers": readers}))
}

/// The shipped rulebook with a reader of its first purpose, `mailer`.
fn with_reader(folder: &Path) -> PathBuf {
    let shipped = read("rules/children-retail.yaml");
    let declared = "retention: 90d\n    readers: [{id: mail, kind: own, group_id: mailer}]\n";
    let rulebook = shipped.replacen("retention: 90d\n", declared, 1);
    assert_ne!(rulebook, shipped);
    let file = folder.join("readers.yaml");
    std::fs::write(&file, rulebook).expect("written");
    file
}

/// The shipped rulebook with the canary switched on.
fn with_canary(folder: &Path) -> PathBuf {
    let file = folder.join("canary.yaml");
    let rulebook = format!("canary: true\n{}", read("rules/children-retail.yaml"));
    std::fs::write(&file, rulebook).expect("written");
    file
}

/// What Assent needs besides the rest where a purpose has readers: on that purpose's topic, and on each group.
fn reader_lag_rights(config: &Config) -> Value {
    let folder = tempfile::tempdir().expect("temp dir");
    let before = printed(config, &[]);
    let with_readers = Config { rulebook: with_reader(folder.path()), ..config.clone() };
    let mut more = json!({});
    for ((kind, name, pattern), operations) in printed(&with_readers, &[]) {
        let known = before.get(&(kind.clone(), name, pattern)).cloned().unwrap_or_default();
        let new: Vec<String> = operations.difference(&known).cloned().collect();
        if !new.is_empty() {
            more[&kind] = json!(new);
        }
    }
    more
}

fn left_open(grants: &Grants, keys: &BTreeMap<String, &str>, config: &Config) -> Value {
    let mut open: Vec<Value> = Vec::new();
    for ((kind, name, pattern), operations) in grants {
        let grant = if let Some(key) = keys.get(name).filter(|_| kind == "topic") {
            json!({"resource": kind, "key": key, "operations": operations})
        } else {
            let rest = name.strip_prefix(&config.kafka.group_id).expect("named after the group");
            let name = format!("{{group_id}}{rest}");
            json!({"resource": kind, "name": name, "pattern": pattern, "operations": operations})
        };
        if !open.contains(&grant) {
            open.push(grant);
        }
    }
    open.into()
}

#[test]
fn the_charts_topics_and_rights_are_current() {
    generated(FILE, &render());
}

#[test]
fn topics_are_those_that_topics_create_makes() {
    let helm = tool_or_skip!("helm");
    let manifests = manifests(&helm, "all", &[]);
    let config = config_of(&manifests);
    let rulebook = assent::config::load_rulebook(&config.rulebook).expect("it compiles").rulebook;
    let mut expected = BTreeMap::new();
    for plan in topic_plans(&config, &rulebook).into_iter().chain(served_topic_plans(&config)) {
        let settings: BTreeMap<String, String> =
            plan.settings.iter().map(|(name, it)| ((*name).to_owned(), it.value())).collect();
        expected.insert(plan.name.clone(), settings);
    }
    let mut rendered = BTreeMap::new();
    for topic in manifests.iter().filter(|it| it["kind"] == "KafkaTopic") {
        let settings = topic["spec"]["config"].as_object().expect("settings").iter();
        let settings =
            settings.map(|(name, it)| (name.clone(), it.as_str().expect("text").to_owned()));
        rendered.insert(text(&topic["spec"], "topicName").to_owned(), settings.collect());
        assert_eq!(topic["spec"]["partitions"], "24");
        let kept = &topic["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(kept, "keep", "an uninstall would delete the topic");
    }
    assert_eq!(rendered, expected);
}

#[test]
fn reader_lag_rights_are_those_that_print_acls_prints() {
    let helm = tool_or_skip!("helm");
    let folder = tempfile::tempdir().expect("temp dir");
    let rulebook = format!("rulebook={}", with_reader(folder.path()).display());
    let manifests = manifests(&helm, "all", &["--set-file", &rulebook]);
    let config = config_of(&manifests);
    let users: Vec<&Value> = manifests.iter().filter(|it| it["kind"] == "KafkaUser").collect();
    let of = |name: &str| {
        let user = users.iter().find(|it| it["metadata"]["name"] == name);
        rights(user.expect("a user"))
    };
    let group = ("group".to_owned(), "mailer".to_owned(), "literal".to_owned());
    assert_eq!(of("assent")[&group], ["Describe".to_owned()].into());
    assert_eq!(of("assent"), printed(&config, &[]));
    assert_eq!(of("verify"), printed(&config, &["--verifier"]));
}

/// Of a principal of its own, and of Assent's where `run` has the canary.
#[test]
fn rights_of_the_canary_are_those_that_print_acls_prints() {
    let helm = tool_or_skip!("helm");
    let folder = tempfile::tempdir().expect("temp dir");
    let rulebook = format!("rulebook={}", with_canary(folder.path()).display());
    let user = "strimzi.users[5].name=canary,strimzi.users[5].canary=true,canary.enabled=true";
    let manifests = manifests(&helm, "all", &["--set-file", &rulebook, "--set", user]);
    let config = config_of(&manifests);
    let of = |name: &str| {
        let mut users = manifests.iter().filter(|it| it["kind"] == "KafkaUser");
        rights(users.find(|it| it["metadata"]["name"] == name).expect("a user"))
    };
    let canary = printed(&config, &["--canary"]);
    assert_eq!(of("canary"), canary);
    let mut both = printed(&config, &[]);
    for (resource, operations) in canary {
        both.entry(resource).or_default().extend(operations);
    }
    assert_eq!(of("assent"), both);
    let topics = manifests.iter().filter(|it| it["kind"] == "KafkaTopic");
    let names: BTreeSet<&str> = topics.map(|it| text(&it["spec"], "topicName")).collect();
    assert!(names.contains("shop.canary.segments"), "{names:?}");
    let set = manifests.iter().find(|it| it["kind"] == "StatefulSet").expect("pods");
    let arguments = &set["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(arguments[3], "--canary");
}

#[test]
fn rights_are_those_that_print_acls_prints() {
    let helm = tool_or_skip!("helm");
    let manifests = manifests(&helm, "all", &[]);
    let config = config_of(&manifests);
    let users: Vec<&Value> = manifests.iter().filter(|it| it["kind"] == "KafkaUser").collect();
    let roles: [(&str, &[&str]); 6] = [
        ("assent", &[]),
        ("mail", &["--reader", "personalized-offers"]),
        ("page", &["--reader", "contextual"]),
        ("auditor", &["--reader", "audit"]),
        ("verify", &["--verifier"]),
        ("front", &["--serve"]),
    ];
    assert_eq!(users.len(), roles.len());
    for (name, more) in roles {
        let user = users.iter().find(|it| it["metadata"]["name"] == name).expect(name);
        assert_eq!(rights(user), printed(&config, more), "{name}");
    }
}

fn rights(user: &Value) -> Grants {
    let mut rights = Grants::new();
    for acl in user["spec"]["authorization"]["acls"].as_array().expect("ACLs") {
        let resource = &acl["resource"];
        let of = ["type", "name", "patternType"].map(|field| text(resource, field).to_owned());
        let operations = acl["operations"].as_array().expect("operations").iter();
        let operations = operations.map(|it| it.as_str().expect("text").to_owned()).collect();
        let [kind, name, pattern] = of;
        assert!(rights.insert((kind, name, pattern), operations).is_none(), "{resource} twice");
    }
    rights
}
