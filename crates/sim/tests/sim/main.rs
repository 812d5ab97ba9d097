//! The simulator, run: no seed breaks an invariant, a seed is the same history twice, and every fault
//! meets every crash point.
//!
//! `SIM_SEEDS` says how many (a developer's run: 200); a build with the profile `sim` does 10,000 in
//! a minute or two: `SIM_SEEDS=10000 cargo test --profile sim -p assent-sim --test sim`. `SIM_SEED`
//! is the first of them (0): `SIM_SEED=4711 SIM_SEEDS=1` is one history again, with nothing else built.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // threads and a switch of the tests

use assent_sim::{Stage, Summary, attempt, run};

/// So many seeds reach every pair of fault and crash point.
const SEEDS_FOR_ALL_PAIRS: u64 = 10_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn run_all(from: u64, to: u64) -> Summary {
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let mut all = Summary::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    let (stage, mut part) = (Stage::new(), Summary::default());
                    for seed in (from + worker..to).step_by(threads as usize) {
                        part.add(seed, attempt(seed, &stage));
                    }
                    part
                })
            })
            .collect();
        for worker in workers {
            all.merge(worker.join().expect("a run that does not panic"));
        }
    });
    all
}

#[test]
fn no_seed_breaks_an_invariant() {
    let (from, seeds) = (setting("SIM_SEED", 0), setting("SIM_SEEDS", 200));
    let summary = run_all(from, from + seeds);
    println!("{summary}");
    if summary.broken > 0 {
        println!("broken: {:?}", summary.findings.keys().collect::<Vec<_>>());
    }
    for (seed, findings) in summary.findings.iter().take(5) {
        println!("seed {seed}:");
        for finding in findings.iter().take(3) {
            println!("  {finding}");
        }
    }
    for (seed, message) in summary.panics.iter().take(5) {
        println!("seed {seed}:\n  panicked: {message}");
    }
    assert_eq!(summary.seeds, seeds, "every seed was run");
    assert_eq!(summary.late.other, 0, "a late request reached another transaction than its own");
    assert_eq!(summary.broken, 0, "SIM_SEED=N SIM_SEEDS=1 shows one again");
    if seeds >= SEEDS_FOR_ALL_PAIRS {
        let missed = summary.never_met();
        assert!(missed.is_empty(), "never met: {missed:?}");
    } else {
        println!("not asked: whether every fault met every crash point; that takes more seeds");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let stage = Stage::new();
    let traces = |stage: &Stage| (0..20).map(|seed| run(seed, stage).trace).collect::<Vec<_>>();
    let (once, again) = (traces(&stage), traces(&Stage::new()));
    assert_eq!(once, again);
    let distinct: std::collections::BTreeSet<u64> = once.iter().copied().collect();
    assert_eq!(distinct.len(), once.len(), "other seeds are other histories");
}
