//! One deployment of Assent for one test: topics, group and files of its own on a broker that it may
//! share with other tests.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Assent, Finished};
use super::records::{Message, Record, TopicPlan};
use super::{Kafka, avro};

/// The secret of the contract's vectors, version 1: tests know their pseudonyms.
const KEYSET: &str = r#"{"keys":[{"version":1,"status":"active","secret":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}"#;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What a shop has; `Plan::default()` is the shipped rulebook on 4 partitions.
pub struct Plan {
    pub partitions: i32,
    /// YAML; `None`: rules/children-retail.yaml.
    pub rulebook: Option<String>,
    /// Each has its topic `segments.<purpose>`.
    pub purposes: Vec<&'static str>,
    /// Merged over assent.yaml's own: e.g. `json!({"pipeline": {"lease": "1h"}})`.
    pub settings: Value,
    /// Whether the topics are made as the contract wants them.
    pub create_topics: bool,
}

impl Plan {
    /// Whoever looks so many times is in both purposes, as `lookers` and `shown`.
    pub fn of_lookers(version: &str, looks: u32) -> Self {
        let segment = |id: &str, purpose: &str| {
            format!(
                "  - {{id: {id}, title: Who looks, why: To test, owner: o@shop.example, \
                 approach: behavioral, purpose: {purpose}, \
                 when: {{count: {{of: any, within: 7d, at_least: {looks}}}}}}}\n"
            )
        };
        let rulebook = format!(
            "rulebook: {version}\ndefault_segment: everybody\npurposes:\n\
             \x20 - {{id: personalized-offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}}\n\
             \x20 - {{id: partner-advertising, title: Advertising, sale_or_share: true, requires_opt_in: true, retention: 30d}}\n\
             segments:\n{}{}",
            segment("lookers", "personalized-offers"),
            segment("shown", "partner-advertising"),
        );
        Self { rulebook: Some(rulebook), ..Self::default() }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            partitions: 4,
            rulebook: None,
            purposes: vec!["partner-advertising", "personalized-offers"],
            settings: json!({}),
            create_topics: true,
        }
    }
}

pub struct Shop<'k> {
    pub kafka: &'k Kafka,
    /// Begins every topic and is the group's id.
    pub name: String,
    pub partitions: i32,
    folder: TempDir,
    pub(super) starts: AtomicU32,
}

impl<'k> Shop<'k> {
    pub fn open(kafka: &'k Kafka) -> Self {
        Self::open_with(kafka, &Plan::default())
    }

    pub fn open_with(kafka: &'k Kafka, plan: &Plan) -> Self {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("shop-{}-{}", std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::Builder::new().prefix("assent-shop-").tempdir().expect("temp dir");
        let starts = AtomicU32::new(0);
        let shop = Self { kafka, name, partitions: plan.partitions, folder, starts };
        shop.write_files(plan);
        if plan.create_topics {
            kafka.create_topics(&shop.topic_plans(&plan.purposes));
        }
        shop
    }

    /// The name of a topic, by its default name: `shop.topic("clickstream")`.
    pub fn topic(&self, default_name: &str) -> String {
        format!("{}.{default_name}", self.name)
    }

    pub fn segments(&self, purpose: &str) -> String {
        self.topic(&format!("segments.{purpose}"))
    }

    pub fn group_id(&self) -> &str {
        &self.name
    }

    /// assent.yaml, the rulebook, the keyset, the logs of its services.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.folder().join("assent.yaml")
    }

    /// `assent --config <this shop's> <arguments>`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Assent::command();
        command.arg("--config").arg(self.config()).args(arguments).current_dir(self.folder());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.command(arguments))
    }

    /// A ClickEvent, keyed as the contract says; fields that are missing have their defaults.
    pub fn click(&self, event: &Value) -> Message {
        let text = |field: &str| event.get(field).and_then(Value::as_str);
        let key = text("subject_id").or(text("session_id")).expect("a session_id");
        Message::new(self.topic("clickstream")).key(key).value(avro::encode("click_event", event))
    }

    /// A ConsentRecord.
    pub fn consent(&self, record: &Value) -> Message {
        let key = record["subject_id"].as_str().expect("a subject_id");
        let value = avro::encode("consent_record", record);
        Message::new(self.topic("consent-changelog")).key(key).value(value)
    }

    /// A SegmentAssignment as Assent writes it, for tests of readers.
    pub fn assignment(&self, purpose: &str, key: &str, segments: &[&str], expires: i64) -> Message {
        let assignment = json!({
            "pseudonym": key, "purpose": purpose, "segments": segments, "basis": "OPT_IN",
            "decided_at": 0, "expires_at": expires, "rulebook": "test",
        });
        let value = avro::encode("segment_assignment", &assignment);
        Message::new(self.segments(purpose)).key(key).value(value)
    }

    /// A null value: the subject asks for erasure.
    pub fn erasure(&self, subject_id: &str) -> Message {
        Message::new(self.topic("consent-changelog")).key(subject_id)
    }

    /// Everything committed in a topic, by its default name.
    pub fn committed(&self, default_name: &str) -> Vec<Record> {
        self.kafka.read_committed(&self.topic(default_name))
    }

    fn write_files(&self, plan: &Plan) {
        let keyset = self.folder().join("keyset.json");
        std::fs::write(&keyset, KEYSET).expect("written");
        std::fs::set_permissions(&keyset, Permissions::from_mode(0o600)).expect("mode");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/children-retail.yaml");
        let rulebook = plan.rulebook.clone();
        let rulebook = rulebook
            .unwrap_or_else(|| std::fs::read_to_string(shipped).expect("the shipped rulebook"));
        std::fs::write(self.folder().join("rulebook.yaml"), rulebook).expect("written");
        let mut config = self.default_config();
        merge(&mut config, &plan.settings);
        // JSON is YAML.
        std::fs::write(self.config(), format!("{config:#}")).expect("written");
    }

    fn default_config(&self) -> Value {
        json!({
            "kafka": {"bootstrap_servers": self.kafka.bootstrap(), "group_id": self.group_id()},
            "topics": {
                "clickstream": self.topic("clickstream"),
                "consent": self.topic("consent-changelog"),
                "segments": self.topic("segments.{purpose}"),
                "contextual": self.topic("contextual-segments"),
                "audit": self.topic("segmentation-audit"),
                "state": self.topic("assent-state"),
                "dead_letters": self.topic("segmentation-dead-letters"),
                "audit_access": self.topic("segmentation-audit-access"),
                "privacy_requests": self.topic("privacy-requests"),
                "identity_map": self.topic("identity-map"),
                "intake_state": self.topic("consent-intake-state"),
                "reader_acks": self.topic("reader-acks"),
            },
            "rulebook": "rulebook.yaml",
            "keyset": "keyset.json",
            "http": {"listen": "127.0.0.1:0"},
        })
    }

    /// The topics as docs/contract/topics.md has them.
    pub fn topic_plans(&self, purposes: &[&str]) -> Vec<TopicPlan> {
        let plan = |default_name: &str, config| TopicPlan {
            name: self.topic(default_name),
            partitions: self.partitions,
            config,
        };
        let mut plans = vec![
            plan("clickstream", kept(7 * DAY_MS)),
            plan("consent-changelog", {
                let mut config = compacted();
                config.push(("message.timestamp.type", "LogAppendTime".into()));
                config
            }),
            plan("contextual-segments", kept(DAY_MS)),
            plan("segmentation-audit", kept(775 * DAY_MS)),
            plan("assent-state", compacted()),
            plan("segmentation-dead-letters", kept(30 * DAY_MS)),
        ];
        plans.extend(purposes.iter().map(|id| plan(&format!("segments.{id}"), compacted())));
        plans
    }
}

impl Shop<'_> {
    /// The topics that `assent serve` needs besides.
    pub fn served_topic_plans(&self) -> Vec<TopicPlan> {
        ["privacy-requests", "identity-map", "consent-intake-state"]
            .map(|default_name| TopicPlan {
                name: self.topic(default_name),
                partitions: self.partitions,
                config: compacted(),
            })
            .into()
    }
}

fn kept(retention_ms: i64) -> Vec<(&'static str, String)> {
    vec![("cleanup.policy", "delete".into()), ("retention.ms", retention_ms.to_string())]
}

fn compacted() -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".into()),
        ("max.compaction.lag.ms", DAY_MS.to_string()),
        ("segment.ms", HOUR_MS.to_string()),
        ("delete.retention.ms", (30 * DAY_MS).to_string()),
    ]
}

/// Lays `over` over `base`, field by field.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
