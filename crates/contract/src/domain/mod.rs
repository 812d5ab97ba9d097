//! The nouns and rules of consent: pure functions over plain values.
//!
//! Knows no clock, randomness, I/O, Kafka or metrics. Everything else builds on it.

pub mod ack;
pub mod audit;
pub mod binary;
pub mod calendar;
pub mod canary;
pub mod clock_guard;
pub mod consent;
pub mod dead_letter;
pub mod event;
pub mod foreign_text;
pub mod gate;
pub mod hex;
pub mod ids;
pub mod intake;
pub mod invariants;
pub mod markup;
pub mod merge;
pub mod outcome;
pub mod partitioner;
pub mod pseudonym;
pub mod request;
pub mod segment;
pub mod time;
