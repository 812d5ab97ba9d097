//! The one integration binary: everything that needs a real Kafka or the built program.
//!
//! A test is a function in a module beside this file that begins with `kafka_or_skip!()` and opens a
//! `Shop` of its own; `support` is the tool box. Nothing here reaches another machine than 127.0.0.1.

#![allow(clippy::disallowed_methods)] // tests are at the rim: they wait, and time what they wait for

#[macro_use]
mod support;

use assent_sim::model;

mod absence;
mod audience;
mod audit;
mod audit_questions;
mod bad_input;
mod browser;
mod canary;
#[cfg(feature = "crash-points")]
mod clocks;
mod commands;
mod contract;
mod demo;
mod deploy;
mod ecom;
mod evidence;
mod examples;
mod faults;
mod flood;
mod forged_signals;
mod heartbeat;
mod keys;
mod linked;
mod misrouted;
mod moments;
mod operating;
mod operator;
mod pipeline;
mod preflight;
mod privacy;
mod proxy;
mod reader_check;
mod readers;
mod refusals;
mod registry;
mod report;
mod revision;
mod rig;
mod roles;
mod rotation;
mod rulebook;
mod security;
mod segment_lists;
mod serve;
mod signals;
mod sim;
mod sinks;
mod stops;
mod supervised;
mod terminals;
mod told;
mod training;
mod unreadable;
mod unreadable_own;
mod verify;
mod waiting;
