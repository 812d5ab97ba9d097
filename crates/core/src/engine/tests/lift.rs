//! A holdout: what is decided, counted and kept of whoever is held out, and what a rollout of it does.

use super::*;
use crate::engine::lift::{Lift, Month};

/// Of the purpose `letters` Anna is held out from 41 per cent on (computed apart from her token).
fn rules(version: &str, measure: &str) -> String {
    RULES
        .replace("rulebook: \"1\"", &format!("rulebook: \"{version}\""))
        .replace("offers", "letters")
        .replace("retention: 30d}", &format!("retention: 30d{measure}}}"))
}

fn measured(percent: u8) -> String {
    format!(", measure: {{holdout: {percent}%, of: PURCHASE, within: 14d}}")
}

fn of(version: &str, measure: &str) -> Arc<Setup> {
    setup_of(&rules(version, measure), &Keyset::first([7; 32]))
}

fn decided(version: i64, status: ConsentStatus) -> ConsentRecord {
    let mut record = record(version, status);
    record.decisions =
        record.decisions.into_values().map(|it| ("letters".to_owned(), it)).collect();
    record
}

/// Grant and two views.
fn comes(partition: &mut Driver) -> BatchOutput {
    partition.begin(START, true);
    give(partition, 0, &decided(1, ConsentStatus::Granted));
    partition.timers();
    look(partition, 0, START);
    look(partition, 1, START);
    end(partition, 2, 1)
}

fn buy(partition: &mut Driver, offset: i64, at: Timestamp) {
    act(partition, EventKind::Purchase, offset, at);
}

fn counted(partition: &Driver) -> Vec<[i64; 4]> {
    let lifts = partition.lifts().iter();
    let of = |((month, purpose), it): ((&Month, &String), &Lift)| {
        assert_eq!((month.text().as_str(), purpose.as_str()), ("2026-11", "letters"));
        [it.treated, it.held_out, it.converted_treated, it.converted_held_out]
    };
    lifts.map(|(key, it)| of(((&key.0, &key.1), it))).collect()
}

#[test]
fn whoever_is_held_out_is_decided_alike_and_assigned_nothing() {
    let (held, treated) = (of("1", &measured(50)), of("1", &measured(30)));
    let (mut out, mut own) = (fresh(&held), fresh(&treated));
    let (first, other) = (comes(&mut out), comes(&mut own));
    assert_eq!((assignments(&first), assignments(&other)), (0, 1));
    assert_eq!(
        (&first.tally.verdicts, &first.tally.outcomes),
        (&other.tally.verdicts, &other.tally.outcomes)
    );
    assert_eq!((counted(&out), counted(&own)), (vec![[0, 1, 0, 0]], vec![[1, 0, 0, 0]]));
    for partition in [&mut out, &mut own] {
        partition.confirm();
        partition.begin(START + Span::MINUTE, true);
        buy(partition, 2, START);
        buy(partition, 3, START + Span::SECOND);
        buy(partition, 4, START + Span::MINUTE);
        end(partition, 5, 1);
        partition.confirm();
    }
    assert_eq!((counted(&out), counted(&own)), (vec![[0, 1, 0, 1]], vec![[1, 0, 1, 0]]));
    assert_eq!(out.live_keys().count(), 0);
    assert!(!out.has_live(b"anna") && own.has_live(b"anna"));
}

#[test]
fn totals_and_trials_are_undone_and_restored() {
    let setup = of("1", &measured(50));
    let mut partition = fresh(&setup);
    comes(&mut partition);
    partition.rollback();
    assert_eq!(counted(&partition), Vec::<[i64; 4]>::new());
    let first = comes(&mut partition);
    partition.confirm();
    let mut restored = recover(&setup, &[&first]);
    assert_eq!(restored.lifts(), partition.lifts());
    for partition in [&mut restored, &mut partition] {
        partition.begin(START + Span::HOUR, true);
        partition.timers();
        buy(partition, 2, START + Span::MINUTE);
        end(partition, 3, 1);
        partition.confirm();
        // No segment holds any more, and the click came within 14 days all the same.
        assert_eq!(counted(partition), [[0, 1, 0, 1]]);
    }
    assert_eq!(restored.pack_subjects(), partition.pack_subjects());
    let held = partition.held_of(b"anna", START + Span::HOUR);
    let trial = held.purposes[0].trial.expect("it is held of her");
    assert!(trial.since == START && trial.has_converted && !trial.is_in);
}

#[test]
fn an_opt_out_takes_what_is_kept_to_measure_with_it() {
    let setup = of("1", &measured(50));
    let mut partition = fresh(&setup);
    comes(&mut partition);
    partition.confirm();
    partition.begin(START + Span::MINUTE, true);
    give(&mut partition, 1, &decided(2, ConsentStatus::Denied));
    end(&mut partition, 2, 2);
    partition.confirm();
    let held = partition.held_of(b"anna", START + Span::MINUTE);
    assert_eq!(held.purposes[0].trial, None);
    partition.begin(START + Span::MINUTE, true);
    buy(&mut partition, 2, START + Span::MINUTE);
    end(&mut partition, 3, 2);
    partition.confirm();
    assert_eq!(counted(&partition), [[0, 1, 0, 0]]);
}

#[test]
fn a_rollout_ends_the_keys_of_those_held_out_and_another_gives_them_back() {
    let mut log = Vec::new();
    let mut partition = fresh(&of("1", ""));
    let first = comes(&mut partition);
    assert_eq!((assignments(&first), counted(&partition)), (1, vec![]));
    log.push(first);
    for (version, measure, expected, total) in [
        ("2", measured(50), (0, vec![TombstoneReason::RulebookChanged]), vec![[0, 1, 0, 0]]),
        ("3", String::new(), (1, vec![]), vec![[0, 1, 0, 0]]),
        ("4", measured(30), (1, vec![]), vec![[1, 1, 0, 0]]),
    ] {
        let all: Vec<&BatchOutput> = log.iter().collect();
        let mut partition = recover(&of(version, &measure), &all);
        partition.begin(START + Span::MINUTE, true);
        partition.timers();
        let output = end(&mut partition, 2, 1);
        assert_eq!((assignments(&output), tombstones(&output)), expected, "{version}");
        assert_eq!(counted(&partition), total, "{version}");
        log.push(output);
    }
}

#[test]
fn a_closed_gate_counts_nobody_before_it_opens() {
    for percent in [30, 50] {
        let mut partition = fresh(&of("1", &measured(percent)));
        partition.begin(START, true);
        give(&mut partition, 0, &decided(1, ConsentStatus::Granted));
        look(&mut partition, 0, START);
        end(&mut partition, 1, 1);
        partition.confirm();
        partition.begin(START + Span::MINUTE, false);
        look(&mut partition, 1, START + Span::MINUTE);
        end(&mut partition, 2, 1);
        partition.confirm();
        assert_eq!(counted(&partition), Vec::<[i64; 4]>::new());
        partition.begin(START + Span::MINUTE, true);
        look(&mut partition, 2, START + Span::MINUTE);
        end(&mut partition, 3, 1);
        partition.confirm();
        let is_out = i64::from(percent == 50);
        assert_eq!(counted(&partition), [[1 - is_out, is_out, 0, 0]]);
    }
}

#[test]
fn whoever_is_held_out_is_in_no_audience_when_they_come_nor_after_a_rollout() {
    let with_audience =
        |version: &str, percent| of(version, &format!("{}, min_members: 2", measured(percent)));
    let members = |partition: &Driver| partition.state.audiences.counts();
    for (percent, expected) in [(30, [1]), (50, [0])] {
        let mut partition = fresh(&with_audience("1", percent));
        let first = comes(&mut partition);
        partition.confirm();
        assert_eq!(members(&partition), expected, "{percent}");
        for (percent, expected) in [(30, [1]), (50, [0])] {
            let partition = recover(&with_audience("2", percent), &[&first]);
            assert_eq!(members(&partition), expected, "{percent} after a rollout");
        }
    }
}
