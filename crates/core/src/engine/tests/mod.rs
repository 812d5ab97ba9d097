//! One subject's story through the engine: a grant, clicks, an assignment, a denial, a tombstone;
//! undone, repeated and recovered. The reference model holds the engine to more (crates/sim/tests/pure).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::input::{ClickInput, ConsentBody, ConsentInput, Coverage};
use super::output::{BatchOutput, Output};
use super::*;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::{Click, EventKind};
use assent_contract::domain::outcome::{TombstoneReason, Verdict};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook;

mod accepted;
mod audience;
mod dead;
mod driver;
mod ends;
mod former;
mod lift;
mod repaired;
mod signals;
mod undeclared;
mod upkeep;

use driver::Driver;

const RULES: &str = r#"
rulebook: "1"
default_segment: all-visitors
purposes:
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - id: twice
    title: Looked twice
    why: To greet
    owner: marketing@shop.example
    approach: behavioral
    purpose: offers
    when: {count: {of: PRODUCT_VIEW, within: 1h, at_least: 2}}
"#;

const START: Timestamp = Timestamp(1_795_305_600_000);
const LEASE: Span = Span(48 * Span::HOUR.0);

fn setup() -> Arc<Setup> {
    setup_of(RULES, &Keyset::first([7; 32]))
}

fn setup_of(rules: &str, keyset: &Keyset) -> Arc<Setup> {
    let rulebook = Arc::new(rulebook::compile(rules.as_bytes()).unwrap());
    let purposes: Vec<String> = rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml: rules.as_bytes().into(),
        keys: Arc::new(KeyRing::new(keyset, &purposes)),
        group_id: "assent".to_owned(),
        lease: LEASE,
        partitioner: Partitioner::Murmur2,
        input_partitions: 4,
        segment_partitions: BTreeMap::from([("offers".to_owned(), 4)]),
        sources: vec![],
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    })
}

fn record(version: i64, status: ConsentStatus) -> ConsentRecord {
    let since = START - Span::DAY;
    ConsentRecord {
        subject_id: "anna".to_owned(),
        version,
        recorded_at: since,
        age_band: AgeBand::From18,
        decisions: BTreeMap::from([(
            "offers".to_owned(),
            Decision { status, since, expires_at: None, notice_version: None },
        )]),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: "cli".to_owned(),
        receipt_id: None,
    }
}

fn give(partition: &mut Driver, offset: i64, record: &ConsentRecord) {
    partition.consent(&ConsentInput {
        offset,
        append_time: START,
        key: b"anna",
        payload: Some(b"-"),
        body: ConsentBody::Record(record),
    });
}

fn look(partition: &mut Driver, offset: i64, at: Timestamp) {
    act(partition, EventKind::ProductView, offset, at);
}

/// Anna's.
fn act(partition: &mut Driver, kind: EventKind, offset: i64, at: Timestamp) {
    let click = Click {
        subject_id: Some("anna"),
        session_id: "s",
        occurred_at: at,
        kind,
        gpc: Some(false),
        ..Click::default()
    };
    partition.click(&ClickInput { offset, payload: Some(b"-"), click: Ok(click) });
}

fn tombstones(output: &BatchOutput) -> Vec<TombstoneReason> {
    let reason = |output: &Output| match output {
        Output::Tombstone { reason, .. } => Some(*reason),
        _ => None,
    };
    output.outputs.iter().filter_map(reason).collect()
}

fn end(partition: &mut Driver, click_to: i64, consent_to: i64) -> BatchOutput {
    partition.finish(Coverage { click_to, consent_to, barrier: consent_to, synced: None })
}

/// Grant and two views in one batch.
fn first_batch(partition: &mut Driver) -> BatchOutput {
    partition.begin(START, true);
    give(partition, 0, &record(1, ConsentStatus::Granted));
    partition.timers();
    look(partition, 0, START);
    look(partition, 1, START);
    end(partition, 2, 1)
}

fn denial(partition: &mut Driver) -> BatchOutput {
    partition.begin(START + Span::MINUTE, true);
    give(partition, 1, &record(2, ConsentStatus::Denied));
    partition.timers();
    end(partition, 2, 2)
}

fn fresh(setup: &Arc<Setup>) -> Driver {
    let mut partition = Restore::new(3).finish(Arc::clone(setup)).unwrap();
    partition.start_at(0, 0);
    Driver::new(partition)
}

fn recover(setup: &Arc<Setup>, batches: &[&BatchOutput]) -> Driver {
    let mut restore = Restore::new(3);
    for output in batches.iter().flat_map(|batch| &batch.outputs) {
        if let Output::State { key, value } = output {
            restore.apply(key, value.as_deref()).unwrap();
        }
    }
    Driver::new(restore.finish(Arc::clone(setup)).unwrap())
}

fn assignments(output: &BatchOutput) -> usize {
    output.outputs.iter().filter(|output| matches!(output, Output::Assignment { .. })).count()
}

#[test]
fn an_opt_out_removes_what_a_grant_allowed() {
    let setup = setup();
    let mut partition = fresh(&setup);
    let first = first_batch(&mut partition);
    assert_eq!(assignments(&first), 1);
    partition.confirm();
    let second = denial(&mut partition);
    let withheld = TombstoneReason::Withheld(Verdict::OptedOut);
    assert!(
        second.outputs.iter().any(
            |output| matches!(output, Output::Tombstone { reason, .. } if *reason == withheld)
        )
    );
    assert_eq!(second.opt_outs.len(), 1);
}

#[test]
fn a_batch_undone_and_repeated_says_the_same() {
    let setup = setup();
    let mut partition = fresh(&setup);
    let first = first_batch(&mut partition);
    partition.rollback();
    assert!(partition.positions().is_none());
    assert_eq!(first_batch(&mut partition), first);
}

#[test]
fn a_recovered_partition_says_the_same() {
    let setup = setup();
    let mut partition = fresh(&setup);
    let first = first_batch(&mut partition);
    partition.confirm();
    let mut recovered = recover(&setup, &[&first]);
    assert_eq!(recovered.positions(), partition.positions());
    assert_eq!(recovered.stats(), partition.stats());
    assert_eq!(denial(&mut recovered), denial(&mut partition));
}

#[test]
fn a_window_that_passes_ends_the_segment_without_a_click() {
    let setup = setup();
    let mut partition = fresh(&setup);
    first_batch(&mut partition);
    partition.confirm();
    assert_eq!(partition.next_due(), Some(START + Span::HOUR));
    partition.begin(START + Span::HOUR, true);
    partition.timers();
    let output = end(&mut partition, 2, 1);
    assert!(output.outputs.iter().any(|output| matches!(
        output,
        Output::Tombstone { reason: TombstoneReason::SegmentsLeft, .. }
    )));
}

#[test]
fn a_busy_subject_has_no_more_timers_than_an_idle_one() {
    let setup = setup();
    let mut partition = fresh(&setup);
    first_batch(&mut partition);
    partition.confirm();
    for second in 1..1_000 {
        let now = START + Span(second * Span::SECOND.0);
        partition.begin(now, true);
        partition.timers();
        look(&mut partition, second + 1, now);
        end(&mut partition, second + 2, 1);
        partition.confirm();
    }
    assert!(partition.schedule.timers.len() <= 2, "{} entries", partition.schedule.timers.len());
}

#[test]
fn a_state_of_other_partition_counts_is_refused() {
    let setup = setup();
    let first = first_batch(&mut fresh(&setup));
    let mut restore = Restore::new(3);
    for output in &first.outputs {
        if let Output::State { key, value } = output {
            restore.apply(key, value.as_deref()).unwrap();
        }
    }
    let mut grown = Arc::into_inner(self::setup()).unwrap();
    grown.input_partitions *= 2;
    let refusal = restore.finish(Arc::new(grown)).err().unwrap();
    assert!(matches!(refusal, Refusal::InputPartitions { .. }), "{refusal}");
    assert_eq!(refusal.exit_code(), 78);
}

#[test]
fn a_state_made_with_other_topics_is_refused_and_the_key_is_named() {
    let under = |clicks: &str| {
        let mut setup = Arc::into_inner(setup()).unwrap();
        let made_with = [("topics.clickstream", clicks), ("kafka.group_id", "shop")];
        setup.made_with = made_with.map(|(key, of)| (key.to_owned(), of.to_owned())).into();
        Arc::new(setup)
    };
    let first = first_batch(&mut fresh(&under("clicks")));
    let meta = first.outputs.iter().rev().find_map(|output| match output {
        Output::State { key, value } if key == b"meta" => value.clone(),
        _ => None,
    });
    let meta = meta.expect("a record of the partition's own");
    assert_eq!(refusal(&meta, &under("clicks")), None);
    assert_eq!(refusal(&meta, &setup()), None, "what is not asked for");
    let refused = refusal(&meta, &under("other")).expect("refused");
    assert_eq!(refused.exit_code(), 78);
    assert!(refused.to_string().starts_with("topics.clickstream is other, but"), "{refused}");
    assert!(is_of_group(&meta, "shop", 1));
    assert!(!is_of_group(&meta, "shop", 2) && !is_of_group(&meta, "other", 1));
}

#[test]
fn a_lease_is_renewed_at_its_half_and_a_closed_gate_holds_it_back() {
    let setup = setup();
    let mut partition = fresh(&setup);
    partition.begin(START, true);
    let mut lasting = record(1, ConsentStatus::Granted);
    lasting.age_band = AgeBand::From18;
    give(&mut partition, 0, &lasting);
    look(&mut partition, 0, START);
    look(&mut partition, 1, START);
    end(&mut partition, 2, 1);
    partition.confirm();
    partition.begin(START + Span::MINUTE, false);
    look(&mut partition, 2, START + Span::MINUTE);
    let closed = end(&mut partition, 3, 1);
    assert_eq!(assignments(&closed), 0);
    assert_eq!(closed.tally.verdicts.get(&(0, Verdict::ConsentStale)), Some(&1));
}
