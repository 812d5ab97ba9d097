//! A public clickstream that nobody here wrote, through the whole program, held against the reference
//! model: every audit entry, every record of the segment topics byte for byte, every live key.
//!
//! Inputs come from the files of examples/ecom, not from the topics: so the replay is held to its
//! order and its shift, too. Left out where PyPI can't be reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::outcome::Outcome;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::time::{Span, Timestamp};

use crate::support::{self, Finished, LeftOut, Plan, Service, Shop, wait_until};
use crate::told::{self, Inputs, Said, Told};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ecom");
const DECIDED_WITHIN: Duration = Duration::from_mins(2);
/// `fetch.py` could not reach PyPI.
const NOT_REACHABLE: i32 = 69;

#[test]
fn a_public_clickstream_is_decided_as_the_model_says() {
    let kafka = kafka_or_skip!();
    let text = std::fs::read_to_string(format!("{EXAMPLE}/rulebook.yaml")).expect("a rulebook");
    let shop = Shop::open_with(kafka, &Plan { rulebook: Some(text.clone()), ..Plan::default() });
    if let Err(why) = fetch(shop.folder()) {
        return support::leave_out(&why);
    }
    let replay = ["--json", "replay", "consent.jsonl", "clicks.jsonl", "--shift-to", "now"];
    let shifted_ms = shop.run(&replay).ok().json()["shifted_ms"].as_i64().expect("shifted_ms");
    let inputs = inputs(&shop, shifted_ms);

    let service = Service::start(&shop, "a");
    wait_until(DECIDED_WITHIN, "everything decided", || {
        let decided = service.metrics().count("assent_outcomes_total", &[]);
        (decided == inputs.count()).then_some(())
    });
    service.stop();

    let told = told::hold(&shop, &text, &inputs);
    assert_telling(&told);
}

/// Runs the example's script; its two files are then in `folder`.
fn fetch(folder: &Path) -> Result<(), LeftOut> {
    let script = format!("{EXAMPLE}/fetch.py");
    let fetched = Finished::of(Command::new("python3").arg(script).arg(folder));
    if fetched.code == Some(NOT_REACHABLE) {
        return Err(LeftOut::because(fetched.stderr.trim()));
    }
    fetched.ok();
    Ok(())
}

/// As the files say, in the order of the offsets, which begin at 0: not as the topics have them.
fn inputs(shop: &Shop<'_>, shifted_ms: i64) -> Inputs {
    let by = Span(shifted_ms);
    let mut inputs = Inputs::default();
    for mut click in lines::<ClickEvent>(shop, "clicks.jsonl") {
        click.occurred_at = click.occurred_at + by;
        let partition = Partitioner::Murmur2.partition(click.key().as_bytes(), shop.partitions);
        let here = inputs.clicks.entry(partition).or_default();
        here.insert(here.len() as i64, click);
    }
    let mut appended: BTreeMap<i32, Vec<Timestamp>> = BTreeMap::new();
    for record in shop.committed("consent-changelog") {
        appended.entry(record.partition).or_default().push(Timestamp(record.timestamp));
    }
    for mut record in lines::<ConsentRecord>(shop, "consent.jsonl") {
        shift(&mut record, by);
        let subject_id = record.subject_id.clone();
        let partition = Partitioner::Murmur2.partition(subject_id.as_bytes(), shop.partitions);
        let here = inputs.consents.entry(partition).or_default();
        let append_time = appended[&partition][here.len()];
        here.insert(here.len() as i64, Said { subject_id, record: Some(record), append_time });
    }
    inputs
}

fn lines<T: serde::de::DeserializeOwned>(shop: &Shop<'_>, file: &str) -> Vec<T> {
    let text = std::fs::read_to_string(shop.folder().join(file)).expect("a file of the example");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn shift(record: &mut ConsentRecord, by: Span) {
    let decisions = record.decisions.values_mut();
    let ends = decisions.flat_map(|it| [Some(&mut it.since), it.expires_at.as_mut()]).flatten();
    let guardian = record.guardian.iter_mut().map(|it| &mut it.verified_at);
    let optional = [&mut record.double_opt_in_at, &mut record.opt_out_signal_at];
    let optional = optional.into_iter().filter_map(Option::as_mut);
    for time in ends.chain(guardian).chain(optional).chain([&mut record.recorded_at]) {
        *time = *time + by;
    }
}

/// The data reaches what it is chosen for.
fn assert_telling(told: &Told) {
    let verdicts = [
        "OPT_IN",
        "GUARDIAN_OPT_IN",
        "NO_CONSENT_RECORD",
        "OPTED_OUT",
        "OPT_OUT_SIGNAL",
        "GUARDIAN_CONSENT_MISSING",
        "OWN_OPT_IN_MISSING",
        "CONSENT_EXPIRED",
    ];
    for verdict in verdicts {
        assert!(told.verdicts.contains_key(verdict), "{verdict} in {:?}", told.verdicts);
    }
    for outcome in [Outcome::Decided, Outcome::TooLate, Outcome::Applied] {
        assert!(told.outcomes.contains_key(outcome.symbol()), "{:?}", told.outcomes);
    }
    assert!(told.live.len() > 100, "{} live keys", told.live.len());
}
