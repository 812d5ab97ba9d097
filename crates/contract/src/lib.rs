//! The contract: what consent, a click, a segment and a rulebook are, what is allowed, and what the
//! bytes on the topics mean.
//!
//! [`domain`] (nouns and rules) ← [`yaml`] ← [`rulebook`] (a retailer's purposes and segments) ← [`trial`] (what
//! would the gate decide?) ← [`wire`] (bytes). Pure: knows no clock, randomness, I/O, threads, Kafka or metrics.
//! Whoever judges the topics (`assent-verify`) builds on this and on nothing else of Assent.

pub mod domain;
pub mod rulebook;
pub mod trial;
pub mod wire;
pub mod yaml;
