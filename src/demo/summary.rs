//! The end of the demo: what was measured, for a person or for a program.

use serde_json::{Value, json};

use super::screen::milliseconds;
use super::show::Seen;
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
        format!("sent         {} clicks, {} consent records", seen.sent.clicks, seen.sent.consent),
        format!("outcomes     {}", tally::render(&outcomes)),
        format!("verdicts     {}", tally::render(&verdicts)),
        format!("assignments  {} written, {} live now", seen.ledger.assigned, seen.ledger.live()),
        format!("tombstones   {}", tally::render(seen.ledger.reasons())),
        format!(
            "opt-outs     {count}; from sending one to reading its tombstone: p50 {}, max {}",
            milliseconds(median),
            milliseconds(longest)
        ),
        format!("sync lag     at most {:.1} s", seen.lag_max),
    ]
    .join("\n")
}
