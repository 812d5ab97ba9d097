//! States of earlier formats, as the builds of their time left them: restored whole, and written anew in
//! today's format. `tests/vectors/state_format_<n>.tsv`: key, value in hex or `-`, in the order of the log.

use super::accepted::TWO;
use super::*;
use crate::engine::input::Synced;
use crate::engine::ledger::FORMAT;

/// What that state holds: Anna and Bert live for both purposes, then Bert's signal; Bert also denied
/// `later` and granted `promo`, which nothing declares; Carl is erased, Dora contradicts herself, and of
/// Emil there is a signal alone.
pub fn former_log() -> Log {
    read(include_str!("../../../../../tests/vectors/state_format_1.tsv"))
}

fn read(log: &str) -> Log {
    let lines = log.lines();
    let record = |line: &str| {
        let (key, value) = line.split_once('\t').unwrap();
        (key.as_bytes().to_vec(), (value != "-").then(|| from_hex(value)))
    };
    lines.map(record).collect()
}

/// A partition's state as it lies in the topic.
pub type Log = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub fn replayed(log: &Log, setup: &Arc<Setup>) -> Driver {
    let mut restore = Restore::new(3);
    for (key, value) in log {
        restore.apply(key, value.as_deref()).unwrap();
    }
    Driver::new(restore.finish(Arc::clone(setup)).unwrap())
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn live(partition: &Driver) -> Vec<&str> {
    let mut live: Vec<&str> = partition.live_keys().map(|(purpose, _)| purpose).collect();
    live.sort_unstable();
    live
}

/// Anna and Bert granted both purposes, and Anna looked twice at `START`; Carl was erased an hour later, and
/// Emil sent a signal. Format 2 does not say when consent was last in sync: its last batch was the last
/// sign of life.
#[test]
fn a_state_of_format_2_counts_an_absence_from_its_last_batch() {
    let setup = setup_of(TWO, &Keyset::first([7; 32]));
    let log = read(include_str!("../../../../../tests/vectors/state_format_2.tsv"));
    let mut partition = replayed(&log, &setup);
    assert_eq!(live(&partition), ["ads", "offers"]);
    assert_eq!((partition.state.subjects.len(), partition.state.subjects.signals.len()), (3, 1));
    let last = START + Span::HOUR;
    assert_eq!(partition.consent_synced_at(), Some(last));

    let synced = |at| Some(Synced { at, asks_for_batch: true });
    let now = last + Span::DAY;
    partition.begin(now, true);
    let coverage = Coverage { click_to: 3, consent_to: 4, barrier: 4, synced: synced(now) };
    let output = partition.finish(coverage);
    partition.rollback();
    assert_eq!(partition.consent_synced_at(), Some(last), "undone");
    partition.begin(now, true);
    assert_eq!(partition.finish(coverage).outputs.len(), output.outputs.len());
    partition.confirm();
    let written = output.outputs.into_iter().filter_map(|it| match it {
        Output::State { key, value } => Some((key, value)),
        _ => None,
    });
    let again = replayed(&log.into_iter().chain(written).collect(), &setup);
    assert_eq!(again.consent_synced_at(), Some(now), "format 3 says it");
    assert_eq!(again.pack_subjects(), partition.pack_subjects());
}

/// Anna granted both purposes and looked twice. Format 3 says of nobody which audiences they are in.
#[test]
fn a_state_of_format_3_is_restored_and_rewritten() {
    let setup = setup_of(TWO, &Keyset::first([7; 32]));
    let log = read(include_str!("../../../../../tests/vectors/state_format_3.tsv"));
    let mut partition = replayed(&log, &setup);
    assert_eq!(live(&partition), ["ads", "offers"]);
    assert_eq!(partition.consent_synced_at(), Some(START));
    partition.begin(START + Span::MINUTE, true);
    give(&mut partition, 1, &record(2, ConsentStatus::Denied));
    let output = end(&mut partition, 2, 2);
    partition.confirm();
    assert_eq!(output.tally.tombstones.values().sum::<u64>(), 2);
    let written = output.outputs.into_iter().filter_map(|it| match it {
        Output::State { key, value } => Some((key, value)),
        _ => None,
    });
    let again = replayed(&log.into_iter().chain(written).collect(), &setup);
    assert_eq!(again.pack_subjects(), partition.pack_subjects());
}

#[test]
fn a_state_of_the_format_before_is_restored_and_rewritten() {
    let setup = setup_of(TWO, &Keyset::first([7; 32]));
    let mut log = former_log();
    let mut partition = replayed(&log, &setup);
    assert_eq!(live(&partition), ["ads", "offers", "offers"]);
    assert_eq!((partition.state.subjects.len(), partition.state.subjects.signals.len()), (4, 1));
    let formats = |output: &BatchOutput| -> Vec<u8> {
        let states = output.outputs.iter().filter_map(|it| match it {
            Output::State { key, value: Some(value) } if !key.starts_with(b"r/") => Some(value[0]),
            _ => None,
        });
        states.collect()
    };

    // Withdrawn under its own key, whatever its record said then.
    partition.begin(START + Span::HOUR, true);
    give(&mut partition, 6, &record(5, ConsentStatus::Denied));
    partition.timers();
    let output = end(&mut partition, 8, 7);
    partition.confirm();
    assert_eq!(output.tally.tombstones.values().sum::<u64>(), 2, "Anna's");
    assert_eq!(live(&partition), ["offers"], "Bert's");
    assert!(formats(&output).iter().all(|format| *format == FORMAT));
    log.extend(output.outputs.iter().filter_map(|it| match it {
        Output::State { key, value } => Some((key.clone(), value.clone())),
        _ => None,
    }));
    let again = replayed(&log, &setup);
    assert_eq!(again.pack_subjects(), partition.pack_subjects(), "two formats side by side");

    // Who was live is renewed at half a lease, whoever is left.
    partition.begin(START + Span::DAY, true);
    partition.timers();
    assert_eq!(assignments(&end(&mut partition, 8, 7)), 1);
}
