//! The core: what a partition remembers, what a batch of it decides, how it is committed, and what a worker
//! does next.
//!
//! [`engine`] (a partition's state) ← [`task`] (what a batch of a partition may hold) ← [`commit`] (the commit
//! protocol) ← [`worker`] (the loop over all of a worker's partitions). Deterministic (INV-10) and pure:
//! knows no clock, randomness, I/O, threads, Kafka or metrics; `now` is an input.

pub mod commit;
pub mod engine;
pub mod task;
pub mod worker;
