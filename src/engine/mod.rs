//! What happens to a partition's state: `step(state, input) → effects`, with undo.
//!
//! Deterministic (INV-10): knows no clock, randomness, I/O, Kafka or metrics. `now` is an input.

pub mod commit;
pub mod input;
pub mod output;
