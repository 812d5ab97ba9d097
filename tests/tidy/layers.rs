//! The order of the layers (ARCHITECTURE): each module of the crate uses only those before it, and the
//! pure ones name nothing that reads a clock, draws a number, or reaches out of the process.

use crate::expect_none;
use crate::source::{Source, sources, words};

/// Each may use those before it, and itself.
const ORDER: &[&str] = &[
    "domain",
    "wire",
    "verify",
    "engine",
    "task",
    "worker",
    "sim",
    "failure",
    "clock",
    "pace",
    "config",
    "registry",
    "kafka",
    "telemetry",
    "http",
    "pipeline",
    "demo",
    "cli",
    "lib",
    "main",
];

/// Neighbors that don't know each other, although the order would let them: (who, whom).
const APART: &[(&str, &str)] =
    &[("engine", "wire"), ("engine", "verify"), ("telemetry", "kafka"), ("http", "kafka")];

const PURE: &[&str] = &["domain", "wire", "verify", "engine", "task", "worker", "sim"];

/// As whole words of code; comments and literals don't count.
const IMPURE: &[&str] = &[
    "axum",
    "clap",
    "getrandom",
    "indicatif",
    "jiff",
    "prometheus",
    "rand",
    "rdkafka",
    "tokio",
    "tracing",
    "tracing_subscriber",
    "ureq",
    "SystemTime",
    "Instant",
    "thread",
    "println",
    "eprintln",
    "fs",
    "net",
    "process",
    "env",
];

#[test]
fn every_module_has_its_place_in_the_order() {
    let all = sources(&["src"]);
    let unknown = all.iter().filter(|s| !ORDER.contains(&s.top_module())).map(|s| s.path.clone());
    expect_none(&unknown.collect::<Vec<_>>(), "not in ORDER (tests/tidy/layers.rs)");
}

#[test]
fn no_module_uses_one_that_comes_after_it() {
    let offenders: Vec<String> = sources(&["src"]).iter().flat_map(forbidden_uses).collect();
    expect_none(&offenders, "against the order of the layers");
}

#[test]
fn the_pure_part_is_pure() {
    let pure = |source: &&Source| PURE.contains(&source.top_module());
    let offenders: Vec<String> = sources(&["src"])
        .iter()
        .filter(pure)
        .flat_map(|source| IMPURE.iter().flat_map(|word| impure_places(source, word)))
        .collect();
    expect_none(&offenders, "no clock, randomness, I/O, thread, Kafka, log or metric here");
}

fn impure_places(source: &Source, word: &str) -> Vec<String> {
    // A path's part or a macro, not a local name: `std::fs`, `tokio::`, `println!`, `env!` is compile time.
    let reaches_out = |at: &usize| {
        let (before, after) = (&source.code[..*at], &source.code[at + word.len()..]);
        let in_path = after.starts_with("::") || before.ends_with("std::");
        in_path || (word.ends_with("println") && after.starts_with('!'))
    };
    let in_tests = source.code.find("#[cfg(test)]\nmod tests {").unwrap_or(source.code.len());
    words(&source.code, word)
        .filter(reaches_out)
        .filter(|at| *at < in_tests)
        .map(|at| format!("{}:{}: {word}", source.path, source.line_of(at)))
        .collect()
}

fn forbidden_uses(source: &Source) -> Vec<String> {
    let own = source.top_module();
    let rank = |module: &str| ORDER.iter().position(|m| *m == module);
    used_modules(source)
        .into_iter()
        .filter(|(_, used)| used != own && rank(used).is_some())
        .filter(|(_, used)| rank(used) > rank(own) || APART.contains(&(own, used)))
        .map(|(line, used)| format!("{}:{line}: {own} uses {used}", source.path))
        .collect()
}

/// The top modules behind every `crate::`, also of `use crate::{a::b, c}`, with their lines.
fn used_modules(source: &Source) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for at in words(&source.code, "crate") {
        let Some(path) = source.code[at..].strip_prefix("crate::") else { continue };
        let line = source.line_of(at);
        match path.strip_prefix('{') {
            Some(group) => used.extend(heads(group).into_iter().map(|head| (line, head))),
            None => used.push((line, identifier(path))),
        }
    }
    used
}

/// The first names of a use group's members: `a::{b, c}, d}` has `a` and `d`.
fn heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![identifier(group)];
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(identifier(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_heads_of_a_group_are_found() {
    assert_eq!(heads("a::{b, c}, d::E}; f, g"), ["a", "d"]);
}
