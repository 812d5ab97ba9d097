//! One right less than what is printed: `run` and `check` name it with the command that grants it, and that command
//! runs as pasted.

use serde_json::Value;

use super::{Environment, Login, Secured, borrowed, run_as, secured_or_skip, told};
use crate::support::{Service, Shop};

/// One right of what is printed.
pub struct Grant {
    /// The command that grants it alone.
    pub given_by: String,
    pub operation: String,
    /// As messages name it.
    pub resource: String,
}

impl Grant {
    /// Nobody says which right to a transactional id is missing.
    pub fn is_told(&self) -> String {
        let or_describe = if self.is_of_transactions() { " or Describe" } else { "" };
        format!("this user may not {}{or_describe} {}; run `", self.operation, self.resource)
    }

    pub fn is_of_transactions(&self) -> bool {
        self.resource.starts_with("the transactional")
    }

    pub fn taken_by(&self) -> String {
        self.given_by.replace(" --add ", " --remove ")
    }
}

/// Each right that is printed, by itself; whatever includes Describe besides.
pub fn each(printed: &str) -> Vec<Grant> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split(" --operation ").collect();
        let (last, resource) = words.last().unwrap().split_once(' ').expect("a resource");
        let operations: Vec<&str> =
            words[1..words.len() - 1].iter().copied().chain([last]).collect();
        let name = resource.split('\'').nth(1).expect("a name");
        let named = match resource.split(' ').next().expect("an option") {
            "--topic" => format!("topic {name}"),
            "--group" => format!("the group {name}"),
            _ => format!("the transactional ids that begin with {name}"),
        };
        let begin = words[0].to_owned();
        let resource = resource.to_owned();
        operations
            .into_iter()
            .map(|operation| Grant {
                given_by: format!("{begin} --operation {operation} {resource}\n"),
                operation: operation.to_owned(),
                resource: named.clone(),
            })
            .collect::<Vec<_>>()
    };
    printed.lines().flat_map(of_line).filter(|it| !it.operation.starts_with("Describe")).collect()
}

/// Somebody who runs Assent, and what was granted to them.
pub fn assent(secured: &Secured, shop: &Shop<'_>) -> (Environment, String) {
    let name = format!("assent-{}", shop.name);
    let printed = Secured::printed(shop, &format!("User:{name}"), &[]);
    secured.obey(Some(&name), &printed);
    (secured.environment(Login::Scram512, &name), printed)
}

#[test]
fn each_right_that_is_missing_is_named_and_granted_as_pasted() {
    let secured = secured_or_skip!();
    let shop = secured.shop("lacking-1");
    let (environment, printed) = assent(secured, &shop);
    let grants = each(&printed);
    assert_eq!(grants.len(), 13, "{printed}");
    for grant in &grants {
        secured.obey(None, &grant.taken_by());
        let ended = run_as(&shop, &environment, &["run"]);
        let line = one_message(&ended, &grant.operation);
        let expect = grant.is_told();
        assert!(line.contains(&expect), "{line}\nlacks {expect}");
        let command = line.split('`').nth(1).expect("a command");
        if !grant.is_of_transactions() {
            let own = grant.given_by.trim().replace(secured.kafka.bootstrap(), &at(&environment));
            assert_eq!(command, own);
            let checked = run_as(&shop, &environment, &["check", "--json"]);
            assert_eq!(checked.code, Some(1), "{checked:?}");
            let told = refusals(&checked.json());
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(line.contains(&told[0]), "{line}\nand {}", told[0]);
        }
        // As its administrator, who reaches the brokers elsewhere.
        secured.obey(None, &command.replace(&at(&environment), secured.kafka.bootstrap()));
    }
    run_as(&shop, &environment, &["check"]).ok();
    let service = Service::start_with(&shop, "a", &borrowed(&environment));
    service.await_ready();
    service.stop();
}

/// A whole line less: also nobody says whether the topic is there.
#[test]
fn a_topic_or_group_without_any_right_is_named() {
    let secured = secured_or_skip!();
    let shop = secured.shop("lacking-2");
    let (environment, printed) = assent(secured, &shop);
    for line in printed.lines().map(|line| format!("{line}\n")) {
        secured.obey(None, &line.replace(" --add ", " --remove "));
        let ended = run_as(&shop, &environment, &["run"]);
        let message = one_message(&ended, &line);
        let [grant, ..] = &each(&line)[..] else { panic!("{line}") };
        assert!(message.contains(" or Describe "), "{message}");
        assert!(message.contains(&format!("{}; run `", grant.resource)), "{message}");
        secured.obey(None, &line);
    }
}

/// Settings that an invariant rests on must be known; others are told.
#[test]
fn settings_that_may_not_be_read_are_refused_or_told() {
    let secured = secured_or_skip!();
    let shop = secured.shop("lacking-3");
    let (environment, printed) = assent(secured, &shop);
    let configs = |topic: &str| {
        let line = printed.lines().find(|line| line.contains(topic)).expect("a line");
        let (begin, resource) = line.split_once(" --operation ").expect("operations");
        let resource = &resource[resource.find("--topic").expect("a topic")..];
        format!("{begin} --operation DescribeConfigs {resource}\n")
    };
    let consent = configs("consent-changelog");
    secured.obey(None, &consent.replace(" --add ", " --remove "));
    let ended = run_as(&shop, &environment, &["run"]);
    let message = one_message(&ended, "DescribeConfigs");
    assert!(message.contains("topics.consent: this user may not describe topic"), "{message}");
    secured.obey(None, &consent);
}

fn at(environment: &Environment) -> String {
    let is_address = |(name, _): &&(String, String)| name.ends_with("BOOTSTRAP_SERVERS");
    environment.iter().find(is_address).expect("an address").1.clone()
}

fn one_message(ended: &crate::support::Finished, what: &str) -> String {
    assert_eq!(ended.code, Some(78), "{what}: {ended:?}");
    let lines = told(ended);
    let [line] = lines[..] else { panic!("{what}: one message, not {lines:#?}") };
    line.to_owned()
}

/// What `run` would refuse, by `check`.
fn refusals(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings");
    let refused = findings.iter().filter(|finding| finding["refuses"] == true);
    refused.map(|finding| finding["detail"].as_str().expect("a detail").to_owned()).collect()
}
