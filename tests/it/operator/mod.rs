//! What an operator is shown by the real program: health, metrics and log, while all is well and while
//! something is not.

mod counted;
mod descriptors;
mod log;
mod outage;
mod silence;
mod waiting;

use std::time::Duration;

use serde_json::Value;

use crate::support::{Service, wait_until};

const WITHIN: Duration = Duration::from_mins(1);

/// The log's objects that have this message, or one that begins so.
fn lines(service: &Service, beginning: &str) -> Vec<Value> {
    let log = service.log();
    let parsed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let begins =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(beginning));
    parsed.filter(begins).collect()
}

fn await_line(service: &Service, beginning: &str) -> Value {
    wait_until(WITHIN, &format!("a line `{beginning}…`"), || lines(service, beginning).pop())
}

/// Of /readyz: the status, and each partition's reason.
fn readiness(service: &Service) -> (u16, Vec<Value>) {
    let (status, body) = service.readyz();
    let partitions = body["partitions"].as_array().expect("a list");
    (status, partitions.iter().map(|partition| partition["reason"].clone()).collect())
}

fn await_all(service: &Service, status: u16, reason: &Value) {
    wait_until(WITHIN, &format!("{status} with reason {reason}"), || {
        let (found, reasons) = readiness(service);
        let all = !reasons.is_empty() && reasons.iter().all(|it| it == reason);
        (found == status && all).then_some(())
    });
}
