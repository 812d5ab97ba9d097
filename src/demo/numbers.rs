//! The live view's numbers: what the ledger read, and what the pipeline counted.

use serde_json::{Value, json};

use super::ledger::Ledger;
use super::tally;
use crate::http::Status;
use crate::telemetry::metrics::Metrics;

/// Opt-outs that are drawn.
const RECENT: usize = 60;

pub fn of(ledger: &Ledger, status: &Status, metrics: &Metrics) -> Value {
    let (count, median, longest) = ledger.opt_outs();
    let ms = |took: &std::time::Duration| took.as_secs_f64() * 1_000.0;
    let members = ledger.members().into_iter().map(|((purpose, segment), members)| {
        json!({"purpose": purpose, "segment": segment, "members": members})
    });
    json!({
        "live": ledger.live(),
        "lag_seconds": status.consent_sync_lag_seconds(),
        "opt_outs": {
            "count": count,
            "p50_ms": ms(&median),
            "max_ms": ms(&longest),
            "recent_ms": ledger.recent_opt_outs(RECENT).iter().map(ms).collect::<Vec<_>>(),
        },
        "verdicts": tally::by_labels(&metrics.verdicts_total, "purpose", "verdict"),
        "segments": members.collect::<Vec<_>>(),
    })
}
