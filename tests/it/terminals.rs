//! What reaches a terminal: nothing that a stranger wrote moves it, color can be turned off, and a reader
//! that goes away ends a command quietly.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Assent, Finished, Service, Shop, consent, encode, view, wait_until, with};

const OFFERS: &str = "personalized-offers";
/// 2100-01-01.
const NEVER: i64 = 4_102_444_800_000;
const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{9b}31m\u{202e}";

fn assert_harmless(text: &str) {
    let harmful = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
    assert!(!text.contains(harmful), "{text:?}");
    assert!(text.lines().all(|line| line.chars().count() < 2_000), "{text}");
}

#[test]
fn what_topics_hold_is_escaped_for_a_person_and_whole_for_a_program() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let subject = "family-000042";
    let source = EVIL.repeat(100);
    let record = with(consent(subject, 1, "GRANTED", &[OFFERS, EVIL]), json!({"source": source}));
    let letter = json!({
        "reason": "UNDECODABLE", "topic": shop.topic("clickstream"), "partition": 0, "offset": 1,
        "payload_sha256": null, "failed_at": 0, "detail": EVIL.repeat(1_000),
    });
    let key = "AaquPNlry1_CLUedrU35O-s";
    let dead_letters = shop.topic("segmentation-dead-letters");
    kafka.produce([
        shop.consent(&record),
        shop.assignment(OFFERS, key, &[EVIL, &EVIL.repeat(500)], NEVER),
        shop.assignment(OFFERS, EVIL, &["x"], NEVER),
        crate::support::Message::new(&dead_letters).key(EVIL).value(encode("dead_letter", &letter)),
    ]);
    for arguments in [
        &["consent", "show", subject][..],
        &["segments", "list"],
        &["segments", "get", key, "--purpose", OFFERS],
        &["dead-letters", "list"],
        &["verify"],
        &["consent", "withdraw", subject, "--purpose", "no-such"],
    ] {
        let Finished { stdout, stderr, .. } = shop.run(arguments);
        assert_harmless(&stdout);
        assert_harmless(&stderr);
        let shows_it = (stdout + &stderr).contains("\\u{1b}");
        assert!(shows_it || arguments == ["verify"], "{arguments:?} says nothing of it");
    }
    let shown = shop.run(&["consent", "show", subject, "--json"]).ok().json();
    assert_eq!(shown["source"], source.as_str());
    let listed = shop.run(&["dead-letters", "list", "--json"]).ok().json();
    assert_eq!(listed["detail"], letter["detail"]);
    let watched = first_lines(&shop, &["segments", "watch", "--from-start"], 2);
    assert_harmless(&watched);
}

/// The first lines of a command that doesn't end by itself.
fn first_lines(shop: &Shop<'_>, arguments: &[&str], count: usize) -> String {
    let mut command = shop.command(arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut text, mut byte) = (Vec::new(), [0]);
    let mut stdout = child.stdout.take().expect("piped");
    let mut lines = 0;
    while lines < count {
        assert_eq!(stdout.read(&mut byte).expect("readable"), 1, "it ended");
        text.push(byte[0]);
        lines += usize::from(byte[0] == b'\n');
    }
    child.kill().expect("a child");
    child.wait().expect("a child");
    String::from_utf8(text).expect("UTF-8")
}

/// Both of its streams are pipes that nobody reads.
fn unread(command: &mut Command) -> Option<i32> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    command.stdout(writer.try_clone().expect("a handle")).stderr(writer);
    drop(reader);
    let mut child = command.spawn().expect("it starts");
    let ended = || child.try_wait().expect("a child");
    wait_until(Duration::from_mins(1), "the end", ended).code()
}

#[test]
fn a_command_that_nobody_reads_ends_quietly_and_a_failure_keeps_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/children-retail.yaml");
    for (arguments, code) in [
        (&["rules", "doc", shipped][..], 0),
        (&["rules", "check", shipped, "--json"], 0),
        (&["keys", "new"], 0),
        (&["keys", "show"], 0),
        (&["sim", "--seeds", "1"], 0),
        (&["demo", "--for", "20s"], 0),
        (&["--help"], 0),
        (&["rules", "check", "no-such-file"], 65),
        (&["run", "--config", "no-such-file"], 78),
        (&["no-such-command"], 64),
    ] {
        let mut command = Assent::command();
        let ended = unread(command.args(arguments).current_dir(folder.path()));
        assert_eq!(ended, Some(code), "{arguments:?}");
    }
}

#[test]
fn of_a_demo_a_reader_takes_as_many_lines_as_it_likes() {
    let script = format!("{} demo --for 5m | head -n 3", env!("CARGO_BIN_EXE_assent"));
    let piped = Finished::of(Command::new("sh").args(["-c", &script]));
    assert_eq!((piped.stdout.lines().count(), piped.stderr.as_str()), (3, ""), "{piped:?}");
}

/// What it writes where stdout and stderr are a terminal.
fn on_a_terminal(environment: &[(&str, &str)]) -> Option<String> {
    let program = format!("{} demo --for 6s", env!("CARGO_BIN_EXE_assent"));
    let mut command = Command::new("script");
    command.args(["-qec", &program, "/dev/null"]).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
    let output = command.output().ok()?; // util-linux, on every Debian
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_demo_has_colors_on_a_terminal_unless_they_are_turned_off() {
    let colors = |text: &str| {
        let codes = text.split("\u{1b}[").skip(1);
        codes
            .filter(|code| code.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('m'))
            .count()
    };
    let Some(colored) = on_a_terminal(&[]) else { return };
    assert!(colors(&colored) > 0, "{colored:?}");
    for environment in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let plain = on_a_terminal(&environment).expect("as before");
        assert_eq!(colors(&plain), 0, "{environment:?}: {plain:?}");
        assert!(plain.contains("what somebody does"), "{plain:?}");
    }
}

#[test]
fn dead_letters_are_listed_chosen_and_followed() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let none = shop.run(&["dead-letters", "list"]).ok();
    assert!(none.stdout.is_empty() && none.stderr.contains("holds no dead letters"), "{none:?}");
    let service = Service::start(&shop, "a");
    service.await_ready();
    let bad = kafka.produce([
        shop.click(&view("one")).value("no Avro"),
        shop.click(&view("two")).key("another"),
    ]);
    let list = |arguments: &[&str]| -> Vec<Value> {
        shop.run(&[&["dead-letters", "list", "--json"], arguments].concat()).ok().json_lines()
    };
    wait_until(Duration::from_secs(30), "two dead letters", || {
        (list(&[]).len() == 2).then_some(())
    });
    let undecodable = list(&["--reason", "undecodable"]);
    assert_eq!(undecodable.len(), 1);
    let place = (undecodable[0]["partition"].as_i64(), undecodable[0]["offset"].as_i64());
    assert_eq!(place, (Some(i64::from(bad[0].0)), Some(bad[0].1)));
    assert_eq!(undecodable[0]["topic"], shop.topic("clickstream").as_str());
    assert_eq!(undecodable[0]["last_offset"], Value::Null);
    assert_eq!(undecodable[0]["payload_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(list(&["--limit", "1"]).len(), 1);
    assert!(list(&["--topic", &shop.topic("consent-changelog")]).is_empty());
    assert!(list(&["--since", "2100-01-01T00:00:00Z"]).is_empty());
    for wrong in [["--reason", "bad"], ["--topic", "other"], ["--since", "soon"]] {
        let refused = shop.run(&[&["dead-letters", "list"][..], &wrong].concat());
        assert_eq!(refused.code, Some(64), "{refused:?}");
    }
    let sent = std::thread::scope(|scope| {
        let followed = scope.spawn(|| first_lines(&shop, &["dead-letters", "list", "--follow"], 3));
        std::thread::sleep(Duration::from_secs(2));
        let sent = kafka.produce([shop.click(&view("three")).value("no Avro either")]);
        let lines = followed.join().expect("three lines");
        (lines, sent)
    });
    let (lines, sent) = sent;
    let place = format!("{}/{}/{}  ", shop.topic("clickstream"), sent[0].0, sent[0].1);
    assert!(lines.lines().nth(2).is_some_and(|line| line.starts_with(&place)), "{lines}");
    service.stop();
}
