//! What each role needs of topics, groups and transactional ids: what `check --print-acls` prints, and what is
//! looked for before something is begun that would fail for want of it. Pure.

use std::collections::BTreeSet;
use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::topic_plan::{Role, TopicPlan};
use crate::config::{Config, shell_word};
use crate::failure::Failure;
use assent_contract::domain::ids::CANARY_PURPOSE;
use assent_contract::rulebook::Rulebook;

/// In the order in which they are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    Read,
    Write,
    Describe,
    DescribeConfigs,
    Create,
}

impl Right {
    /// As Kafka's own scripts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::Create => "Create",
        }
    }
}

pub type Rights = BTreeSet<Right>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(String),
    Group(String),
    /// All that begin so.
    TransactionalIds(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(name) => write!(f, "the group {name}"),
            Self::TransactionalIds(beginning) => {
                write!(f, "the transactional ids that begin with {beginning}")
            }
        }
    }
}

/// What somebody needs of a resource, or lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The configuration key that names the resource.
    pub key: &'static str,
    pub resource: Resource,
    pub rights: Vec<Right>,
}

const ACKS: &str = "topics.reader_acks";

const TO_READ: &[Right] = &[Right::Read, Right::Describe, Right::DescribeConfigs];

/// Of `run`.
pub fn of_assent(config: &Config, plans: &[TopicPlan]) -> Vec<Need> {
    use Right::{Describe, DescribeConfigs, Read, Write};
    let of_topic = |plan: &TopicPlan| match plan.role {
        // Misrouted consent is sent on to its right partition.
        Role::Input if plan.name == config.topics.consent => {
            &[Read, Write, Describe, DescribeConfigs][..]
        }
        Role::Input => TO_READ,
        Role::Alongside => &[Read, Write, Describe, DescribeConfigs],
        Role::Output | Role::Aside | Role::Served | Role::ServedAlongside => {
            &[Write, Describe, DescribeConfigs]
        }
    };
    let own = plans.iter().filter(|plan| plan.role != Role::Aside);
    let mut needs: Vec<Need> = own.map(|plan| Need::of(plan, of_topic(plan).to_vec())).collect();
    needs.push(Need {
        key: "kafka.group_id",
        resource: Resource::Group(config.kafka.group_id.clone()),
        rights: vec![Read, Describe],
    });
    needs.push(of_transactions(config));
    needs
}

/// Of `run` where purposes have readers: what they have not read yet is looked at. Without it their lag is not
/// known, and nothing else is missing.
pub fn add_reader_lag_rights(needs: &mut Vec<Need>, config: &Config, rulebook: &Rulebook) {
    let read = rulebook.purposes.iter().filter(|purpose| !purpose.readers.is_empty());
    for purpose in read {
        let topic = Resource::Topic(config.topics.segments_of(&purpose.id));
        let of_topic = needs.iter_mut().filter(|need| need.resource == topic);
        of_topic.for_each(|need| need.rights.insert(0, Right::Read));
    }
    needs.extend(of_groups_of_readers(config, rulebook));
}

/// Of `run`'s producers.
pub fn of_transactions(config: &Config) -> Need {
    Need {
        key: "kafka.group_id",
        resource: Resource::TransactionalIds(format!("{}-", config.kafka.group_id)),
        rights: vec![Right::Write, Right::Describe],
    }
}

/// Of `verify` and `report readers`, which only read.
pub fn of_verifier(config: &Config, rulebook: &Rulebook, plans: &[TopicPlan]) -> Vec<Need> {
    let is_read = |plan: &&TopicPlan| plan.role != Role::Aside || plan.key == ACKS;
    let mut needs: Vec<Need> =
        plans.iter().filter(is_read).map(|plan| Need::of(plan, TO_READ.to_vec())).collect();
    needs.extend(of_groups_of_readers(config, rulebook));
    needs.push(of_readers_group(config));
    needs
}

/// To ask what the groups of declared readers have committed.
fn of_groups_of_readers(config: &Config, rulebook: &Rulebook) -> impl Iterator<Item = Need> {
    let readers = rulebook.purposes.iter().flat_map(|purpose| &purpose.readers);
    let groups: BTreeSet<&str> = readers.map(|reader| &*reader.group_id).collect();
    let others = groups.into_iter().filter(|group| *group != config.kafka.group_id);
    let need = |group: &str| Need {
        key: "rulebook",
        resource: Resource::Group(group.to_owned()),
        rights: vec![Right::Describe],
    };
    others.map(need).collect::<Vec<_>>().into_iter()
}

/// Of a reader that says how far it has applied segments.
pub fn of_acknowledger(config: &Config) -> Need {
    let resource = Resource::Topic(config.topics.reader_acks.clone());
    Need { key: ACKS, resource, rights: vec![Right::Write, Right::Describe] }
}

/// Of `audit publish`, which reads the audit and nothing else.
pub fn of_publisher(config: &Config) -> Vec<Need> {
    vec![of_reader("topics.audit", config.topics.audit.clone()), of_readers_group(config)]
}

/// Of whoever verifies the audit and asks it: reads the inputs that a decision rested on, and leaves a record of each
/// question. Neither segments nor the state.
pub fn of_auditor(config: &Config) -> Vec<Need> {
    use Right::{Describe, DescribeConfigs, Read, Write};
    let mut needs = of_publisher(config);
    needs.push(of_reader("topics.consent", config.topics.consent.clone()));
    needs.push(of_reader("topics.clickstream", config.topics.clickstream.clone()));
    needs.push(Need {
        key: "topics.audit_access",
        resource: Resource::Topic(config.topics.audit_access.clone()),
        rights: vec![Read, Write, Describe, DescribeConfigs],
    });
    needs
}

/// Of whoever makes reports: reads what they count, and the settings of every topic; writes nothing. Segments
/// are not read, and the state only where the rulebook measures a purpose (`has_measure`).
pub fn of_reporter(config: &Config, plans: &[TopicPlan], has_measure: bool) -> Vec<Need> {
    let topics = &config.topics;
    let read = [
        &topics.audit,
        &topics.consent,
        &topics.clickstream,
        &topics.audit_access,
        &topics.privacy_requests,
    ];
    let of_topic = |plan: &TopicPlan| {
        let is_measured = has_measure && plan.name == topics.state;
        let is_read = is_measured || read.contains(&&plan.name);
        if is_read { TO_READ.to_vec() } else { vec![Right::Describe, Right::DescribeConfigs] }
    };
    let mut needs: Vec<Need> = plans.iter().map(|plan| Need::of(plan, of_topic(plan))).collect();
    needs.push(of_readers_group(config));
    needs
}

/// Nobody joins it: librdkafka wants a group's name before it assigns.
fn of_readers_group(config: &Config) -> Need {
    Need {
        key: "kafka.group_id",
        resource: Resource::Group(format!("{}-verify", config.kafka.group_id)),
        rights: vec![Right::Describe],
    }
}

/// Of somebody who reads one topic.
pub fn of_reader(key: &'static str, topic: String) -> Need {
    Need { key, resource: Resource::Topic(topic), rights: TO_READ.to_vec() }
}

/// Of somebody who writes clicks.
pub fn of_clicks_writer(config: &Config) -> Need {
    let rights = vec![Right::Write, Right::Describe];
    let resource = Resource::Topic(config.topics.clickstream.clone());
    Need { key: "topics.clickstream", resource, rights }
}

/// Of somebody who writes consent, and so reads the record that a new one goes on from.
pub fn of_consent_writer(config: &Config) -> Need {
    let rights = vec![Right::Read, Right::Write, Right::Describe];
    let resource = Resource::Topic(config.topics.consent.clone());
    Need { key: "topics.consent", resource, rights }
}

/// Of `assent serve`, for these purposes: it reads what it answers from, and writes what it takes in.
pub fn of_serve(config: &Config, purposes: &[String]) -> Vec<Need> {
    use Right::{Describe, Read, Write};
    let topics = &config.topics;
    let of_topic = |key, name: &str, rights: &[Right]| Need {
        key,
        resource: Resource::Topic(name.to_owned()),
        rights: rights.to_vec(),
    };
    let group = |name: String, rights: &[Right]| Need {
        key: "kafka.group_id",
        resource: Resource::Group(name),
        rights: rights.to_vec(),
    };
    let (read, both) = (&[Read, Describe], &[Read, Write, Describe]);
    let segments = purposes.iter().map(|purpose| topics.segments_of(purpose));
    let mut needs: Vec<Need> =
        segments.map(|name| of_topic("topics.segments", &name, read)).collect();
    needs.push(of_topic("topics.audit", &topics.audit, read));
    needs.push(of_clicks_writer(config));
    needs.push(of_topic("topics.consent", &topics.consent, both));
    needs.push(of_topic("topics.privacy_requests", &topics.privacy_requests, both));
    needs.push(of_topic("topics.identity_map", &topics.identity_map, both));
    needs.push(of_topic("topics.intake_state", &topics.intake_state, both));
    let group_id = &config.kafka.group_id;
    // Whoever fetches looks for its group's coordinator, although nothing joins the group of `run`.
    needs.push(group(group_id.clone(), &[Describe]));
    needs.push(group(format!("{group_id}-intake"), &[Read, Describe]));
    needs.push(Need {
        key: "kafka.group_id",
        resource: Resource::TransactionalIds(format!("{group_id}-intake-")),
        rights: vec![Write, Describe],
    });
    needs
}

/// Of the canary: it writes what people write, and reads what becomes of it alone.
pub fn of_canary(config: &Config) -> Vec<Need> {
    let topics = &config.topics;
    let of_topic = |key, name: String, right| Need {
        key,
        resource: Resource::Topic(name),
        rights: vec![right, Right::Describe],
    };
    vec![
        of_clicks_writer(config),
        of_topic("topics.consent", topics.consent.clone(), Right::Write),
        of_topic("topics.segments", topics.segments_of(CANARY_PURPOSE), Right::Read),
        // Whoever fetches looks for its group's coordinator, although nothing joins the group of `run`.
        Need {
            key: "kafka.group_id",
            resource: Resource::Group(config.kafka.group_id.clone()),
            rights: vec![Right::Describe],
        },
    ]
}

/// Of `topics create`.
pub fn of_creator(plans: &[TopicPlan]) -> Vec<Need> {
    let rights = [Right::Create, Right::Describe, Right::DescribeConfigs];
    plans.iter().map(|plan| Need::of(plan, rights.to_vec())).collect()
}

impl Need {
    fn of(plan: &TopicPlan, rights: Vec<Right>) -> Self {
        Self { key: plan.key, resource: Resource::Topic(plan.name.clone()), rights }
    }

    /// As one kafka-acls command. No `IdempotentWrite` on the cluster: since Kafka 2.8 (KIP-679) Write on a
    /// topic is enough.
    pub fn granted_by(&self, config: &Config, principal: &str) -> String {
        let operations: Vec<&str> = self.rights.iter().map(|right| right.name()).collect();
        let operations = operations.join(" --operation ");
        let resource = match &self.resource {
            Resource::Topic(name) => format!("--topic '{name}'"),
            Resource::Group(name) => format!("--group '{name}'"),
            Resource::TransactionalIds(beginning) => {
                format!("--transactional-id '{beginning}' --resource-pattern-type prefixed")
            }
        };
        format!(
            "kafka-acls.sh {} --add --allow-principal {} --operation {operations} {resource}",
            config.kafka.reached_by_tools(),
            shell_word(principal)
        )
    }

    /// What of it is not among these; `None`: nothing.
    pub fn missing_in(&self, rights: &Rights) -> Option<Self> {
        let lacking = self.rights.iter().filter(|right| !rights.contains(right));
        let rights: Vec<Right> = lacking.copied().collect();
        (!rights.is_empty()).then(|| Self { rights, ..self.clone() })
    }

    /// But for reading settings, which a run can do without; `None`: nothing is left.
    pub fn without_settings(mut self) -> Option<Self> {
        self.rights.retain(|right| *right != Right::DescribeConfigs);
        (!self.rights.is_empty()).then_some(self)
    }

    /// That this is missing, in a sentence.
    pub fn is_missing(&self) -> String {
        let names: Vec<&str> = self.rights.iter().map(|right| right.name()).collect();
        let rights = names.join(" or ");
        format!("{}: this user may not {rights} {}", self.key, self.resource)
    }

    /// How a person fixes that.
    pub fn remedy(&self, config: &Config) -> String {
        let principal = config.kafka.principal();
        format!(
            "run `{}`{}",
            self.granted_by(config, principal.as_deref().unwrap_or("User:NAME")),
            config.kafka.tools_note()
        )
    }

    /// As the end of a command (78).
    pub fn failure(&self, config: &Config) -> Failure {
        Failure::config(format!("{}; {}", self.is_missing(), self.remedy(config)))
    }
}

/// Do the brokers refuse this user something?
pub fn is_refusal(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    code.is_some_and(is_refusal_code)
}

pub fn is_refusal_code(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_reports_reads_the_state_only_where_its_totals_are_asked_for() {
        let config = crate::config::load(None, &std::collections::BTreeMap::new()).unwrap();
        let rulebook = assent_contract::rulebook::compile(
            b"rulebook: 1\ndefault_segment: all\nsegments:\n- {id: a, \
            why: w, owner: o, approach: contextual, when: {page: {category: toys}}}\n",
        );
        let plans = crate::kafka::topic_plan::topic_plans(&config, &rulebook.unwrap());
        let reads_state = |has_measure| {
            let needs = of_reporter(&config, &plans, has_measure);
            let state = needs.iter().find(|need| need.key == "topics.state").unwrap();
            state.rights.contains(&Right::Read)
        };
        assert!(reads_state(true) && !reads_state(false));
    }

    #[test]
    fn what_is_missing_is_one_sentence_and_one_command() {
        let config = crate::config::load(None, &std::collections::BTreeMap::new()).unwrap();
        let [.., group, ids] = &of_assent(&config, &[])[..] else { panic!("two at least") };
        assert_eq!(ids.missing_in(&Rights::from([Right::Write, Right::Describe])), None);
        let missing = group.missing_in(&Rights::from([Right::Describe])).unwrap();
        assert_eq!(missing.is_missing(), "kafka.group_id: this user may not Read the group assent");
        assert_eq!(
            missing.remedy(&config),
            "run `kafka-acls.sh --bootstrap-server localhost:9092 --add --allow-principal \
             User:NAME --operation Read --group 'assent'`"
        );
        let both = ids.missing_in(&Rights::new()).unwrap();
        assert_eq!(
            both.is_missing(),
            "kafka.group_id: this user may not Write or Describe the transactional ids that begin \
             with assent-"
        );
        assert_eq!(both.failure(&config).exit, crate::failure::Exit::Config);
    }
}
