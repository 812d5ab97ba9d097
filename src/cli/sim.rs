//! `assent sim`: histories of the simulator, as many as asked for, on all cores.

use serde_json::{Value, json};

use super::progress;
use super::{Globals, stdout};
use crate::failure::{Failure, Result};
use assent_sim::{Finding, Stage, Summary, attempt};

/// Run the engine on a simulated cluster with faults and check the invariants
///
/// A seed stands for a history of about a minute of virtual time with two or three processes,
/// people who change their decisions, faults and crashes. The same seed gives the same history.
/// Needs neither Kafka nor a configuration. Exits with code 1 if a seed broke an invariant or
/// panicked.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent sim --seeds 10000\n  assent sim --seed 4711")]
pub struct Args {
    /// First seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds, counted from the first one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let summary = run_all(args.seed, args.seeds)?;
    if globals.json {
        stdout::json(&as_json(args, &summary))?;
    } else {
        print(args, &summary)?;
    }
    if summary.broken == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} of {} seeds broke an invariant; run `assent sim --seed N` to repeat one",
        summary.broken, summary.seeds
    )))
}

/// Seeds are dealt out to the cores one after the other, so that none waits for the others' end.
fn run_all(from: u64, seeds: u64) -> Result<Summary> {
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let bar = progress::bar(seeds, "seeds");
    let deal = |worker: u64| {
        let (stage, mut part) = (Stage::new(), Summary::default());
        for seed in
            (from..from.saturating_add(seeds)).skip(worker as usize).step_by(threads as usize)
        {
            part.add(seed, attempt(seed, &stage));
            bar.inc(1);
        }
        part
    };
    let mut all = Summary::default();
    let ended = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|worker| scope.spawn(move || deal(worker))).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    bar.finish_and_clear();
    for part in ended {
        all.merge(part.map_err(|_| Failure::failed("a thread of the simulator panicked"))?);
    }
    if all.seeds == seeds {
        return Ok(all);
    }
    Err(Failure::failed(format!("ran {} of {seeds} seeds", all.seeds)))
}

fn print(args: &Args, summary: &Summary) -> Result<()> {
    stdout::line(&summary.to_string())?;
    if args.seeds == 1 {
        stdout::line(&format!("seed {}, trace {:016x}", args.seed, summary.trace))?;
    }
    for (seed, findings) in &summary.findings {
        stdout::line(&format!("seed {seed}:"))?;
        for finding in findings {
            stdout::line(&format!("  {finding}"))?;
        }
    }
    for (seed, message) in &summary.panics {
        stdout::line(&format!("seed {seed}:\n  panicked: {message}"))?;
    }
    Ok(())
}

fn as_json(args: &Args, summary: &Summary) -> Value {
    let violation = |seed: u64, finding: &Finding| {
        json!({
            "seed": seed,
            "invariant": finding.invariant.id(),
            "partition": finding.partition,
            "detail": finding.detail,
        })
    };
    let broken = summary.findings.iter();
    let violations: Vec<Value> =
        broken.flat_map(|(seed, all)| all.iter().map(|it| violation(*seed, it))).collect();
    let met: Vec<Value> = summary
        .met
        .iter()
        .map(|((fault, point), count)| {
            json!({"fault": fault.name(), "crash_point": point, "count": count})
        })
        .collect();
    let never_met: Vec<Value> = summary
        .never_met()
        .iter()
        .map(|(fault, point)| json!({"fault": fault.name(), "crash_point": point}))
        .collect();
    let struck: serde_json::Map<String, Value> = summary
        .struck
        .iter()
        .map(|(fault, count)| (fault.name().to_owned(), json!(count)))
        .collect();
    let rests: serde_json::Map<String, Value> = summary
        .longest_rest
        .iter()
        .map(|(fault, rest)| (fault.name().to_owned(), json!(rest.0)))
        .collect();
    let panics: Vec<Value> = summary
        .panics
        .iter()
        .map(|(seed, message)| json!({"seed": seed, "message": message}))
        .collect();
    json!({
        "ok": summary.broken == 0,
        "first_seed": args.seed,
        "seeds": summary.seeds,
        "broken": summary.broken,
        "panicked": summary.panicked,
        "trace": format!("{:016x}", summary.trace),
        "inputs": summary.inputs,
        "transactions": {
            "committed": summary.committed,
            "rolled_back": summary.rolled_back,
            "surrendered": summary.surrendered,
        },
        "late_end_txn": {
            "own": summary.late.own,
            "other": summary.late.other,
            "idle": summary.late.idle,
            "fenced": summary.late.fenced,
        },
        "faults": struck,
        "longest_rest_ms": rests,
        "crashes": summary.crashes,
        "met": met,
        "never_met": never_met,
        "violations": violations,
        "panics": panics,
    })
}
