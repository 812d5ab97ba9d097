//! What a person does wrong, what a reader does besides answering, and Ctrl-C: one message, and no topic is left.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use super::{assert_gone, check, topics};
use crate::support::{Finished, Plan, Shop, Signal, signal, wait_until};

const WITHIN: Duration = Duration::from_mins(1);

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

#[track_caller]
fn assert_told(finished: &Finished, code: i32, expected: &str) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(finished.stderr.contains(expected), "{finished:?}");
}

#[test]
fn a_topic_that_is_there_or_configured_is_left_alone() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    let run = |topic: &str| {
        shop.run(&["reader", "check", "--topic", topic, "--", "sh", "-c", "touch started"])
    };
    let another = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    // Other tests' topics come and go.
    let ours = || {
        let prefixes = [&shop, &another].map(|it| format!("{}.", it.name));
        let is_ours = |topic: &String| prefixes.iter().any(|prefix| topic.starts_with(prefix));
        topics(kafka).into_iter().filter(is_ours).collect::<BTreeSet<_>>()
    };
    let before = ours();
    for configured in
        ["clickstream", "segments.personalized-offers", "segments.new", "privacy-requests"]
    {
        assert_told(&run(&shop.topic(configured)), 64, "names this topic");
    }
    let theirs = another.topic("clickstream");
    assert_told(&run(&theirs), 64, "exists already");
    assert_told(&run("no topic"), 64, "is not a topic name");
    assert!(!shop.folder().join("started").exists(), "no reader was started");
    assert_eq!(ours(), before);
}

#[test]
fn a_wrong_option_and_a_command_that_is_none_are_told() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let run =
        |options: &[&str], reader: &[String]| Finished::of(&mut check(&shop, options, reader));
    let answers = shell("true");
    assert_told(&run(&["--rule", "R99"], &answers), 64, "--rule R99: no such rule");
    assert_told(&run(&["--timeout", "soon"], &answers), 64, "--timeout: not a duration");
    let none = ["/no/such/reader".to_owned()];
    assert_told(&run(&["--rule", "R2"], &none), 64, "/no/such/reader: can't be started");
    assert_gone(&shop);
}

#[test]
fn a_reader_that_dies_breaks_the_rule_and_one_that_talks_is_told_what_to_say() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let run = |script: &str| Finished::of(&mut check(&shop, &["--rule", "R2"], &shell(script)));

    let dies = run("echo 'no disk \u{1b}[2J' >&2; exit 3");
    assert_eq!(dies.code, Some(1), "{dies:?}");
    assert!(
        dies.stdout.contains("rule R2 tombstone: broken: at the start: the reader is gone"),
        "{dies:?}"
    );
    assert!(
        dies.stdout.contains("exit status: 3: no disk") && !dies.stdout.contains('\u{1b}'),
        "{dies:?}"
    );

    assert_told(&run("while read -r line; do echo perhaps; done"), 65, "the reader said `perhaps`");
    let floods = run("yes perhaps");
    assert_told(&floods, 65, "the reader said `perhaps");
    assert_gone(&shop);
}

#[test]
fn a_reader_that_applies_nothing_is_waited_for_once() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let reader = shell("while read -r line; do echo no; done");
    let finished = Finished::of(&mut check(&shop, &["--timeout", "1s"], &reader));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(
        lines[1].starts_with("rule R2 tombstone: broken: at the start: a new assignment"),
        "{lines:?}"
    );
    for line in [lines[0], lines[2], lines[12]] {
        assert!(
            line.ends_with("not checked: the reader applies no record in time: see R2"),
            "{line}"
        );
    }
    assert_gone(&shop);
}

#[test]
fn ctrl_c_ends_the_reader_and_deletes_the_topic() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let reader = shell("echo $$ > pid; while read -r line; do echo no; done");
    let mut command = check(&shop, &[], &reader);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let pid = wait_until(WITHIN, "the reader runs", || {
        std::fs::read_to_string(shop.folder().join("pid")).ok().filter(|pid| pid.ends_with('\n'))
    });
    signal(child.id(), Signal::Int);
    let output = child.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert_eq!(said, "assent: interrupted\n");
    assert_gone(&shop);
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(!cfg!(target_os = "linux") || !process.exists(), "the reader still runs");
}
