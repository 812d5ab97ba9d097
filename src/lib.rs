//! Assent: clicks and consent in, pseudonymous segments and tombstones out, exactly once.
//!
//! # The path of a click
//!
//! A worker says what is done next ([`worker`]), and its thread ([`pipeline`]) does it: it polls the
//! click from `clickstream` and copies its bytes into what is held. When the batch is cut, a client of
//! its own asks the broker where `consent-changelog` ends, and the clicks wait until consent is read up
//! to there: the barrier (INV-2). [`wire`] decodes just the fields that the gate and a live rule read, or
//! says why it can't; the partition's [`engine`] asks the gate ([`domain::gate`]) for each purpose,
//! counts the click where it is allowed, evaluates the rules that it moved and notes what follows. What
//! the batch decided, an audit batch that covers it, the changed state and the group's offset are
//! committed in one transaction ([`kafka`]).
//!
//! # The path of an opt-out
//!
//! It never queues behind clicks: consent is polled first, and a record that may withdraw something
//! cuts a batch at once. The engine merges it into what the subject said before, judges every purpose
//! again, and where the gate turned from allowed to withheld, the live key has its tombstone and the
//! counters are gone in the same transaction (INV-4). A click with an opt-out preference signal goes
//! the same way, and so does a moment: a grant that ends, a window that passes, a lease.
//!
//! # The modules, each using only those before it
//!
//! [`domain`] (pure nouns and rules) ← [`wire`] (bytes) ← [`verify`] (a second opinion on what lies in
//! the topics; pure) and [`engine`] (a partition's state; pure) ←
//! [`task`] (what a batch of a partition may hold; pure) ← [`worker`] (what a worker does next, over all its
//! partitions; pure) ← [`sim`] (all of it on a simulated cluster, with faults; pure) ←
//! [`config`], [`failure`], [`clock`], [`pace`] ← [`registry`] ← [`kafka`], [`telemetry`], [`http`] ← [`pipeline`] ← [`demo`] ←
//! [`cli`]. The pure ones build without the feature `service` and know no clock, randomness, I/O,
//! threads, Kafka or metrics. docs/ARCHITECTURE.md has the map.

pub mod domain;
pub mod engine;
pub mod sim;
pub mod task;
pub mod verify;
pub mod wire;
pub mod worker;

#[cfg(feature = "service")]
pub mod cli;
#[cfg(feature = "service")]
pub mod clock;
#[cfg(feature = "service")]
pub mod config;
#[cfg(feature = "service")]
pub mod demo;
#[cfg(feature = "service")]
pub mod failure;
#[cfg(feature = "service")]
pub mod http;
#[cfg(feature = "service")]
pub mod kafka;
#[cfg(feature = "service")]
pub mod pace;
#[cfg(feature = "service")]
pub mod pipeline;
#[cfg(feature = "service")]
pub mod registry;
#[cfg(feature = "service")]
pub mod telemetry;
