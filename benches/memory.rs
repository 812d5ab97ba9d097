//! What a subject takes in memory: `cargo bench --bench memory -- dormant 1000000`, or `active`. And how long a restore
//! takes without a broker: `restore-dormant 1000000`, or `restore-active`.
//!
//! A dormant subject granted two purposes and never clicked. An active one did both, and is live in both. The figures
//! are resident memory, so what the allocator keeps and the room to spare of pages and tables are in them, and what
//! the partitions count themselves (`assent_state_bytes`). Linux alone says what is resident.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent::clock::{Clock as _, SystemClock};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook;
use assent_contract::wire::{ClickReader, Inbound, encode_click};
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput, Coverage};
use assent_core::engine::output::{BatchOutput, Output};
use assent_core::engine::{Decided, Partition, Restore, Setup};

/// As Assent has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RULES: &str = r#"
rulebook: "memory"
default_segment: all-visitors
purposes:
  - {id: personalized-offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 90d}
  - {id: partner-advertising, title: Advertising, sale_or_share: true, requires_opt_in: true, retention: 30d}
segments:
  - {id: preschool, title: Preschool, why: Offers, owner: m@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: PRODUCT_VIEW, where: {category: preschool-toys}, within: 7d, at_least: 3}}}
  - {id: board-games, title: Board games, why: Offers, owner: m@shop.example, approach: behavioral, purpose: partner-advertising,
     when: {count: {of: PRODUCT_VIEW, where: {category: board-games}, within: 7d, at_least: 3}}}
"#;

const PARTITIONS: usize = 12;
const BATCH: usize = 2_000;
const START: Timestamp = Timestamp(1_795_305_600_000);

/// The rules count so many views of a category.
const VIEWS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let (kind, subjects) = match &words[..] {
        [kind, subjects] => (kind.as_str(), subjects.parse().expect("a number of subjects")),
        _ => ("dormant", 100_000),
    };
    let setup = setup();
    match kind {
        "dormant" => measure_memory(&setup, false, subjects),
        "active" => measure_memory(&setup, true, subjects),
        "restore-dormant" => measure_restore(&setup, false, subjects),
        "restore-active" => measure_restore(&setup, true, subjects),
        _ => panic!("{kind}: see the head of benches/memory.rs"),
    }
}

/// What a partition wrote to its state, in order.
type StateLog = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Partitions that hold so many subjects; `written` gets what each batch wrote to the state.
fn filled(
    setup: &Arc<Setup>,
    is_active: bool,
    subjects: usize,
    mut written: impl FnMut(usize, BatchOutput),
) -> Vec<Partition> {
    let reader = ClickReader::new(setup.rulebook.fields, setup.partitioner, 1);
    let mut partitions: Vec<Partition> = (0..PARTITIONS).map(|at| begun(setup, at)).collect();
    for first in (0..subjects).step_by(BATCH * PARTITIONS) {
        for (at, slot) in partitions.iter_mut().enumerate() {
            let of_batch: Vec<usize> =
                (first + at..subjects).step_by(PARTITIONS).take(BATCH).collect();
            let partition = std::mem::replace(slot, begun(setup, at));
            let (decided, output) = decide(partition, &of_batch, is_active.then_some(&reader));
            written(at, output);
            *slot = decided.confirm();
        }
    }
    partitions
}

fn measure_memory(setup: &Arc<Setup>, is_active: bool, subjects: usize) {
    let before = resident();
    let partitions = filled(setup, is_active, subjects, |_, _| {});
    let counted: usize = partitions.iter().map(Partition::subjects_bytes).sum();
    let live: i64 = partitions.iter().flat_map(|it| it.stats().live_keys.values()).sum();
    let each = |bytes: usize| bytes as f64 / subjects as f64;
    println!(
        "{subjects} subjects, {live} live keys: {:.0} bytes each resident, {:.0} counted",
        each(resident() - before),
        each(counted),
    );
}

/// Of all that was ever written, as a topic before compaction has it.
fn measure_restore(setup: &Arc<Setup>, is_active: bool, subjects: usize) {
    let mut logs: Vec<StateLog> = vec![StateLog::new(); PARTITIONS];
    let partitions = filled(setup, is_active, subjects, |at, output| {
        logs[at].extend(output.outputs.into_iter().filter_map(|it| match it {
            Output::State { key, value } => Some((key, value)),
            _ => None,
        }));
    });
    let packed: Vec<Vec<u8>> = partitions.iter().map(Partition::pack_subjects).collect();
    drop(partitions);
    let began = SystemClock.instant();
    let restored: Vec<Partition> =
        logs.iter().enumerate().map(|(at, log)| restored(setup, at, log)).collect();
    let took = began.elapsed();
    assert!(restored.iter().map(Partition::pack_subjects).eq(packed), "it is the same state");
    let each = took.as_nanos() as f64 / subjects as f64;
    println!("{subjects} subjects restored in {took:.2?}, {each:.0} ns each");
}

fn restored(setup: &Arc<Setup>, partition: usize, log: &StateLog) -> Partition {
    let mut restore = Restore::new(partition as i32);
    for (key, value) in log {
        restore.apply(key, value.as_deref()).expect("what was written");
    }
    restore.finish(Arc::clone(setup)).expect("nothing to refuse")
}

/// A batch of these subjects' consent and, where they are active, of their clicks.
fn decide(
    partition: Partition,
    subjects: &[usize],
    reader: Option<&ClickReader>,
) -> (Decided, BatchOutput) {
    let (next_click, next_consent) =
        partition.positions().map_or((0, 0), |it| (it.next_click, it.next_consent));
    let mut batch = partition.begin(START, true);
    for (offset, &subject) in (next_consent..).zip(subjects) {
        let record = record(subject);
        batch.consent(&ConsentInput {
            offset,
            append_time: START,
            key: record.subject_id.as_bytes(),
            payload: None,
            body: ConsentBody::Record(&record),
        });
    }
    let mut click_to = next_click;
    if let Some(reader) = reader {
        for &subject in subjects {
            for category in ["preschool-toys", "board-games"].repeat(VIEWS) {
                let click = view(subject, category);
                let (key, payload) = (click.key().as_bytes(), encode_click(&click));
                let inbound = Inbound { partition: 0, key: Some(key), payload: Some(&payload) };
                let click = reader.read(&inbound);
                batch.click(&ClickInput { offset: click_to, payload: Some(&payload), click });
                click_to += 1;
            }
        }
    }
    let consent_to = next_consent + subjects.len() as i64;
    let covered = Coverage { click_to, consent_to, barrier: consent_to, synced: None };
    batch.finish(covered)
}

fn begun(setup: &Arc<Setup>, partition: usize) -> Partition {
    let restored = Restore::new(partition as i32).finish(Arc::clone(setup));
    let mut partition = restored.expect("nothing to refuse");
    partition.start_at(0, 0);
    partition
}

fn setup() -> Arc<Setup> {
    let rulebook = Arc::new(rulebook::compile(RULES.as_bytes()).expect("the rulebook compiles"));
    let purposes: Vec<String> = rulebook.purposes.iter().map(|it| it.id.clone()).collect();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml: RULES.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &purposes)),
        group_id: "assent".to_owned(),
        lease: Span(48 * Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 1, // so that every subject is anybody's
        segment_partitions: BTreeMap::new(),
        sources: vec![],
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    })
}

fn record(subject: usize) -> ConsentRecord {
    let decision = Decision {
        status: ConsentStatus::Granted,
        since: START - Span::DAY,
        expires_at: None,
        notice_version: None,
    };
    ConsentRecord {
        subject_id: format!("customer-{subject:08}"),
        version: 1,
        recorded_at: START - Span::DAY,
        age_band: AgeBand::From18,
        decisions: ["personalized-offers", "partner-advertising"]
            .map(|purpose| (purpose.to_owned(), decision.clone()))
            .into(),
        guardian: None,
        double_opt_in_at: Some(START - Span::DAY),
        opt_out_signal_at: None,
        source: "preference-center".to_owned(),
        receipt_id: None,
    }
}

fn view(subject: usize, category: &str) -> ClickEvent {
    ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: Some(format!("customer-{subject:08}")),
        session_id: format!("session-{subject:08}"),
        occurred_at: START,
        kind: EventKind::ProductView,
        category: Some(category.to_owned()),
        product_id: None,
        product_age_range: None,
        value_cents: None,
        region: Some("US-CA".to_owned()),
        gpc: None,
        gpp: None,
    }
}

/// Pages that this process has in memory, as bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a number");
    pages * 4_096
}
