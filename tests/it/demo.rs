//! `assent demo`: ends by itself, needs no Kafka, and shows what it promises.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Assent, Finished, wait_until};

#[test]
fn a_demo_shows_assignments_opt_outs_and_a_summary_that_adds_up() {
    let mut command = Assent::command();
    let summary = Finished::of(command.args(["demo", "--for", "20s", "--json"])).ok().json();
    let number = |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_u64);
    let sent = number("/clicks").unwrap() + number("/consent").unwrap();
    let outcomes = summary["outcomes"].as_object().unwrap().values();
    assert_eq!(outcomes.filter_map(serde_json::Value::as_u64).sum::<u64>(), sent, "{summary}");
    assert!(number("/assignments") > Some(0), "{summary}");
    assert!(number("/opt_outs/count") > Some(0), "{summary}");
    assert!(number("/tombstones/opted_out") > Some(0), "{summary}");
}

#[test]
fn an_interrupted_demo_ends_with_its_summary() {
    let mut command = Assent::command();
    command.args(["demo", "--for", "10m"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = command.spawn().expect("assent starts");
    std::thread::sleep(Duration::from_secs(6));
    crate::support::signal(demo.id(), crate::support::Signal::Int);
    let told = Instant::now();
    let status = wait_until(Duration::from_secs(20), "the end of the demo", || {
        demo.try_wait().expect("a child")
    });
    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    let output = demo.wait_with_output().expect("its output");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for word in ["outcomes", "assignments", "tombstones", "opt-outs", "sync lag", "seen ", "next "]
    {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    assert!(text.starts_with("the shop       http://127.0.0.1:"), "the page comes first:\n{text}");
    assert!(text.contains("\n\n»  what somebody does"), "then the legend:\n{text}");
    assert!(!text.contains('\u{1b}'), "no color in a pipe:\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "over 80 columns: {line}");
    }
}
