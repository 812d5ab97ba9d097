//! docs/configuration.md, made from the declarations; and what holds these to `resolve`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Declaration, KEYS, Kind};
use crate::config::{Config, parse};
use crate::failure::Result;

const INTRODUCTION: &str = "\
# Configuration

Made from src/config/keys.rs by `UPDATE_DOCS=1 cargo test --lib config`.

Read from `--config FILE` (YAML), else from `assent.yaml` in the working folder, else all defaults.
Every key can also be set as a variable `ASSENT__SECTION__KEY`, which wins over the file. A variable's
name may be in either case; in `kafka.properties`, its `_` stands for `.`. A secret can lie in a file
of its own, which `<key>_file` names: its trailing line end is cut off, and beside `<key>` itself it is
refused. Relative paths are relative to the configuration file's folder. Durations are whole numbers
with `ms`, `s`, `m`, `h` or `d`. `null` is as if the key were not there.

Everything is checked before a connection is made. An unknown key, a value out of bounds, two sources
for one key: exit code 78 and one message that names the place and what to do. `assent check` reads the
same configuration and changes nothing.

| key | variable | value | default | what it does |
|---|---|---|---|---|
";

fn documentation() -> String {
    let mut page = INTRODUCTION.to_owned();
    for declared @ Declaration { key, kind, meaning, .. } in KEYS {
        let (variable, default) = (variable(key), default_cell(declared));
        let value = value_cell(*kind);
        let _ = writeln!(page, "| `{key}` | `{variable}` | {value} | {default} | {meaning} |");
        if *kind == Kind::Secret {
            let _ = writeln!(
                page,
                "| `{key}_file` | `{variable}_FILE` | path |  | A file that holds it. |"
            );
        }
    }
    page
}

fn variable(key: &str) -> String {
    format!("ASSENT__{}", key.to_ascii_uppercase().replace('.', "__"))
}

fn default_cell(declared: &Declaration) -> String {
    match declared.default {
        "" => String::new(),
        default => format!("`{default}`"),
    }
}

fn value_cell(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::GroupId => "1 to 200 of letters, digits, `.`, `_`, `-`".to_owned(),
        Kind::Topic => "topic: 1 to 249 of letters, digits, `.`, `_`, `-`".to_owned(),
        Kind::TopicPerPurpose => "topic, with `{purpose}` once".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Address => "address and port".to_owned(),
        Kind::OneOf(words) => words.join(" or "),
        Kind::Whole(least, most) => format!("whole number, {least} to {most}"),
        Kind::Duration(least, most) => format!("duration, {least} to {most}"),
        Kind::Property => "text, as librdkafka wants it".to_owned(),
        Kind::Secret => "text, a secret".to_owned(),
    }
}

/// The configuration with one key set, by its variable.
fn with(key: &str, value: &str) -> Result<Config> {
    let key = key.replace("<id>", "web").replace("<name>", "linger.ms");
    let name = match key.strip_prefix("kafka.properties.") {
        Some(name) => format!("ASSENT__KAFKA__PROPERTIES__{}", name.replace('.', "_")),
        None => variable(&key),
    };
    parse(Path::new("/etc/assent.yaml"), None, &BTreeMap::from([(name, value.to_owned())]))
}

#[test]
fn the_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, documentation()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == documentation(),
        "docs/configuration.md is old: UPDATE_DOCS=1 cargo test --lib config"
    );
}

#[test]
fn what_is_said_fits_a_table() {
    for Declaration { key, meaning, .. } in KEYS {
        assert!(meaning.ends_with('.') && !meaning.contains(['|', '\n']), "{key}: {meaning}");
    }
}

#[test]
fn a_default_written_out_changes_nothing() {
    for Declaration { key, default, .. } in KEYS.iter().filter(|declared| declared.default != "") {
        let unwritten = match key.strip_prefix("consent.sources.<id>.") {
            None => parse(Path::new("/etc/assent.yaml"), None, &BTreeMap::new()),
            Some("max_silence") => with("consent.sources.<id>.on_silence", "alert"),
            Some(_) => with("consent.sources.<id>.max_silence", "15m"),
        };
        let (written, unwritten) = (with(key, default).unwrap(), unwritten.unwrap());
        assert_eq!(format!("{written:?}"), format!("{unwritten:?}"), "{key}");
    }
}

#[test]
fn bounds_are_what_is_accepted() {
    let check = |key: &str, value: &str, expect: bool| {
        assert_eq!(with(key, value).is_ok(), expect, "{key}: {value}");
    };
    for Declaration { key, kind, .. } in KEYS {
        match *kind {
            Kind::Whole(least, most) | Kind::Duration(least, most) => {
                check(key, least, true);
                check(key, most, true);
                check(key, &step(least, -1), false);
                check(key, &step(most, 1), false);
            }
            Kind::OneOf(words) => {
                words.iter().for_each(|word| check(key, word, true));
                check(key, "neither", false);
            }
            Kind::Topic | Kind::GroupId => check(key, "no name", false),
            Kind::TopicPerPurpose => check(key, "segments", false),
            Kind::Address => check(key, "nowhere", false),
            Kind::Property => check(key, "no number", false),
            Kind::Path | Kind::Text | Kind::Secret => {}
        }
    }
}

/// `60s` and 1 → `61s`.
fn step(value: &str, by: i64) -> String {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    format!("{}{}", value[..digits].parse::<i64>().unwrap() + by, &value[digits..])
}
