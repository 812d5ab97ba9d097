//! The engine does what the reference model says, entry by entry and byte by byte.
//!
//! Every case is a random rulebook and a random history. Held against the model: entries, verdicts,
//! effects with their bodies, contextual segments, dead letters, counts, and when time alone asks
//! for a batch. Held against itself (INV-5, INV-10): a batch that is undone and run again, one that
//! is undone halfway, and a partition that is restored from what it wrote.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` make it search further than the fixed default. The last
//! failure printed is the smallest; times in it are milliseconds from the first day's midnight.
//!
//! What it caught when the engine was broken by hand, each within 200 cases: windows, or leases, that
//! never end by time · a grant that ends, or a lease that renews, a millisecond late · counters that
//! outlive a withheld moment · undo that forgets a subject, or the ledger · state that loses the mark
//! of a contradiction, or all that is not consent · a lease that ends behind a closed gate and stays ·
//! a closed gate that writes, or that forgets what it deferred, or that defers contextual
//! segments · a binding time that is not rounded up · a superseded record's signal that is dropped ·
//! a click judged before its own signal · an erasure without residue · one count too few kept · a
//! 24-hour sum that goes by days · a subject named in the audit whom nothing allowed · a subject who is held out
//! and is assigned, or is not counted · a click before an assignment that counts for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::audit::{Sha256Hash, chain};
use assent_contract::domain::event::{Click, EventKind};
use assent_contract::domain::outcome::{InputKind, TombstoneReason};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset, SessionKeys};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_core::engine::input::Coverage;
use assent_core::engine::output::{BatchOutput, InputTopic, Output};
use assent_core::engine::{Decided, OpenBatch, Partition, Restore, Setup, Stats, SubjectKind};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::histories::{Batch, Body, History, click_input};
use crate::model::lift::Totals;
use crate::model::{Entry, Model};
use crate::plans;
use crate::seen::{Eye, Seen};

pub fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(20_261_122),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig { rng_seed, failure_persistence: None, max_shrink_iters: 20_000, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_does_what_the_model_says(history in plans::history()) {
        run(&history);
    }
}

fn run(history: &History) {
    let mut lab = Lab::new(history);
    for (at, batch) in history.batches.iter().enumerate() {
        lab = lab.batch(at, batch);
    }
}

/// The same history in the model, in a partition that never stops and in one that does.
struct Lab<'a> {
    history: &'a History,
    setup: Arc<Setup>,
    eye: Eye<'a>,
    model: Model<'a>,
    steady: Partition,
    restored: Partition,
    /// assent-state as compaction would leave it, in the order of the last writes.
    state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    now: Timestamp,
    previous: Sha256Hash,
    sequence: i64,
    covered: (i64, i64),
}

impl<'a> Lab<'a> {
    fn new(history: &'a History) -> Self {
        let setup = setup(history);
        let eye = Eye::new(&history.rulebook, &setup.keys);
        let mut model = Model::new(&history.rulebook, history.lease);
        model.signals_max = history.signals_max;
        model.numbers = numbers(&setup);
        let (steady, restored) = (restore(&setup, &[]), restore(&setup, &[]));
        let mut lab = Self {
            history,
            setup,
            eye,
            model,
            steady,
            restored,
            state: Vec::new(),
            now: Timestamp::MIN,
            previous: chain::GENESIS,
            sequence: 0,
            covered: (7, 3),
        };
        for partition in [&mut lab.steady, &mut lab.restored] {
            partition.start_at(lab.covered.0, lab.covered.1);
        }
        lab
    }

    fn batch(mut self, at: usize, batch: &'a Batch) -> Self {
        if batch.is_restart && self.steady.positions().is_some() {
            self.restored = restore(&self.setup, &self.state);
            let counts = [counts(&self.restored), counts(&self.steady)];
            assert_eq!(counts[0], counts[1], "batch {at}: restored counts");
        }
        self.now = self.now.max(batch.wall);
        let asked = [&self.steady, &self.restored].map(|it| asks(it, self.now, batch.gate_open));
        let rulebook = &self.history.rulebook;
        let halfway = half(self.steady, rulebook, batch);
        let (once, undone) = whole(halfway.rollback(), rulebook, batch);
        let (again, output) = whole(once.rollback(), rulebook, batch);
        assert_same(at, "undone and run again", &undone, &output);
        self.steady = again.confirm();
        // At the `now` that the audit records, wherever the wall clock is by then.
        let replayed = Batch { wall: self.now, ..batch.clone() };
        let (decided, other) = whole(self.restored, rulebook, &replayed);
        assert_same(at, "restored", &other, &output);
        self.restored = decided.confirm();
        self.keep(&output);

        let expected = self.expected(batch);
        let by_time = expected.iter().any(|entry| entry.input == InputKind::Timer);
        assert!(!by_time || asked == [true; 2], "batch {at}: time was due, asked for: {asked:?}");
        let seen = self.eye.see(&output.outputs);
        self.compare(at, batch, &expected, &seen, &output);
        self
    }

    fn expected(&mut self, batch: &'a Batch) -> Vec<Entry> {
        let consent: Vec<_> = batch.consent.iter().map(|it| it.input()).collect();
        let clicks: Vec<_> = batch.clicks.iter().map(|it| click_input(it.0, it.1)).collect();
        self.model.step((batch.wall, batch.gate_open), &consent, &clicks)
    }

    fn keep(&mut self, output: &BatchOutput) {
        for output in &output.outputs {
            if let Output::State { key, value } = output {
                self.state.retain(|(kept, _)| kept != key);
                self.state.push((key.clone(), value.clone()));
            }
        }
    }

    fn compare(
        &mut self,
        at: usize,
        batch: &Batch,
        expected: &[Entry],
        seen: &Seen,
        output: &BatchOutput,
    ) {
        let entries: Vec<Entry> =
            seen.batches.iter().flat_map(|batch| batch.entries.clone()).collect();
        assert_entries(at, &plain(expected), &ordered(entries));
        self.compare_chain(at, batch, seen, output);
        self.compare_contextual(at, batch, expected, seen);
        compare_dead_letters(at, self.now, expected, seen);
        compare_counts(at, batch, expected, output);
        let live = |purpose| {
            let subjects = crate::histories::SUBJECTS.iter();
            subjects.filter(|subject| self.model.live(subject, purpose).is_some()).count() as i64
        };
        let model = self.model.lifts();
        let lifts = [&self.steady, &self.restored].map(lifts);
        assert_eq!(lifts, [model.clone(), model], "batch {at}: those held out and the others");
        let stats = self.steady.stats();
        let kept: [i64; 4] = SubjectKind::ALL.map(|kind| {
            let by_label = stats.subjects_by_label().filter(|(label, _)| *label == kind.label());
            by_label.map(|(_, count)| count).sum()
        });
        assert_eq!(kept, self.model.kept(), "batch {at}: what is kept of whom");
        let model: i64 = (0..self.history.rulebook.purposes.len()).map(live).sum();
        assert_eq!(self.steady.stats().live_keys.values().sum::<i64>(), model, "batch {at}: live");
    }

    fn compare_chain(&mut self, at: usize, batch: &Batch, seen: &Seen, output: &BatchOutput) {
        let rulebook = &self.history.rulebook;
        let mut covered = self.covered;
        for audit in &seen.batches {
            assert_eq!(audit.chain, "assent/3", "batch {at}");
            assert_eq!(
                (audit.sequence, audit.previous),
                (self.sequence, self.previous),
                "batch {at}"
            );
            assert_eq!(
                (audit.decided_at, audit.gate_open),
                (self.now, batch.gate_open),
                "batch {at}"
            );
            assert_eq!(audit.rulebook, rulebook.version);
            assert_eq!(audit.rulebook_sha256, rulebook.sha256);
            assert_eq!(audit.key_version, 1);
            let ids = rulebook.purposes.iter().map(|purpose| purpose.id.clone());
            assert_eq!(audit.purposes, ids.collect::<Vec<_>>());
            let [click_from, click_to, consent_from, consent_to, _] = audit.coverage;
            assert_eq!((click_from, consent_from), covered, "batch {at}: no gap, no overlap");
            covered = (click_to, consent_to);
            (self.sequence, self.previous) = (audit.sequence + 1, audit.hash);
        }
        self.covered = (batch.click_to, batch.consent_to);
        assert_eq!(covered, self.covered, "batch {at}: covers what it was given");
        assert_eq!((output.next_click, output.next_sequence), (covered.0, self.sequence));
    }

    fn compare_contextual(&self, at: usize, batch: &Batch, expected: &[Entry], seen: &Seen) {
        let mut sessions = SessionKeys::default();
        let wanted = expected.iter().filter(|entry| !entry.contextual.is_empty()).map(|entry| {
            let found = batch.clicks.iter().find(|click| Some(click.0) == entry.offset);
            let click = found.and_then(|click| click.1).expect("a decided click");
            let keys = &self.setup.keys;
            let token = keys.session_token(&mut sessions, click.session_id, click.occurred_at);
            let token = token.text();
            let version = self.history.rulebook.version.clone();
            (token, entry.contextual.clone(), click.occurred_at, version)
        });
        assert_eq!(wanted.collect::<Vec<_>>(), seen.contextual, "batch {at}: contextual segments");
    }
}

/// What the keys say of everybody and every purpose.
fn numbers(setup: &Setup) -> BTreeMap<(String, String), u64> {
    let (keys, ids) = (&setup.keys, setup.rulebook.purposes.iter().map(|it| &it.id).enumerate());
    let both = ids.flat_map(|it| crate::histories::SUBJECTS.map(|subject| (subject, it)));
    let of = |(subject, (at, id)): (&str, (usize, &String))| {
        let number = keys.holdout_number(at, keys.state_token(subject.as_bytes()));
        ((subject.to_owned(), id.clone()), number)
    };
    both.map(of).collect()
}

/// What it counted, as the model has it.
fn lifts(partition: &Partition) -> Totals {
    let counted = partition.lifts().iter();
    let totals = counted.map(|((month, purpose), it)| {
        let of = [it.treated, it.held_out, it.converted_treated, it.converted_held_out];
        ((month.text(), purpose.clone()), of)
    });
    totals.collect()
}

fn setup(history: &History) -> Arc<Setup> {
    let ids: Vec<String> = history.rulebook.purposes.iter().map(|it| it.id.clone()).collect();
    Arc::new(Setup {
        rulebook: Arc::new(history.rulebook.clone()),
        rulebook_yaml: history.text.as_bytes().into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &ids)),
        group_id: "assent".to_owned(),
        lease: history.lease,
        partitioner: Partitioner::Murmur2,
        input_partitions: 12,
        segment_partitions: ids.into_iter().map(|id| (id, 12)).collect(),
        sources: vec!["cmp".to_owned()],
        made_with: BTreeMap::new(),
        signals_max: history.signals_max,
    })
}

fn restore(setup: &Arc<Setup>, state: &[(Vec<u8>, Option<Vec<u8>>)]) -> Partition {
    let mut restore = Restore::new(3);
    for (key, value) in state {
        restore.apply(key, value.as_deref()).expect("state that was written reads back");
    }
    match restore.finish(Arc::clone(setup)) {
        Ok(partition) => partition,
        Err(refusal) => panic!("refused its own state: {refusal:?}"),
    }
}

/// Does it say by itself that time alone asks for a batch now?
fn asks(partition: &Partition, now: Timestamp, gate_open: bool) -> bool {
    partition.next_due().is_some_and(|due| due <= now) || (gate_open && partition.has_deferred())
}

/// Its gauges, without those that are at zero.
fn counts(partition: &Partition) -> Stats {
    let mut stats = partition.stats().clone();
    stats.subjects.retain(|_, count| *count != 0);
    stats.live_keys.retain(|_, count| *count != 0);
    stats.members.retain(|_, count| *count != 0);
    stats.pseudonyms.retain(|_, count| *count != 0);
    stats
}

/// A batch that never comes to its end.
fn half(partition: Partition, rulebook: &Rulebook, batch: &Batch) -> OpenBatch {
    given(partition, rulebook, batch, batch.clicks.len() / 2)
}

fn whole(partition: Partition, rulebook: &Rulebook, batch: &Batch) -> (Decided, BatchOutput) {
    let Batch { click_to, consent_to, .. } = *batch;
    let open = given(partition, rulebook, batch, batch.clicks.len());
    open.finish(Coverage { click_to, consent_to, barrier: consent_to, synced: None })
}

/// With so many of its clicks.
fn given(partition: Partition, rulebook: &Rulebook, batch: &Batch, clicks: usize) -> OpenBatch {
    let mut open = partition.begin(batch.wall, batch.gate_open);
    for consent in &batch.consent {
        open.consent(&consent.input());
    }
    open.timers();
    for (offset, click) in batch.clicks.iter().take(clicks) {
        open.click(&click_input(*offset, click.map(|it| decoded(rulebook, it))));
    }
    open
}

/// As the decoder gives it: without the fields that no live rule reads (INV-11).
fn decoded<'c>(rulebook: &Rulebook, click: Click<'c>) -> Click<'c> {
    let fields = rulebook.fields;
    Click {
        kind: if fields.kind { click.kind } else { EventKind::default() },
        category: click.category.filter(|_| fields.category),
        product_id: click.product_id.filter(|_| fields.product_id),
        product_age_range: click.product_age_range.filter(|_| fields.product_age_range),
        value_cents: click.value_cents.filter(|_| fields.value_cents),
        region: click.region.filter(|_| fields.region),
        ..click
    }
}

fn assert_same(at: usize, what: &str, one: &BatchOutput, other: &BatchOutput) {
    for (place, (one, other)) in one.outputs.iter().zip(&other.outputs).enumerate() {
        assert_eq!(one, other, "batch {at}, {what}: output {place} differs");
    }
    assert_eq!(one, other, "batch {at}, {what}");
}

/// Entries without what the audit does not say.
fn plain(entries: &[Entry]) -> Vec<Entry> {
    let plain = |entry: &Entry| Entry { contextual: vec![], dead_letter: None, ..entry.clone() };
    ordered(entries.iter().map(plain).collect())
}

/// Timers between consent and clicks in the order of their subjects, an entry's effects in that of
/// their purposes: the contract leaves both open.
fn ordered(mut entries: Vec<Entry>) -> Vec<Entry> {
    for entry in &mut entries {
        entry.effects.sort_by_key(|effect| effect.0);
    }
    for run in entries
        .chunk_by_mut(|one, other| one.input == InputKind::Timer && other.input == InputKind::Timer)
    {
        run.sort_by(|one, other| one.subject.cmp(&other.subject));
    }
    entries
}

fn assert_entries(at: usize, expected: &[Entry], seen: &[Entry]) {
    for place in 0..expected.len().max(seen.len()) {
        let (expected, seen) = (expected.get(place), seen.get(place));
        assert!(
            expected == seen,
            "batch {at}, entry {place}:\n the model says {expected:#?}\n the engine says {seen:#?}"
        );
    }
}

fn compare_dead_letters(at: usize, now: Timestamp, expected: &[Entry], seen: &Seen) {
    let wanted = expected.iter().filter_map(|entry| {
        let topic = match entry.input {
            InputKind::Click => InputTopic::Clickstream,
            _ => InputTopic::Consent,
        };
        Some((entry.dead_letter?, topic, entry.offset?, now))
    });
    let found = seen.dead_letters.iter().map(|it| (it.reason, it.topic, it.offset, it.failed_at));
    assert_eq!(wanted.collect::<Vec<_>>(), found.collect::<Vec<_>>(), "batch {at}: dead letters");
}

fn compare_counts(at: usize, batch: &Batch, expected: &[Entry], output: &BatchOutput) {
    let tally = &output.tally;
    let mut outcomes = BTreeMap::new();
    let mut verdicts = BTreeMap::new();
    let (mut assignments, mut tombstones) = (BTreeMap::new(), BTreeMap::new());
    for entry in expected {
        match entry.input {
            InputKind::Consent => {
                *outcomes.entry((InputTopic::Consent, entry.outcome)).or_default() += 1;
            }
            InputKind::Click => {
                *outcomes.entry((InputTopic::Clickstream, entry.outcome)).or_default() += 1;
                for (purpose, verdict) in entry.verdicts.iter().enumerate() {
                    *verdicts.entry((purpose as u16, *verdict)).or_default() += 1;
                }
            }
            InputKind::Timer | InputKind::Upkeep => {}
        }
        for (purpose, change) in &entry.effects {
            match change {
                Ok(_) => *assignments.entry(*purpose as u16).or_default() += 1,
                Err(reason) => {
                    *tombstones.entry((*purpose as u16, *reason)).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(tally.outcomes, outcomes, "batch {at}: outcomes");
    assert_eq!(tally.verdicts, verdicts, "batch {at}: verdicts");
    assert_eq!(tally.assignments, assignments, "batch {at}: assignments");
    assert_eq!(tally.tombstones, tombstones, "batch {at}: tombstones");
    let heartbeats = batch.consent.iter().filter(|it| matches!(it.body, Body::Heartbeat)).count();
    assert_eq!(tally.heartbeats, heartbeats as u64, "batch {at}: heartbeats");
    compare_opt_outs(at, batch, expected, output);
}

/// Each consent record that removed something.
fn compare_opt_outs(at: usize, batch: &Batch, expected: &[Entry], output: &BatchOutput) {
    let removes = |entry: &&Entry| {
        let removed = |change: &(usize, Result<_, TombstoneReason>)| change.1.is_err();
        entry.input == InputKind::Consent && entry.effects.iter().any(removed)
    };
    let wanted = expected.iter().filter(removes).map(|entry| {
        let consent = batch.consent.iter().find(|it| Some(it.offset) == entry.offset).unwrap();
        let recorded_at = match &consent.body {
            Body::Record(record) => Some(record.recorded_at),
            _ => None,
        };
        (consent.append_time, recorded_at)
    });
    let found = output.opt_outs.iter().map(|it| (it.append_time, it.recorded_at));
    assert_eq!(wanted.collect::<Vec<_>>(), found.collect::<Vec<_>>(), "batch {at}: opt-outs");
}
