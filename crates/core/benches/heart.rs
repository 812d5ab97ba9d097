//! What the pure part costs per click, by stage. `cargo bench -p assent-core`.
//!
//! The workload is like the benchmark's, with rules of its own: 100,000 subjects in Zipf order, 80 % granted, 1 % of the clicks
//! with GPC, four behavioral rules over two purposes, about two clicks in five move a counter.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use assent_contract::domain::audit::AuditEntry;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::gate::{self, PurposeTerms};
use assent_contract::domain::merge::{PurposeNames, SubjectConsent};
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook;
use assent_contract::wire::{ClickReader, Inbound, encode_click};
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput, Coverage};
use assent_core::engine::{OpenBatch, Partition, Restore, Setup};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};

const RULES: &str = r#"
rulebook: "bench"
default_segment: all-visitors
purposes:
  - {id: personalized-offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 90d}
  - {id: partner-advertising, title: Advertising, sale_or_share: true, requires_opt_in: true, retention: 30d}
segments:
  - {id: preschool, title: Preschool, why: Offers, owner: m@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: PRODUCT_VIEW, where: {category: preschool-toys}, within: 7d, at_least: 3}}}
  - {id: spenders, title: Spenders, why: Offers, owner: m@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {sum: {field: value_cents, of: PURCHASE, within: 30d, at_least: 10000}}}
  - {id: board-games, title: Board games, why: Offers, owner: m@shop.example, approach: behavioral, purpose: partner-advertising,
     when: {count: {of: PRODUCT_VIEW, where: {category: board-games}, within: 7d, at_least: 3}}}
  - {id: browsers, title: Browsers, why: Offers, owner: m@shop.example, approach: behavioral, purpose: partner-advertising,
     when: {distinct: {field: product_id, of: ADD_TO_CART, within: 7d, at_least: 3}}}
"#;

const SUBJECTS: u64 = 100_000;
const CLICKS: usize = 20_000;
const START: Timestamp = Timestamp(1_795_305_600_000);

/// splitmix64: the same workload in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Zipf with exponent 1, by inversion: ranks grow like `n^u`.
    fn subject(&mut self) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (SUBJECTS as f64).powf(unit) as u64
    }
}

fn click(dice: &mut Dice, at: Timestamp) -> ClickEvent {
    const CATEGORIES: [&str; 5] =
        ["preschool-toys", "board-games", "outdoor-play", "books", "craft-kits"];
    let kind = match dice.next() % 10 {
        0..6 => EventKind::ProductView,
        6 => EventKind::AddToCart,
        7 => EventKind::Purchase,
        _ => EventKind::PageView,
    };
    let subject = dice.subject();
    ClickEvent {
        event_id: "018f4e6a-0000-7000-8000-000000000001".to_owned(),
        subject_id: Some(format!("customer-{subject:06}")),
        session_id: format!("session-{:08}", dice.next() % 100_000_000),
        occurred_at: at,
        kind,
        category: Some(CATEGORIES[(dice.next() % 5) as usize].to_owned()),
        product_id: Some(format!("product-{:04}", dice.next() % 2_000)),
        product_age_range: Some("3-5".to_owned()),
        value_cents: (kind == EventKind::Purchase).then(|| (dice.next() % 10_000) as i64),
        region: Some("US-CA".to_owned()),
        gpc: Some(dice.next().is_multiple_of(100)),
        gpp: None,
    }
}

fn record(subject: u64) -> ConsentRecord {
    let status =
        if subject.is_multiple_of(5) { ConsentStatus::Denied } else { ConsentStatus::Granted };
    let decision =
        Decision { status, since: START - Span::DAY, expires_at: None, notice_version: None };
    ConsentRecord {
        subject_id: format!("customer-{subject:06}"),
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

fn setup() -> Arc<Setup> {
    let rulebook = Arc::new(rulebook::compile(RULES.as_bytes()).expect("the rulebook compiles"));
    let purposes: Vec<String> = rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml: RULES.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &purposes)),
        group_id: "assent".to_owned(),
        lease: Span(48 * Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: 12,
        segment_partitions: BTreeMap::new(),
        sources: vec![],
        made_with: BTreeMap::new(),
        signals_max: 1_000_000,
    })
}

fn partition(setup: &Arc<Setup>) -> Partition {
    let mut partition = Restore::new(0).finish(Arc::clone(setup)).expect("nothing to refuse");
    partition.start_at(0, 0);
    let mut batch = partition.begin(START, true);
    for subject in 0..=SUBJECTS {
        let record = record(subject);
        batch.consent(&ConsentInput {
            offset: subject as i64,
            append_time: START,
            key: record.subject_id.as_bytes(),
            payload: None,
            body: ConsentBody::Record(&record),
        });
    }
    batch.finish(coverage(0)).0.confirm()
}

fn coverage(click_to: i64) -> Coverage {
    let consent_to = SUBJECTS as i64 + 1;
    Coverage { click_to, consent_to, barrier: consent_to, synced: None }
}

/// Keys and values, as they come off the topic.
fn raw_clicks() -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut dice = Dice(1);
    let raw = |click: ClickEvent| (click.key().as_bytes().to_vec(), encode_click(&click));
    (0..CLICKS).map(|_| raw(click(&mut dice, START))).collect()
}

fn inbound((key, payload): &(Vec<u8>, Vec<u8>)) -> Inbound<'_> {
    Inbound { partition: 0, key: Some(key), payload: Some(payload) }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn decode(group: &mut Group<'_>, reader: &ClickReader, raw: &[(Vec<u8>, Vec<u8>)]) {
    group.bench_function("decode", |bench| {
        bench.iter(|| raw.iter().filter(|click| reader.read(&inbound(click)).is_ok()).count());
    });
}

fn pseudonym(group: &mut Group<'_>, setup: &Setup, raw: &[(Vec<u8>, Vec<u8>)]) {
    group.bench_function("pseudonym", |bench| {
        bench.iter(|| raw.iter().fold(0, |all, (key, _)| all ^ setup.keys.state_token(key)));
    });
}

/// Both purposes of a click of a subject who granted both.
fn gate(group: &mut Group<'_>) {
    let (mut names, mut consent) = (PurposeNames::default(), SubjectConsent::default());
    let record = record(1);
    let undeclared_token = |purpose: &str| purpose.len() as u128;
    for purpose in record.decisions.keys() {
        names.declare(purpose, &undeclared_token);
    }
    consent.apply(&record, START, &names, &undeclared_token, &[0, 1]);
    let terms = [0, 1].map(|name| PurposeTerms {
        name,
        sale_or_share: name == 1,
        requires_opt_in: true,
        suspended: false,
    });
    group.bench_function("gate", |bench| {
        bench.iter(|| {
            let judge = |at: usize| {
                let consent = Some(black_box(&consent));
                terms.map(|terms| {
                    gate::decide_click(false, consent, terms, START + Span(at as i64), START)
                })
            };
            (0..CLICKS).filter(|&at| judge(at).iter().all(|verdict| verdict.allows())).count()
        });
    });
}

/// The same clicks on the same state: what they did is undone each time.
fn step(
    group: &mut Group<'_>,
    partition: Partition,
    reader: &ClickReader,
    raw: &[(Vec<u8>, Vec<u8>)],
) -> Partition {
    let open = RefCell::new(Some(partition.begin(START, true)));
    group.bench_function("step", |bench| {
        bench.iter_batched(
            || {
                let undone = open.take().map(OpenBatch::rollback);
                open.replace(undone.map(|partition| partition.begin(START, true)));
                raw.iter().map(|click| reader.read(&inbound(click))).collect::<Vec<_>>()
            },
            |clicks| {
                let mut open = open.borrow_mut();
                let batch = open.as_mut().expect("an open batch");
                for (offset, (click, (_, payload))) in (0..).zip(clicks.into_iter().zip(raw)) {
                    batch.click(&ClickInput { offset, payload: Some(payload), click });
                }
            },
            BatchSize::PerIteration,
        );
    });
    open.take().expect("an open batch").rollback()
}

/// The entry of a click that both purposes allowed.
fn audit_encode(group: &mut Group<'_>) {
    let entry = AuditEntry {
        input: InputKind::Click,
        offset: Some(1_000_000),
        outcome: Outcome::Decided,
        subject: Some([1; 17]),
        consent_version: Some(START.0),
        verdicts: vec![Verdict::OptIn; 2],
        effects: vec![],
    };
    let mut out = Vec::new();
    group.bench_function("audit encode", |bench| {
        bench.iter(|| {
            out.clear();
            (0..CLICKS).for_each(|_| black_box(&entry).encode(&mut out));
            out.len()
        });
    });
}

/// All of a partition's subjects, as they lie in the state.
fn state_pack(group: &mut Group<'_>, partition: &Partition) {
    group.throughput(Throughput::Elements(SUBJECTS + 1));
    group.bench_function("state pack", |bench| bench.iter(|| partition.pack_subjects().len()));
    group.throughput(Throughput::Elements(CLICKS as u64));
}

fn whole(
    group: &mut Group<'_>,
    partition: Partition,
    reader: &ClickReader,
    raw: &[(Vec<u8>, Vec<u8>)],
) -> Partition {
    let (mut next, mut now, mut at_rest) = (0, START, Some(partition));
    group.bench_function("decode, step and seal", |bench| {
        bench.iter(|| {
            now = now + Span(100);
            let partition = at_rest.take().expect("between two batches");
            let mut batch = partition.begin(now, true);
            batch.timers();
            for received in raw {
                let click = reader.read(&inbound(received));
                batch.click(&ClickInput { offset: next, payload: Some(&received.1), click });
                next += 1;
            }
            let (decided, output) = batch.finish(coverage(next));
            black_box(output);
            at_rest = Some(decided.confirm());
        });
    });
    at_rest.expect("between two batches")
}

fn heart(criterion: &mut Criterion) {
    let setup = setup();
    let raw = raw_clicks();
    let reader = ClickReader::new(setup.rulebook.fields, setup.partitioner, 1);
    let partition = partition(&setup);
    let mut group = criterion.benchmark_group("heart");
    group.throughput(Throughput::Elements(CLICKS as u64)).sample_size(20);
    decode(&mut group, &reader, &raw);
    pseudonym(&mut group, &setup, &raw);
    gate(&mut group);
    let partition = step(&mut group, partition, &reader, &raw);
    audit_encode(&mut group);
    let partition = whole(&mut group, partition, &reader, &raw);
    state_pack(&mut group, &partition);
    group.finish();
}

criterion_group!(benches, heart);
criterion_main!(benches);
