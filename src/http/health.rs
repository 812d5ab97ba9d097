//! What `/livez`, `/readyz` and `/metrics` ask of whoever runs: the pipeline's workers, or `assent serve`.

use serde_json::Value;

use crate::telemetry::metrics::Metrics;

pub trait Health: Send + Sync {
    /// Does it go round?
    fn is_live(&self) -> bool;
    /// Is it ready, and the body of `/readyz` that says so?
    fn readiness(&self) -> (bool, Value);
    /// Writes the gauges that are read off when they are asked for.
    fn publish(&self, metrics: &Metrics);
}
