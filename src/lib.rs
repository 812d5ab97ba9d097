//! Assent: clicks and consent in, pseudonymous segments and tombstones out, exactly once.
//!
//! # The path of a click
//!
//! A worker says what is done next ([`assent_core::worker`]), and its thread ([`pipeline`]) does it: it polls the
//! click from `clickstream` and copies its bytes into what is held. When the batch is cut, a client of
//! its own asks the broker where `consent-changelog` ends, and the clicks wait until consent is read up
//! to there: the barrier (INV-2). [`assent_contract::wire`] decodes just the fields that the gate and a live rule read, or
//! says why it can't; the partition's [`engine`](assent_core::engine) asks the gate
//! ([`gate`](assent_contract::domain::gate)) for each purpose,
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
//! # The crates, each using only those before it
//!
//! [`assent_contract`] (nouns, rules, the rulebook, bytes) ← [`assent_verify`] (a second opinion on what
//! lies in the topics) and [`assent_core`] (a partition's state, what a batch may hold, the commit
//! protocol, a worker's loop) ← [`assent_sim`] (all of it on a simulated cluster, with faults) ← this one,
//! the service. Apart from these, on the contract alone: [`assent_inquiry`] (questions to the audit) and
//! [`assent_intake`] (changes of consent); on nothing: [`assent_evidence`] (the signed log). All of them
//! are pure: they know no clock, randomness, I/O, threads, Kafka or metrics. Here, in this order:
//! [`failure`], [`clock`], [`pace`], [`config`], [`http_client`] ← [`registry`] ← [`kafka`], [`telemetry`], [`http`] ←
//! [`pipeline`], [`canary`] ← [`serve`], [`recovery`], [`workload`], [`demo`], [`published`] (the folder of the
//! published audit log; what it holds is [`assent_evidence`]), [`audit`] (the index of the audit and the
//! record of who asked; answers are [`assent_inquiry`]'s) ← [`cli`]. docs/ARCHITECTURE.md has the map.

pub mod audit;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod failure;
pub mod http;
pub mod http_client;
pub mod kafka;
pub mod pace;
pub mod pipeline;
pub mod published;
pub mod recovery;
pub mod registry;
pub mod serve;
pub mod telemetry;
pub mod workload;
