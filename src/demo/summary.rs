//! The end of the demo: what was measured, for a person or for a program.

use serde_json::{Value, json};

use super::screen::{milliseconds, wrapped};
use super::show::{Seen, Stories};
use super::tally;
use crate::telemetry::metrics::Metrics;

/// One object: counts by outcome as the pipeline counted them, the rest as it was read.
pub fn to_json(seen: &Seen, metrics: &Metrics) -> Value {
    let (count, median, longest) = seen.ledger.opt_outs();
    json!({
        "clicks": seen.sent.clicks,
        "consent": seen.sent.consent,
        "outcomes": tally::by_label(&metrics.outcomes_total, "outcome"),
        "assignments": seen.ledger.assigned,
        "live": seen.ledger.live(),
        "tombstones": seen.ledger.reasons(),
        "opt_outs": {
            "count": count,
            "p50_ms": median.as_secs_f64() * 1_000.0,
            "max_ms": longest.as_secs_f64() * 1_000.0,
        },
        "consent_sync_lag_seconds_max": seen.lag_max,
    })
}

pub fn render(seen: &Seen, metrics: &Metrics) -> String {
    let (count, median, longest) = seen.ledger.opt_outs();
    let outcomes = tally::by_label(&metrics.outcomes_total, "outcome");
    let verdicts = tally::by_label(&metrics.verdicts_total, "verdict");
    [
        String::new(),
        row("sent", &format!("{} clicks, {} consent records", seen.sent.clicks, seen.sent.consent)),
        row("outcomes", &tally::render(&outcomes)),
        row("verdicts", &tally::render(&verdicts)),
        row(
            "assignments",
            &format!("{} written, {} live now", seen.ledger.assigned, seen.ledger.live()),
        ),
        row("tombstones", &tally::render(seen.ledger.reasons())),
        row(
            "opt-outs",
            &format!(
                "{count}; time from sending one to reading its tombstone: p50 {}, max {}",
                milliseconds(median),
                milliseconds(longest)
            ),
        ),
        row("sync lag", &format!("at most {:.1} s", seen.lag_max)),
        String::new(),
        row("seen", &moral(seen)),
        String::new(),
        row("next", NEXT[0]),
        NEXT[1..].iter().map(|line| row("", line)).collect::<Vec<_>>().join("\n"),
    ]
    .join("\n")
}

/// Columns of a row's name.
const NAMES: usize = 13;

const NEXT: &[&str] = &[
    "assent sim --seeds 200: check the engine on a simulated cluster with faults",
    "assent rules doc: read the rules of this demo in plain words",
    "README.md, \"On real Kafka\": run it with 31,106 real clicks",
];

fn row(name: &str, text: &str) -> String {
    format!("{name:<NAMES$}{}", wrapped(text, NAMES))
}

/// What this run showed, and no more.
fn moral(seen: &Seen) -> String {
    let Stories { told, awaited_in_vain, came_back } = seen.stories;
    let (ended, pending) = (seen.ledger.opt_outs().0, seen.ledger.pending());
    if came_back > 0 {
        return format!("{came_back} assignments came back after an opt-out: this is a defect");
    }
    if awaited_in_vain > 0 || pending > 0 {
        return format!(
            "{awaited_in_vain} expected changes did not come in time, and {pending} opt-outs had \
             no tombstone when the demo ended; the machine may be very busy"
        );
    }
    if told == 0 || ended == 0 {
        return "too short to show anything: the first story takes about 10 s (use --for 30s)"
            .to_owned();
    }
    format!(
        "only clicks of people whose consent allows it became assignments; each of the {ended} \
         opt-outs, signals and erasures led to a tombstone, and no later click brought anybody \
         back"
    )
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Ledger;
    use super::super::show::Sent;
    use super::*;

    fn seen(stories: Stories, opt_outs: usize) -> Seen {
        Seen {
            sent: Sent::default(),
            ledger: Ledger::with_opt_outs(opt_outs),
            lag_max: 0.0,
            stories,
        }
    }

    #[test]
    fn what_was_seen_is_what_happened() {
        let good = Stories { told: 3, ..Stories::default() };
        for (stories, opt_outs, expected) in [
            (good, 12, "each of the 12 opt-outs"),
            (good, 0, "too short to show anything"),
            (Stories::default(), 5, "too short to show anything"),
            (Stories { awaited_in_vain: 2, ..good }, 12, "2 expected changes did not come in time"),
            (Stories { came_back: 1, ..good }, 12, "this is a defect"),
        ] {
            let told = moral(&seen(stories, opt_outs));
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn the_summary_fits_eighty_columns() {
        let good = Stories { told: 3, ..Stories::default() };
        let text = render(&seen(good, 123_456), &Metrics::new());
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("\nnext         assent sim"), "{text}");
    }
}
