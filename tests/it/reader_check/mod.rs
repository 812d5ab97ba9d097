//! `assent reader check` on a real Kafka: the examples in Python and Java pass it, and each of some planted
//! mistakes is found and named.

pub mod java;
mod mistakes;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::Command;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::Value;

use crate::examples::python;
use crate::support::{Finished, Kafka, LeftOut, Shop, leave_out};

/// All that is checked.
const CHECKED: [&str; 12] =
    ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R10", "R11", "R12", "R13"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The command that starts the example in Python, as it is or with a mistake.
fn in_python(script: &Path) -> Result<Vec<String>, LeftOut> {
    let words = [python()?.display().to_string(), script.display().to_string()];
    Ok([&words[..], &["check-protocol".to_owned()]].concat())
}

fn example() -> PathBuf {
    root().join("examples/reader/segments.py")
}

/// `assent reader check OPTIONS --topic <this shop's> -- READER`.
fn check(shop: &Shop<'_>, options: &[&str], reader: &[String]) -> Command {
    let topic = shop.topic("reader-check");
    let mut command = shop.command(&["reader", "check", "--topic", &topic]);
    command.args(options).arg("--").args(reader);
    command
}

/// The ids of the rules with this result, of what `--json` says.
fn with(result: &str, finished: &Finished) -> Vec<String> {
    let found = finished.json();
    let rules = found["rules"].as_array().expect("rules").iter();
    let rules = rules.filter(|rule| rule["result"] == result);
    rules.map(|rule| rule["id"].as_str().expect("an id").to_owned()).collect()
}

fn topics(kafka: &Kafka) -> Vec<String> {
    let client: BaseConsumer = kafka.client().create().expect("a client");
    let found = client.fetch_metadata(None, std::time::Duration::from_secs(30)).expect("metadata");
    found.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

fn assert_gone(shop: &Shop<'_>) {
    let topic = shop.topic("reader-check");
    assert!(!topics(shop.kafka).contains(&topic), "{topic} is left behind");
}

#[test]
fn the_example_in_python_keeps_every_rule() {
    let kafka = kafka_or_skip!();
    let reader = match in_python(&example()) {
        Ok(reader) => reader,
        Err(why) => return leave_out(&why),
    };
    let shop = Shop::open(kafka);
    let finished = Finished::of(&mut check(&shop, &["--json"], &reader)).ok();
    assert_eq!(with("ok", &finished), CHECKED, "{}", finished.stdout);
    assert_eq!(with("not_checked", &finished), ["R9"]);
    assert_eq!(finished.json()["ok"], Value::Bool(true));
    assert_gone(&shop);
}

#[test]
fn a_line_a_rule_and_one_rule_alone() {
    let kafka = kafka_or_skip!();
    let reader = match in_python(&example()) {
        Ok(reader) => reader,
        Err(why) => return leave_out(&why),
    };
    let shop = Shop::open(kafka);
    let finished = Finished::of(&mut check(&shop, &["--rule", "R8", "--rule", "R9"], &reader)).ok();
    let expected = "rule R8 default: ok\nrule R9 one-purpose: not checked: what else a reader does with a key \
                    can't be seen from here\n";
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), (expected, ""));
}
