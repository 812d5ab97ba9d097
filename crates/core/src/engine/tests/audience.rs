//! The minimum audience: nobody is named in a segment before so many are in it, over all partitions; below
//! that nobody new; at half of it, or after an hour, nobody at all.

use super::former::replayed;
use super::*;
use crate::engine::audience::{Heard, Said};
use assent_contract::domain::audit::AuditBatch;

const LEAST: &str = "min_members: 4, ";

const CLIENTS: [&str; 6] = ["anna", "bert", "carl", "dora", "emil", "fred"];

fn rules(version: &str, least: &str) -> String {
    let rules = RULES.replace("rulebook: \"1\"", &format!("rulebook: \"{version}\""));
    let rules = rules.replace("within: 1h", "within: 7d");
    rules.replace("retention:", &format!("{least}retention:"))
}

fn audience() -> Arc<Setup> {
    setup_of(&rules("1", LEAST), &Keyset::first([7; 32]))
}

/// A partition, and what was written of it so far.
struct Shop {
    partition: Driver,
    setup: Arc<Setup>,
    log: super::former::Log,
    now: Timestamp,
    clicks: i64,
    consents: i64,
}

impl Shop {
    fn new(setup: Arc<Setup>) -> Self {
        let partition = fresh(&setup);
        Self { partition, setup, log: Vec::new(), now: START, clicks: 0, consents: 0 }
    }

    /// The three others say so many each; `None`: nothing.
    fn hear(&mut self, others: [Option<u64>; 3]) {
        let said = (0..).zip(others).filter_map(|(partition, members)| {
            let (rulebook, at) = (self.setup.rulebook.sha256, self.now);
            Some((partition, Said { rulebook, at, counts: vec![members?] }))
        });
        let heard = Heard { as_of: self.now, said: said.collect() };
        self.partition.hear(&Arc::new(heard));
    }

    /// Decides: these consent, these withdraw. Returns assignments, tombstones and what is stated.
    fn batch(&mut self, grants: &[&str], withdrawals: &[&str]) -> (u64, u64, Option<String>) {
        let output = self.decide(grants, withdrawals, true);
        self.partition.confirm();
        let states = output.outputs.iter().filter_map(|it| match it {
            Output::State { key, value } => Some((key.clone(), value.clone())),
            _ => None,
        });
        self.log.extend(states);
        told(&output)
    }

    fn decide(&mut self, grants: &[&str], withdrawals: &[&str], open: bool) -> BatchOutput {
        let Self { partition, now, .. } = self;
        partition.begin(*now, open);
        let said = |ids: &[&str], status| -> Vec<(String, ConsentRecord)> {
            let version = if status == ConsentStatus::Granted { 1 } else { 2 };
            ids.iter().map(|id| ((*id).to_owned(), record(version, status))).collect()
        };
        let mut all = said(grants, ConsentStatus::Granted);
        all.extend(said(withdrawals, ConsentStatus::Withdrawn));
        let mut offset = self.consents;
        for (id, record) in &all {
            partition.consent(&ConsentInput {
                offset,
                append_time: START,
                key: id.as_bytes(),
                payload: Some(b"-"),
                body: ConsentBody::Record(record),
            });
            offset += 1;
        }
        partition.timers();
        let mut click = self.clicks;
        for id in grants.iter().flat_map(|id| [id, id]) {
            let event = Click {
                subject_id: Some(id),
                session_id: "s",
                occurred_at: *now,
                kind: EventKind::ProductView,
                gpc: Some(false),
                ..Click::default()
            };
            let (payload, offset) = (Some(&b"-"[..]), click);
            partition.click(&ClickInput { offset, payload, click: Ok(event) });
            click += 1;
        }
        (self.clicks, self.consents) = (click, offset);
        end(partition, click, offset)
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now + span;
    }

    fn due(&self) -> bool {
        self.partition.next_due().is_some_and(|due| due <= self.now)
    }

    /// As another process has it from the topic: what it counts and how its segments stand is the same.
    fn restored(&self) -> Driver {
        let again = replayed(&self.log, &self.setup);
        assert_eq!(again.state.audiences, self.partition.state.audiences);
        assert_eq!(again.pack_subjects(), self.partition.pack_subjects());
        again
    }
}

fn told(output: &BatchOutput) -> (u64, u64, Option<String>) {
    let sum = |counts: Vec<&u64>| counts.into_iter().sum();
    let stated = output.outputs.iter().find_map(|it| match it {
        Output::Audit { body } => {
            let rulebook = AuditBatch::decode(body).unwrap().rulebook;
            rulebook.strip_prefix("audiences: ").map(str::to_owned)
        }
        _ => None,
    });
    let tally = &output.tally;
    let tombstones = tally.tombstones.values().collect();
    (sum(tally.assignments.values().collect()), sum(tombstones), stated)
}

fn says(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn nobody_is_named_before_enough_are_in_it_and_then_everybody_is() {
    let mut shop = Shop::new(audience());
    assert_eq!(shop.batch(&CLIENTS[..2], &[]), (0, 0, says("none")));
    shop.hear([Some(0), Some(1), Some(0)]);
    assert!(!shop.due(), "three");
    assert_eq!(shop.batch(&[], &[]), (0, 0, None));
    shop.hear([Some(1), Some(1), None]);
    assert!(shop.due(), "four at least, whatever the last one says");
    assert_eq!(shop.batch(&[], &[]), (2, 0, says("offers/twice open 4")));
    shop.restored();
    assert_eq!(shop.batch(&CLIENTS[2..3], &[]), (1, 0, None), "who comes is named at once");
    assert!(!shop.due());
}

#[test]
fn a_partition_with_enough_of_its_own_asks_nobody() {
    let mut shop = Shop::new(audience());
    assert_eq!(
        shop.batch(&CLIENTS[..4], &[]),
        (0, 0, says("none")),
        "counts are of what is committed"
    );
    assert_eq!(shop.batch(&[], &[]), (4, 0, says("offers/twice open 4")));
}

#[test]
fn what_was_heard_long_ago_or_of_another_rulebook_counts_for_nothing() {
    let mut shop = Shop::new(audience());
    shop.batch(&CLIENTS[..2], &[]);
    shop.hear([Some(9), Some(9), Some(9)]);
    shop.pass(Span(30_000));
    assert_eq!(shop.batch(&[], &[]), (0, 0, None), "30 s ago");
    let (rulebook, at) = ([1; 32], shop.now);
    let said = (0..3).map(|it| (it, Said { rulebook, at, counts: vec![9] })).collect();
    shop.partition.hear(&Arc::new(Heard { as_of: shop.now, said }));
    assert_eq!(shop.batch(&[], &[]), (0, 0, None), "another rulebook");
    let (rulebook, at) = (shop.setup.rulebook.sha256, shop.now - Span(2 * Span::HOUR.0));
    let said = (0..3).map(|it| (it, Said { rulebook, at, counts: vec![9] })).collect();
    shop.partition.hear(&Arc::new(Heard { as_of: shop.now, said }));
    assert_eq!(shop.batch(&[], &[]), (0, 0, None), "nobody has them");
}

/// Open with five: anna to emil are named.
fn open() -> Shop {
    let mut shop = Shop::new(audience());
    shop.hear([Some(0); 3]);
    shop.batch(&CLIENTS[..5], &[]);
    assert_eq!(shop.batch(&[], &[]), (5, 0, says("offers/twice open 5")));
    shop
}

#[test]
fn below_its_minimum_it_keeps_whom_it_has_for_an_hour_and_takes_nobody() {
    let mut shop = open();
    assert_eq!(shop.batch(&[], &CLIENTS[..2]), (0, 2, None), "the opt-outs' own");
    assert!(shop.due());
    assert_eq!(shop.batch(&[], &[]), (0, 0, says("offers/twice held")));
    shop.restored();
    shop.pass(Span(Span::HOUR.0 - 1));
    shop.hear([Some(0); 3]);
    assert!(!shop.due());
    assert_eq!(shop.batch(&[], &[]).1, 0);
    shop.pass(Span(1));
    assert!(shop.due());
    assert_eq!(shop.batch(&[], &[]), (0, 3, says("none")));
    shop.restored();
    assert_eq!(shop.partition.live_keys().count(), 0);
}

#[test]
fn whoever_comes_while_it_is_held_waits_until_it_opens() {
    let mut shop = open();
    shop.batch(&[], &CLIENTS[..2]);
    shop.batch(&[], &[]);
    shop.hear([None; 3]);
    assert_eq!(shop.batch(&CLIENTS[5..], &[]), (0, 0, None));
    assert!(shop.due());
    assert_eq!(shop.batch(&[], &[]), (1, 0, says("offers/twice open 4")));
}

#[test]
fn at_half_of_its_minimum_it_ends_at_once_unless_somebody_may_be_elsewhere() {
    let mut shop = open();
    shop.batch(&[], &CLIENTS[..3]);
    let output = shop.decide(&[], &[], true);
    assert_eq!(told(&output), (0, 2, says("none")));
    let reasons: Vec<&str> = output.tally.tombstones.keys().map(|(_, why)| why.label()).collect();
    assert_eq!(reasons, ["segments_left"]);
    shop.partition.rollback();
    shop.hear([Some(0), None, Some(0)]);
    assert_eq!(shop.batch(&[], &[]), (0, 0, says("offers/twice held")));
    shop.hear([Some(0), Some(0), Some(0)]);
    assert!(shop.due());
    assert_eq!(shop.batch(&[], &[]), (0, 2, says("none")));
}

#[test]
fn what_was_heard_grows_old_by_itself() {
    let mut shop = Shop::new(audience());
    shop.hear([Some(3), Some(3), Some(3)]);
    shop.batch(&CLIENTS[..2], &[]);
    assert_eq!(shop.batch(&[], &[]), (0, 0, None), "named with their clicks");
    assert_eq!(shop.partition.live_keys().count(), 2);
    shop.pass(Span(30_000));
    assert!(shop.due());
    assert_eq!(shop.batch(&[], &[]), (0, 0, says("offers/twice held")));
}

#[test]
fn a_batch_that_is_undone_leaves_counts_and_standing() {
    let mut shop = open();
    let before = shop.partition.state.audiences.clone();
    let (clicks, consents) = (shop.clicks, shop.consents);
    let first = shop.decide(&[], &CLIENTS[..3], true);
    assert_ne!(shop.partition.state.audiences, before);
    shop.partition.rollback();
    assert_eq!(shop.partition.state.audiences, before);
    (shop.clicks, shop.consents) = (clicks, consents);
    assert_eq!(shop.decide(&[], &CLIENTS[..3], true), first);
}

#[test]
fn a_closed_gate_ends_what_closes_and_assigns_nobody_until_it_opens() {
    let mut shop = Shop::new(audience());
    shop.hear([Some(0); 3]);
    shop.batch(&CLIENTS[..4], &[]);
    let output = shop.decide(&[], &[], false);
    assert_eq!(told(&output), (0, 0, says("offers/twice open 4")));
    shop.partition.confirm();
    assert!(shop.partition.has_deferred());
    assert_eq!(shop.batch(&[], &[]), (4, 0, None));
    shop.batch(&[], &CLIENTS[..2]);
    let output = shop.decide(&[], &[], false);
    assert_eq!(told(&output), (0, 2, says("none")));
}

#[test]
fn a_rulebook_that_asks_for_an_audience_ends_what_is_too_small_and_one_that_does_not_names_it_again()
 {
    let mut shop = Shop::new(setup_of(&rules("1", ""), &Keyset::first([7; 32])));
    assert_eq!(shop.batch(&CLIENTS[..3], &[]), (3, 0, None));
    shop.setup = setup_of(&rules("2", LEAST), &Keyset::first([7; 32]));
    shop.partition = replayed(&shop.log, &shop.setup);
    assert_eq!(shop.batch(&[], &[]), (3, 0, says("offers/twice held")), "of the new rulebook");
    shop.restored();
    shop.pass(Span::HOUR);
    assert_eq!(shop.batch(&[], &[]), (0, 3, says("none")));
    shop.setup = setup_of(&rules("3", ""), &Keyset::first([7; 32]));
    shop.partition = replayed(&shop.log, &shop.setup);
    assert_eq!(shop.batch(&[], &[]), (3, 0, None));
    let left = shop.log.iter().rev().find(|(key, _)| key == b"a").unwrap();
    assert_eq!(left.1, None, "nothing of an audience is left");
    replayed(&shop.log, &shop.setup);
}

#[test]
fn another_condition_begins_closed() {
    let mut shop = open();
    let changed = rules("2", LEAST).replace("at_least: 2", "at_least: 1");
    shop.setup = setup_of(&changed, &Keyset::first([7; 32]));
    shop.partition = replayed(&shop.log, &shop.setup);
    let output = shop.decide(&[], &[], true);
    assert_eq!(told(&output), (0, 5, says("none")));
    let reasons: Vec<&str> = output.tally.tombstones.keys().map(|(_, why)| why.label()).collect();
    assert_eq!(reasons, ["rulebook_changed"]);
}

#[test]
fn a_record_that_counts_otherwise_is_no_state_to_go_on_from() {
    let mut shop = open();
    let (_, value) = shop.log.iter_mut().rev().find(|(key, _)| key == b"a").unwrap();
    let bytes = value.as_mut().unwrap();
    let at = bytes.len() - 2;
    assert_eq!(bytes[at], 10, "five, as an Avro long");
    bytes[at] = 8;
    let mut restore = Restore::new(3);
    for (key, value) in &shop.log {
        restore.apply(key, value.as_deref()).unwrap();
    }
    let refusal = restore.finish(Arc::clone(&shop.setup)).err();
    assert!(matches!(refusal, Some(Refusal::Damaged { .. })), "{refusal:?}");
}
