//! The declarations against what `resolve` does with them, and against their document.

use std::collections::BTreeMap;
use std::path::Path;

use super::page::{documentation, variable};
use super::{Declaration, KEYS, Kind};
use crate::config::{Config, parse};
use crate::failure::Result;

/// The configuration with one key set, by its variable.
fn with(key: &str, value: &str) -> Result<Config> {
    let key =
        key.replace("<id>", "web").replace("<name>", "linger.ms").replace("<source>", "trustarc");
    let name = match key.strip_prefix("kafka.properties.") {
        Some(name) => format!("ASSENT__KAFKA__PROPERTIES__{}", name.replace('.', "_")),
        None => variable(&key),
    };
    let mut variables = BTreeMap::new();
    if key.starts_with("serve.clients.") {
        // What a client can't be without.
        for (name, value) in [("TOKEN_FILE", "web.token"), ("ALLOW", "lookup")] {
            variables.insert(format!("ASSENT__SERVE__CLIENTS__WEB__{name}"), value.to_owned());
        }
    }
    if key.starts_with("intake.sources.") {
        // What a source can't be without.
        for (name, value) in [
            ("SECRET_FILE", "secret"),
            ("IDENTIFIER_KIND", "email"),
            ("API__URL", "https://cmp.example"),
            ("API__TOKEN_FILE", "token"),
            ("GUARDIAN__METHOD", "card"),
            ("GUARDIAN__PERMITS", "coppa_consent"),
        ] {
            variables
                .insert(format!("ASSENT__INTAKE__SOURCES__TRUSTARC__{name}"), value.to_owned());
        }
    }
    variables.insert(name, value.to_owned());
    parse(Path::new("/etc/assent.yaml"), None, &variables)
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
    for Declaration { key, default, .. } in
        KEYS.iter().filter(|declared| !declared.default.is_empty())
    {
        let unwritten = match key.strip_prefix("consent.sources.<id>.") {
            None if key.starts_with("serve.clients.") => with("serve.clients.<id>.allow", "lookup"),
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
            Kind::Switch => {
                check(key, "true", true);
                check(key, "yes", false);
            }
            Kind::Words(words) => {
                check(key, &words.join(","), true);
                check(key, "everything", false);
            }
            Kind::OneOf(words) => {
                for word in words {
                    check(key, word, true);
                }
                check(key, "neither", false);
            }
            Kind::Topic | Kind::GroupId | Kind::LogName => check(key, "no name", false),
            Kind::TopicPerPurpose => check(key, "segments", false),
            Kind::Address | Kind::RegistryUrl | Kind::Origins | Kind::Rate => {
                check(key, "nowhere", false);
            }
            Kind::Property => check(key, "no number", false),
            Kind::Table => {
                check(key, "{}", true);
                check(key, "a: b", false);
            }
            Kind::Path | Kind::Text | Kind::Secret => {}
        }
    }
}

/// `60s` and 1 → `61s`.
fn step(value: &str, by: i64) -> String {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    format!("{}{}", value[..digits].parse::<i64>().unwrap() + by, &value[digits..])
}
