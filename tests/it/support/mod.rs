//! The tool box of the integration tests: a broker, a shop on it, the running program, records.
//!
//! It knows the contract's names and formats, and shares no code with `src`, so that a mistake there
//! is not repeated here.

mod avro;
mod cluster;
mod damage;
mod inputs;
mod kafka;
mod process;
mod pseudonyms;
mod records;
mod registry;
mod room;
mod service;
mod shop;
mod sinks;
pub mod yaml;

use std::io::Write as _;
use std::time::{Duration, Instant};

pub use avro::{datum, decode, encode, read_datum, schema_text, unhex};
pub use damage::Damage;
pub use inputs::{consent, view, with};
pub use kafka::{BrokerPlan, Kafka, LeftOut};
pub use process::{Assent, Finished, Signal, signal};
pub use pseudonyms::{
    holdout_number, pseudonym, pseudonym_bytes, pseudonym_under, secret, session_token,
    session_token_under,
};
pub use records::{Isolation, Message, Record, TopicPlan, block_on, latest};
pub use registry::{Gateway, Registry, confluent};
pub use service::{Metrics, Service};
pub use shop::{Plan, Shop, merge};
pub use sinks::Sink;

/// The broker that all tests share, or an early return where there is no Java or Maven (CI: a failure).
macro_rules! kafka_or_skip {
    () => {
        match $crate::support::Kafka::shared() {
            Ok(kafka) => kafka,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}

/// As [`kafka_or_skip`], but a broker of the test's own, which it may kill.
macro_rules! own_kafka_or_skip {
    () => {
        match $crate::support::Kafka::start() {
            Ok(kafka) => kafka,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}

/// As [`own_kafka_or_skip`], but three brokers.
macro_rules! three_or_skip {
    () => {
        three_or_skip!(start_three)
    };
    ($start:ident) => {
        match $crate::support::Kafka::$start() {
            Ok(kafka) => kafka,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}

/// The schema registry that all tests share, or an early return as for the broker.
macro_rules! registry_or_skip {
    () => {
        match $crate::support::Registry::shared() {
            Ok(registry) => registry,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}

/// As [`registry_or_skip`], but one of the test's own, which it may stop.
macro_rules! own_registry_or_skip {
    () => {
        match $crate::support::Registry::start() {
            Ok(registry) => registry,
            Err(why) => return $crate::support::leave_out(&why),
        }
    };
}

/// An early return, but with `CI=true`: for what takes long. Says what is left out.
macro_rules! ci_or_skip {
    () => {
        if std::env::var("CI").as_deref() != Ok("true") {
            return $crate::support::leave_out(&$crate::support::LeftOut::because(
                "it takes long; CI=true runs it",
            ));
        }
    };
}

/// Says, past libtest's capture, that a test is left out; with `CI=true` nothing is left out.
pub fn leave_out(why: &LeftOut) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing is left out in CI: {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test"); // libtest names the thread so
    let _ = writeln!(std::io::stderr(), "{test} is left out: {why}");
}

/// Asks `probe` until it answers; panics with `what` at the deadline.
pub fn wait_until<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does this every second until `act` has come to its end.
pub fn meanwhile(mut each_second: impl FnMut(), act: impl FnOnce() + Send) {
    let ended = std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        while !acting.is_finished() {
            each_second();
            std::thread::sleep(Duration::from_secs(1));
        }
        acting.join()
    });
    ended.expect("it comes to its end");
}

/// Wall clock, epoch milliseconds.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}
