//! Another rulebook, another key: what is live follows, in entries of its own.

use super::*;
use assent_contract::domain::audit::Change;

const SECRETS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "//////////////////////////////////////////8=",
];

/// Version 1, or version 2 after a rotation.
fn keyset(active: usize) -> Keyset {
    let status = |version: usize| if version == active { "active" } else { "retiring" };
    let keys: Vec<String> = (1..=active)
        .map(|version| {
            let (status, secret) = (status(version), SECRETS[version - 1]);
            format!(r#"{{"version":{version},"status":"{status}","secret":"{secret}"}}"#)
        })
        .collect();
    Keyset::parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap()
}

/// One subject in segment `twice`, and what it left in the state.
fn with_a_live_key(setup: &Arc<Setup>) -> (Driver, BatchOutput) {
    let mut partition = fresh(setup);
    let first = first_batch(&mut partition);
    assert_eq!(assignments(&first), 1);
    partition.confirm();
    (partition, first)
}

fn sweep(partition: &mut Driver) -> BatchOutput {
    partition.begin(START + Span::MINUTE, true);
    partition.timers();
    let output = end(partition, 2, 1);
    partition.confirm();
    output
}

fn reasons(output: &BatchOutput) -> Vec<TombstoneReason> {
    let reason = |output: &Output| match output {
        Output::Tombstone { reason, .. } => Some(*reason),
        _ => None,
    };
    output.outputs.iter().filter_map(reason).collect()
}

fn changed_to(first: &BatchOutput, rules: &str) -> Driver {
    recover(&setup_of(rules, &keyset(1)), &[first])
}

#[test]
fn an_unchanged_segment_is_written_anew_under_the_next_rulebook() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let mut partition = changed_to(&first, &RULES.replace("\"1\"", "\"2\""));
    assert!(partition.is_outdated());
    let swept = sweep(&mut partition);
    assert_eq!((assignments(&swept), reasons(&swept)), (1, vec![]));
    assert!(!partition.is_outdated());
    assert_eq!(assignments(&sweep(&mut partition)), 0);
}

#[test]
fn a_changed_segment_ends_with_rulebook_changed() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let stricter = RULES.replace("\"1\"", "\"2\"").replace("at_least: 2", "at_least: 5");
    let swept = sweep(&mut changed_to(&first, &stricter));
    assert_eq!(reasons(&swept), [TombstoneReason::RulebookChanged]);
}

#[test]
fn a_purpose_that_became_stricter_ends_with_its_verdict() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let suspended = RULES
        .replace("\"1\"", "\"2\"")
        .replace("retention: 30d", "retention: 30d, suspended: true");
    let swept = sweep(&mut changed_to(&first, &suspended));
    assert_eq!(reasons(&swept), [TombstoneReason::Withheld(Verdict::PurposeSuspended)]);
}

/// Found by the simulator: only live keys were swept, and counters outlived the suspension (INV-4).
#[test]
fn what_was_counted_for_a_purpose_ends_when_it_is_suspended() {
    let version = |number: &str| RULES.replace("\"1\"", number);
    let mut partition = fresh(&setup_of(RULES, &keyset(1)));
    partition.begin(START, true);
    give(&mut partition, 0, &record(1, ConsentStatus::Granted));
    look(&mut partition, 0, START);
    let first = end(&mut partition, 1, 1);
    let suspended = version("\"2\"").replace("retention: 30d", "retention: 30d, suspended: true");
    let mut partition = recover(&setup_of(&suspended, &keyset(1)), &[&first]);
    partition.begin(START + Span::MINUTE, true);
    partition.timers();
    let second = end(&mut partition, 1, 1);
    let mut partition = recover(&setup_of(&version("\"3\""), &keyset(1)), &[&first, &second]);
    partition.begin(START + Span::MINUTE, true);
    look(&mut partition, 1, START + Span::MINUTE);
    assert_eq!(assignments(&end(&mut partition, 2, 1)), 0, "it starts from nothing");
}

#[test]
fn a_purpose_that_is_gone_is_judged_until_its_last_key_is() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let renamed = RULES.replace("\"1\"", "\"2\"").replace("offers", "greetings");
    let mut partition = changed_to(&first, &renamed);
    let swept = sweep(&mut partition);
    assert_eq!(*swept.purposes, ["greetings".to_owned(), "offers".to_owned()]);
    assert_eq!(reasons(&swept), [TombstoneReason::RulebookChanged]);
    assert_eq!(*sweep(&mut partition).purposes, ["greetings".to_owned()]);
}

#[test]
fn a_sweep_goes_on_after_a_restart() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let next = RULES.replace("\"1\"", "\"2\"");
    let mut partition = changed_to(&first, &next);
    partition.begin(START + Span::MINUTE, false);
    partition.timers();
    let closed = end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!(assignments(&closed), 0, "a closed gate holds the assignment back");
    let mut restarted = recover(&setup_of(&next, &keyset(1)), &[&first, &closed]);
    assert!(restarted.is_outdated());
    assert_eq!(assignments(&sweep(&mut restarted)), 1);
}

#[test]
fn a_version_that_was_left_or_changed_is_refused() {
    let (_, first) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let next = RULES.replace("\"1\"", "\"2\"");
    let swept = sweep(&mut changed_to(&first, &next));
    let refusal = |rules: &str| {
        let mut restore = Restore::new(3);
        for output in first.outputs.iter().chain(&swept.outputs) {
            if let Output::State { key, value } = output {
                restore.apply(key, value.as_deref()).unwrap();
            }
        }
        restore.finish(setup_of(rules, &keyset(1))).err().unwrap()
    };
    assert!(matches!(refusal(RULES), Refusal::RulebookLeft { .. }));
    let other = next.replace("Looked twice", "Looked again");
    assert!(matches!(refusal(&other), Refusal::RulebookContent { .. }));
}

#[test]
fn a_live_key_moves_to_the_active_key_in_one_batch() {
    let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    partition.set_keys(setup_of(RULES, &keyset(2))).unwrap();
    assert!(partition.has_old_keys());
    partition.begin(START + Span::MINUTE, true);
    partition.timers();
    partition.change_key(b"anna");
    let output = end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!(assignments(&output), 1);
    assert_eq!(reasons(&output), [TombstoneReason::KeyRetired]);
    assert!(!partition.has_old_keys());
}

/// Found by the simulator: the timer came first, without the raw id, and the sweep passed by.
#[test]
fn a_live_key_whose_own_time_comes_in_the_same_batch_moves_too() {
    let long = RULES.replace("within: 1h", "within: 30d");
    let (mut partition, _) = with_a_live_key(&setup_of(&long, &keyset(1)));
    partition.set_keys(setup_of(&long, &keyset(2))).unwrap();
    partition.begin(START + Span(LEASE.0 / 2), true);
    partition.timers();
    partition.change_key(b"anna");
    let output = end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!(assignments(&output), 1);
    assert_eq!(reasons(&output), [TombstoneReason::KeyRetired]);
    assert!(!partition.has_old_keys() && !partition.has_deferred());
}

/// Found by the simulator: where a clock was set back, the batch after a rotation has the `now` of the one
/// before it, and what was written then was taken for a breach, and removed.
#[test]
fn what_was_live_before_a_rotation_is_no_breach_at_the_same_now() {
    let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    partition.set_keys(setup_of(RULES, &keyset(2))).unwrap();
    partition.begin(START - Span::MINUTE, false);
    give(&mut partition, 1, &record(1, ConsentStatus::Granted));
    let output = end(&mut partition, 2, 2);
    assert_eq!((output.violations.clone(), reasons(&output)), Default::default());
    partition.confirm();
    assert!(partition.has_live(b"anna"));
}

/// Found by the simulator: when the grant began, a timer had only the old key's pseudonym.
#[test]
fn a_purpose_that_only_time_will_allow_moves_to_the_active_key_too() {
    let rules = RULES
        .replace("behavioral", "demographic")
        .replace("count: {of: PRODUCT_VIEW, within: 1h, at_least: 2}", "age_band: {in: [FROM_18]}");
    let mut partition = fresh(&setup_of(&rules, &keyset(1)));
    let mut later = record(1, ConsentStatus::Granted);
    later.decisions.get_mut("offers").unwrap().since = START + Span::HOUR;
    partition.begin(START, true);
    give(&mut partition, 0, &later);
    end(&mut partition, 0, 1);
    partition.confirm();
    partition.set_keys(setup_of(&rules, &keyset(2))).unwrap();
    partition.begin(START + Span::MINUTE, true);
    partition.change_key(b"anna");
    end(&mut partition, 0, 1);
    partition.confirm();
    assert!(!partition.has_old_keys());
    partition.begin(START + Span::HOUR, true);
    partition.timers();
    assert_eq!(assignments(&end(&mut partition, 0, 1)), 1);
}

/// Found by the simulator (seed 22441): deferred at each batch, since no timer has a raw id.
#[test]
fn a_live_key_whose_owner_nobody_names_ends_and_begins_anew_with_a_click() {
    let long = RULES.replace("within: 1h", "within: 30d");
    let (mut partition, _) = with_a_live_key(&setup_of(&long, &keyset(1)));
    partition.set_keys(setup_of(&long, &keyset(2))).unwrap();
    let now = START + Span(LEASE.0 / 2);
    partition.begin(now, true);
    partition.timers();
    end(&mut partition, 2, 1);
    partition.confirm();
    assert!(partition.has_deferred(), "due, and nobody says whose it is");
    for is_undone in [true, false] {
        partition.begin(now, true);
        partition.timers();
        partition.end_old_keys();
        let output = end(&mut partition, 2, 1);
        assert_eq!(
            (assignments(&output), reasons(&output)),
            (0, vec![TombstoneReason::KeyRetired])
        );
        if is_undone {
            partition.rollback();
            assert!(partition.has_live(b"anna") && partition.has_old_keys());
        } else {
            partition.confirm();
        }
    }
    assert!(!partition.has_old_keys() && !partition.has_deferred() && !partition.has_live(b"anna"));
    for (offset, written) in [(2, 0), (3, 1)] {
        partition.begin(now, true);
        look(&mut partition, offset, now);
        assert_eq!(assignments(&end(&mut partition, offset + 1, 1)), written, "from nothing");
        partition.confirm();
    }
}

/// What undoes a batch must not bring back the keys from before it.
#[test]
fn keys_that_come_while_a_batch_is_decided_stay_whichever_way_it_ends() {
    for is_confirmed in [true, false] {
        let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
        partition.begin(START + Span::MINUTE, true);
        end(&mut partition, 3, 1);
        partition.set_keys(setup_of(RULES, &keyset(2))).unwrap();
        if is_confirmed {
            partition.confirm();
        } else {
            partition.rollback();
        }
        let ledger = &partition.state.ledger;
        assert_eq!((ledger.active_key, ledger.key_fingerprints.len()), (2, 2));
        assert_eq!(ledger.next_click, if is_confirmed { 3 } else { 2 });
        partition.begin(START + Span::MINUTE, true);
        partition.change_key(b"anna");
        assert_eq!(reasons(&end(&mut partition, 3, 1)), [TombstoneReason::KeyRetired]);
    }
}

#[test]
fn an_opt_out_during_a_rotation_removes_the_old_key() {
    let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    partition.set_keys(setup_of(RULES, &keyset(2))).unwrap();
    let output = denial(&mut partition);
    let opted_out = TombstoneReason::Withheld(Verdict::OptedOut);
    assert_eq!(reasons(&output), [TombstoneReason::KeyRetired, opted_out]);
}

#[test]
fn another_secret_under_a_known_version_is_refused() {
    let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    let other = setup_of(RULES, &Keyset::first([9; 32]));
    assert_eq!(partition.set_keys(other), Err(Refusal::KeyContent { version: 1 }));
}

#[test]
fn effects_name_the_key_version_that_they_are_of() {
    let (mut partition, _) = with_a_live_key(&setup_of(RULES, &keyset(1)));
    partition.set_keys(setup_of(RULES, &keyset(2))).unwrap();
    partition.begin(START + Span::MINUTE, true);
    partition.change_key(b"anna");
    let output = end(&mut partition, 2, 1);
    let audit = output.outputs.iter().find_map(|output| match output {
        Output::Audit { body } => {
            Some(assent_contract::domain::audit::AuditBatch::decode(body).unwrap())
        }
        _ => None,
    });
    let effects = &audit.unwrap().entries[0].effects;
    let named = |effect: &assent_contract::domain::audit::Effect| {
        (effect.key_version, matches!(effect.change, Change::Assigned(_)))
    };
    assert_eq!(effects.iter().map(named).collect::<Vec<_>>(), [(2, true), (1, false)]);
}

/// A denial for a purpose that comes only with the next rulebook must not read as "never asked".
#[test]
fn a_purpose_that_is_declared_later_knows_what_was_decided_before() {
    let setup = setup_of(RULES, &keyset(1));
    let mut partition = fresh(&setup);
    partition.begin(START, true);
    let mut both = record(1, ConsentStatus::Granted);
    let mut denied = both.decisions["offers"].clone();
    denied.status = ConsentStatus::Denied;
    both.decisions.insert("anna".to_owned(), denied);
    give(&mut partition, 0, &both);
    let first = end(&mut partition, 0, 1);
    let kept = |needle: &[u8]| {
        first.outputs.iter().any(|output| match output {
            Output::State { value: Some(value), .. } => {
                value.windows(needle.len()).any(|window| window == needle)
            }
            _ => false,
        })
    };
    assert!(kept(b"offers") && !kept(b"anna"), "a raw id as a decision's key is not kept");
    let next = RULES
        .replace("\"1\"", "\"2\"")
        .replace("requires_opt_in: true", "requires_opt_in: false")
        .replace("id: offers", "id: anna")
        .replace("purpose: offers", "purpose: anna");
    let mut later = recover(&setup_of(&next, &keyset(1)), &[&first]);
    later.begin(START + Span::MINUTE, true);
    look(&mut later, 0, START + Span::MINUTE);
    let output = end(&mut later, 1, 1);
    assert_eq!(output.tally.verdicts.get(&(0, Verdict::OptedOut)), Some(&1));
}

/// What a purpose that is gone left behind is judged by nobody, so no key of it moves: it goes with the
/// purpose, or a rotation would look for its owner for ever.
#[test]
fn a_purpose_that_is_gone_leaves_nothing_for_a_rotation_to_move() {
    let two = RULES.replace(
        "segments:\n",
        "  - {id: news, title: News, sale_or_share: false, requires_opt_in: false, retention: 30d}\n\
         segments:\n  - id: often\n    title: Looked often\n    why: To greet\n    owner: m@shop.example\n    \
         approach: behavioral\n    purpose: news\n    when: {count: {of: PRODUCT_VIEW, within: 1h, at_least: 9}}\n",
    );
    let (partition, first) = with_a_live_key(&setup_of(&two, &keyset(1)));
    assert_eq!(partition.stats().pseudonyms.values().sum::<i64>(), 2, "news is counted, not live");
    let mut partition = changed_to(&first, &RULES.replace("\"1\"", "\"2\""));
    sweep(&mut partition);
    assert_eq!(partition.stats().pseudonyms.values().sum::<i64>(), 1);
    partition.set_keys(setup_of(&RULES.replace("\"1\"", "\"2\""), &keyset(2))).unwrap();
    partition.begin(START + Span(2 * Span::MINUTE.0), true);
    partition.change_key(b"anna");
    partition.end_old_keys();
    let output = end(&mut partition, 2, 1);
    partition.confirm();
    assert_eq!((assignments(&output), reasons(&output)), (1, vec![TombstoneReason::KeyRetired]));
    assert!(!partition.has_old_keys());
}

#[test]
fn a_key_is_live_from_its_batch_on_and_until_its_end_is_committed() {
    let mut partition = fresh(&setup_of(RULES, &keyset(1)));
    first_batch(&mut partition);
    assert!(partition.has_live(b"anna"), "with the batch at hand");
    partition.rollback();
    assert!(!partition.has_live(b"anna"));
    first_batch(&mut partition);
    partition.confirm();
    denial(&mut partition);
    assert!(partition.has_live(b"anna"), "it may be undone");
    partition.confirm();
    assert!(!partition.has_live(b"anna"));
}
