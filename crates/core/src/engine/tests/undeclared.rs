//! Decisions for purposes that no rulebook declares: they cost their record, never a table, and count from
//! the moment at which a rulebook declares them.

use super::former::{former_log, replayed};
use super::*;
use crate::engine::ledger::FORMAT;

/// The rulebook, with these purposes besides `offers`.
fn rules_with(version: &str, purposes: &[&str]) -> String {
    let mut rules = RULES.replace("rulebook: \"1\"", &format!("rulebook: \"{version}\""));
    for id in purposes {
        let purpose = format!(
            "  - {{id: {id}, title: More, sale_or_share: false, requires_opt_in: false, retention: 30d}}\n"
        );
        let segment = format!(
            "  - {{id: s-{id}, title: Grown, why: w, owner: o@shop.example, approach: demographic, \
             purpose: {id}, when: {{age_band: {{in: [FROM_18]}}}}}}\n"
        );
        rules = rules.replace("segments:\n", &format!("{purpose}segments:\n{segment}"));
    }
    rules
}

fn setup_with(version: &str, purposes: &[&str]) -> Arc<Setup> {
    let mut setup =
        Arc::into_inner(setup_of(&rules_with(version, purposes), &Keyset::first([7; 32]))).unwrap();
    setup.segment_partitions =
        ["offers"].iter().chain(purposes).map(|id| ((*id).to_owned(), 4)).collect();
    Arc::new(setup)
}

fn meta_of(output: &BatchOutput) -> &[u8] {
    let meta = output.outputs.iter().find_map(|it| match it {
        Output::State { key, value: Some(value) } if key == b"meta" => Some(value),
        _ => None,
    });
    meta.expect("the partition's own record")
}

/// So many undeclared decisions in one record, all of its own.
fn flooded(version: i64, count: i64) -> ConsentRecord {
    let mut record = record(version, ConsentStatus::Granted);
    let decision = record.decisions["offers"].clone();
    for at in 0..count {
        record.decisions.insert(format!("p-{version}-{at}"), decision.clone());
    }
    record
}

#[test]
fn a_flood_of_undeclared_purposes_leaves_no_trace_but_in_the_last_record() {
    let setup = setup();
    let mut partition = fresh(&setup);
    let mut outputs = vec![first_batch(&mut partition)];
    partition.confirm();
    let before = meta_of(&outputs[0]).len();
    for version in 2..42 {
        partition.begin(START, true);
        give(&mut partition, version - 1, &flooded(version, 250));
        let output = end(&mut partition, 2, version);
        partition.confirm();
        assert_eq!(output.tally.outcomes.values().sum::<u64>(), 1);
        assert!(partition.state.subjects.len() == 1 && output.tally.dead_letters.is_empty());
        assert_eq!(partition.stats().subjects.get(&SubjectKind::Record), Some(&1));
        assert!(meta_of(&output).len() < before + 16, "{} bytes", meta_of(&output).len());
        outputs.push(output);
    }
    let packed = partition.pack_subjects().len();
    assert!(packed < 250 * 20, "{packed} bytes");
    partition.begin(START, true);
    give(&mut partition, 41, &record(42, ConsentStatus::Granted));
    outputs.push(end(&mut partition, 2, 42));
    partition.confirm();
    assert!(partition.pack_subjects().len() < 250);

    let declared = setup_with("2", &["p-41-7"]);
    let again = recover(&declared, &outputs.iter().collect::<Vec<_>>());
    assert_eq!(again.positions(), partition.positions());
}

#[test]
fn a_decision_counts_once_its_purpose_is_declared() {
    let mut record = record(1, ConsentStatus::Granted);
    let decision = record.decisions["offers"].clone();
    let denied = Decision { status: ConsentStatus::Denied, ..decision.clone() };
    record.decisions.insert("later".to_owned(), denied);
    record.decisions.insert("promo".to_owned(), decision);
    let mut partition = fresh(&setup());
    partition.begin(START, true);
    give(&mut partition, 0, &record);
    let first = end(&mut partition, 0, 1);
    partition.confirm();

    let mut again = recover(&setup_with("2", &["later", "promo"]), &[&first]);
    again.begin(START + Span::MINUTE, true);
    again.timers();
    look(&mut again, 0, START);
    let output = end(&mut again, 1, 1);
    again.confirm();
    let verdict = |of: u16, verdict| output.tally.verdicts.get(&(of, verdict)).copied();
    assert_eq!(&*output.purposes, ["later", "offers", "promo"]);
    assert_eq!(verdict(0, Verdict::OptedOut), Some(1));
    assert_eq!(verdict(2, Verdict::OptIn), Some(1));
    let third = recover(&setup_with("2", &["later", "promo"]), &[&first, &output]);
    assert_eq!(third.pack_subjects(), again.pack_subjects());
}

/// Format 1 filled a table of 4,096 names, refused records from there on, and then any new purpose.
#[test]
fn a_full_table_of_the_format_before_blocks_no_declared_purpose() {
    let mut log = former_log();
    let meta = log.iter_mut().rfind(|(key, _)| key == b"meta").unwrap();
    fill_names(meta.1.as_mut().unwrap(), 4_096);
    let setup = setup_with("2", &["ads", "later", "promo", "brand-new"]);
    let mut partition = replayed(&log, &setup);
    partition.begin(START + Span::HOUR, true);
    partition.timers();
    let first = end(&mut partition, 8, 6);
    partition.confirm();
    assert!(meta_of(&first).len() < 1_000, "{} bytes", meta_of(&first).len());
    let writes_names = |output: &BatchOutput| {
        output.outputs.iter().any(|it| matches!(it, Output::State { key, .. } if key == b"n"))
    };
    assert!(writes_names(&first), "so that what is left of format 1 can be read");
    partition.begin(START + Span::HOUR, true);
    look(&mut partition, 8, START);
    let second = end(&mut partition, 9, 6);
    partition.confirm();
    assert!(!writes_names(&second));

    for output in [&first, &second] {
        for written in &output.outputs {
            if let Output::State { key, value } = written {
                log.push((key.clone(), value.clone()));
            }
        }
    }
    let again = replayed(&log, &setup);
    assert_eq!(again.pack_subjects(), partition.pack_subjects());
    assert_eq!(meta_of(&second)[0], FORMAT);
}

/// Adds names to a record of format 1 until it has so many: they stand before two topics' ids, a time and
/// a flag.
fn fill_names(meta: &mut Vec<u8>, count: usize) {
    use assent_contract::domain::binary::Write as _;
    const BEHIND: usize = 16 + 16 + 1 + 1;
    let ads = meta.windows(4).rposition(|it| it == b"\x06ads").unwrap();
    let known = usize::from(meta[ads - 1] / 2);
    let behind = meta.split_off(meta.len() - BEHIND);
    let names = meta.split_off(ads);
    meta.pop();
    meta.put_long(count as i64);
    meta.extend(names);
    for at in known..count {
        meta.put_string(&format!("#{at:032x}"));
    }
    meta.extend(behind);
}
