//! The order of the layers (ARCHITECTURE): each crate depends on those that it may know, each module uses only
//! those before it, and the pure crates name nothing that reads a clock, draws a number, or reaches out of the
//! process. `crates/clippy.toml` forbids them the types for that.

use crate::source::{Source, crate_folders, crate_sources, words};
use crate::{expect_none, root};

/// The modules at the top of a crate: each may use those before it, and itself. Which crate may use which
/// others is in `OURS`.
const ORDER: &[(&str, &[&str])] = &[
    ("crates/contract/src", &["domain", "yaml", "rulebook", "trial", "wire", "lib"]),
    ("crates/core/src", &["engine", "task", "commit", "worker", "lib"]),
    (
        "src",
        &[
            "failure",
            "clock",
            "pace",
            "config",
            "http_client",
            "registry",
            "kafka",
            "telemetry",
            "http",
            "pipeline",
            "canary",
            "serve",
            "recovery",
            "workload",
            "demo",
            "published",
            "audit",
            "cli",
            "lib",
            "main",
        ],
    ),
];

/// Neighbors that don't know each other, although the order would let them: (who, whom).
const APART: &[(&str, &str)] = &[("engine", "wire"), ("telemetry", "kafka"), ("http", "kafka")];

/// The pure crates, and those of ours that each depends on. That `verify` knows no engine is its worth.
const OURS: &[(&str, &[&str])] = &[
    ("contract", &[]),
    ("core", &["contract"]),
    ("intake", &["contract"]),
    ("verify", &["contract"]),
    ("sim", &["contract", "core"]),
    ("evidence", &[]),
    ("inquiry", &["contract"]),
    ("report", &["contract"]),
    ("what-if", &["contract"]),
];

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
    let all = crate_sources();
    let unknown = all.iter().filter(|source| {
        let (folder, module) = source.crate_and_module();
        order_of(folder).is_some_and(|order| !order.contains(&module))
    });
    let unknown: Vec<_> = unknown.map(|source| source.path.clone()).collect();
    expect_none(&unknown, "not in ORDER (tests/tidy/layers.rs)");
}

#[test]
fn no_module_uses_one_that_comes_after_it() {
    let offenders: Vec<String> = crate_sources().iter().flat_map(forbidden_uses).collect();
    expect_none(&offenders, "against the order of the layers");
}

#[test]
fn the_pure_crates_depend_on_those_of_ours_that_they_may_know() {
    let folders = crate_folders();
    let pure = folders.iter().filter_map(|folder| {
        let name = folder.strip_prefix("crates/")?.strip_suffix("/src")?;
        Some((name, dependencies(&format!("crates/{name}/Cargo.toml"))))
    });
    let mut offenders = Vec::new();
    for (name, found) in pure {
        let known = OURS.iter().find(|(it, _)| *it == name).map(|(_, known)| *known);
        let Some(known) = known else {
            offenders.push(format!("{name} is not in OURS"));
            continue;
        };
        let ours = found.iter().filter_map(|it| it.strip_prefix("assent-"));
        offenders.extend(ours.filter(|it| !known.contains(it)).map(|it| format!("{name}: {it}")));
        let impure = found.iter().filter(|it| IMPURE.contains(&it.replace('-', "_").as_str()));
        offenders.extend(impure.map(|it| format!("{name}: {it}")));
    }
    expect_none(&offenders, "what a pure crate may depend on is in tests/tidy/layers.rs");
}

/// The crates under `[dependencies]`, not those of tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).expect("readable");
    let (_, rest) = text.split_once("[dependencies]\n").expect("dependencies");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

#[test]
fn the_pure_part_is_pure() {
    let pure = |source: &&Source| source.path.starts_with("crates/");
    let offenders: Vec<String> = crate_sources()
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

fn order_of(folder: &str) -> Option<&'static [&'static str]> {
    ORDER.iter().find(|(it, _)| *it == folder).map(|(_, order)| *order)
}

fn forbidden_uses(source: &Source) -> Vec<String> {
    let (folder, own) = source.crate_and_module();
    let order = order_of(folder).unwrap_or_default();
    let rank = |module: &str| order.iter().position(|m| *m == module);
    let backward = used_modules(source, "crate")
        .into_iter()
        .filter(|(_, used)| used != own && rank(used).is_some_and(|used| Some(used) > rank(own)));
    let apart = ["crate", "assent_contract"]
        .into_iter()
        .flat_map(|root| used_modules(source, root))
        .filter(|(_, used)| APART.contains(&(own, used)));
    let place =
        |(line, used): (usize, String)| format!("{}:{line}: {own} uses {used}", source.path);
    backward.chain(apart).map(place).collect()
}

/// The top modules behind every `crate::`, or another root, also of `use crate::{a::b, c}`, with their lines.
fn used_modules(source: &Source, root: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for at in words(&source.code, root) {
        let Some(path) = source.code[at + root.len()..].strip_prefix("::") else { continue };
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
