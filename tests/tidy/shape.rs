//! Sizes, the line that opens a file, and files that no module names.

use std::collections::BTreeSet;

use crate::expect_none;
use crate::source::{Source, crate_folders, crate_sources, sources, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

const RUST: &[&str] = &["src", "crates", "tests", "benches", "examples"];

#[test]
fn every_file_says_what_it_is() {
    let silent = |source: &&Source| !source.text.starts_with("//! ");
    let offenders: Vec<_> = sources(RUST).iter().filter(silent).map(|s| s.path.clone()).collect();
    expect_none(&offenders, "open with `//!`: what it is, what it must not know, which invariant");
}

#[test]
fn no_file_is_too_long() {
    let lines = |source: &Source| source.text.lines().count();
    let long = sources(RUST).into_iter().filter(|source| lines(source) > FILE_LINES_MAX);
    let offenders: Vec<_> = long.map(|s| format!("{}: {} lines", s.path, lines(&s))).collect();
    expect_none(&offenders, &format!("more than {FILE_LINES_MAX} lines; split by what is decided"));
}

#[test]
fn no_function_is_too_long() {
    let offenders: Vec<_> = sources(RUST).iter().flat_map(long_functions).collect();
    expect_none(&offenders, &format!("more than {FUNCTION_LINES_MAX} lines; name the steps"));
}

/// What librdkafka can do and rust-rdkafka does not pass on; nothing else may be unsafe.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/what-if/src/exports.rs", "names that a page's module exports"),
    ("src/kafka/native.rs", "a question to librdkafka's admin API, and guards for what it takes"),
    ("src/kafka/events.rs", "what a consumer brings: which batch is it that can't be read?"),
    ("src/kafka/topic_ids.rs", "DescribeTopics: is this still the topic that was read?"),
    ("src/kafka/acls.rs", "DescribeAcls: who may read two topics that must stay apart?"),
    ("src/kafka/granted.rs", "what may this very user do with topics and with the group?"),
    ("src/kafka/token/given.rs", "an OAuth token for each client, polled or not, with extensions"),
    ("src/kafka/member_id.rs", "a member's own id: has another process its name?"),
];

/// Cargo.toml denies it; this is where it may be allowed.
#[test]
fn unsafe_code_is_in_named_files() {
    let is_unsafe = |source: &&Source| words(&source.code, "unsafe").next().is_some();
    let found: Vec<_> = sources(RUST).iter().filter(is_unsafe).map(|s| s.path.clone()).collect();
    let named = |path: &String| UNSAFE.iter().any(|(file, _)| file == path);
    let unnamed: Vec<_> = found.iter().filter(|path| !named(path)).cloned().collect();
    expect_none(&unnamed, "unsafe code outside of the files named for it");
    let needless = UNSAFE.iter().filter(|(file, _)| !found.iter().any(|path| path == file));
    expect_none(&needless.map(|(file, _)| (*file).into()).collect::<Vec<_>>(), "named, not unsafe");
}

#[test]
fn every_file_of_a_crate_is_in_a_module() {
    let all = crate_sources();
    let mut reached: BTreeSet<String> =
        crate_folders().iter().map(|folder| format!("{folder}/lib.rs")).collect();
    reached.insert("src/main.rs".to_owned());
    loop {
        let named: Vec<String> = all
            .iter()
            .filter(|source| reached.contains(&source.path))
            .flat_map(children)
            .filter(|path| !reached.contains(path) && all.iter().any(|s| s.path == *path))
            .collect();
        if named.is_empty() {
            break;
        }
        reached.extend(named);
    }
    let dead = all.into_iter().map(|source| source.path).filter(|path| !reached.contains(path));
    expect_none(&dead.collect::<Vec<_>>(), "no `mod` line leads here");
}

/// Where the modules that this file declares may lie.
fn children(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').expect("a file in a folder");
    let own = match file {
        "main.rs" | "lib.rs" | "mod.rs" => folder.to_owned(),
        file => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    words(&source.code, "mod")
        .filter_map(|at| {
            let (name, _) = source.code[at + 3..].split_once(';')?;
            let name = name.trim();
            name.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(name)
        })
        .flat_map(|name| [format!("{own}/{name}.rs"), format!("{own}/{name}/mod.rs")])
        .collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    words(&source.code, "fn")
        .filter_map(|at| {
            let body = body_length(&source.code[at..])?;
            let lines = source.code[at..at + body].matches('\n').count() + 1;
            let place = format!("{}:{}: {lines} lines", source.path, source.line_of(at));
            (lines > FUNCTION_LINES_MAX).then_some(place)
        })
        .collect()
}

/// From `fn` to the brace that closes its body; `None`: a declaration, or a function's type.
fn body_length(code: &str) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.checked_sub(1)?,
            ';' | ',' | '=' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' if braces == 1 => return Some(at),
            '}' => braces = braces.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[test]
fn a_body_is_found_behind_any_signature() {
    let length = |code: &str| body_length(code).map(|end| &code[..=end]).map(str::len);
    assert_eq!(length("fn a(x: [u8; 2]) -> u8 { { } }x"), Some(30));
    assert_eq!(length("fn a(&self);\nfn b() {}"), None);
    assert_eq!(length("fn(u8) -> u8, b: {}"), None);
}
