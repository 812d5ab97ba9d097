//! References resolve: a document and its heading that code or documents name is there, an invariant's
//! id is one of the thirteen, and nothing is cited by a number of a document outside of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assent_contract::domain::invariants::Invariant;

use crate::{expect_none, root};

/// Files and folders that may cite.
const CITING: &[&str] = &[
    ".ci",
    ".config",
    "benches",
    "build.rs",
    "Cargo.toml",
    "CHANGELOG.md",
    "clippy.toml",
    "crates",
    "CONTRIBUTING.md",
    "deny.toml",
    "deploy",
    "docker-compose.yml",
    "Dockerfile",
    "docs",
    "examples",
    "fuzz",
    "justfile",
    "README.md",
    "rules",
    "schemas",
    "scripts",
    "src",
    "tests",
    "typos.toml",
];

/// Of others, of a build, or (this file) full of what must not be.
const LEFT_OUT: &[&str] = &[
    "examples/ecom/data",
    "fuzz/Cargo.lock",
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/target",
    "tests/tidy/references.rs",
    "tests/vectors",
];

/// Words that a number behind them makes a citation of something that is not in the tree.
const BY_NUMBER: &[&str] = &["section", "sections", "trap", "traps"];

#[test]
fn documents_and_headings_that_are_named_are_there() {
    let mut headings = Headings::default();
    let mut offenders = Vec::new();
    for (path, text) in cited_texts() {
        let of_root = documents_in(&text).map(|(at, target)| (at, String::new(), target));
        let linked = if is_document(&path) { links_in(&text) } else { Vec::new() };
        let linked = linked.into_iter().map(|(at, target)| (at, path.clone(), target));
        for (at, from, target) in of_root.chain(linked) {
            if !headings.has(&from, &target) {
                offenders.push(format!("{path}:{}: {target}", line_of(&text, at)));
            }
        }
    }
    expect_none(&offenders, "no such document, or no such heading in it");
}

#[test]
fn nothing_is_cited_by_number() {
    let mut offenders = Vec::new();
    for (path, text) in cited_texts() {
        let found = numbers_cited(&text).into_iter();
        offenders
            .extend(found.map(|(at, words)| format!("{path}:{}: {words}", line_of(&text, at))));
    }
    expect_none(&offenders, "name the page instead: docs/contract/ or docs/librdkafka.md");
}

#[test]
fn every_invariant_that_is_named_is_one() {
    let mut offenders = Vec::new();
    for (path, text) in cited_texts() {
        let wrong = invariants_in(&text).into_iter().filter(|(_, number)| !is_invariant(number));
        offenders.extend(
            wrong.map(|(at, number)| format!("{path}:{}: INV-{number}", line_of(&text, at))),
        );
    }
    expect_none(&offenders, "docs/contract/invariants.md has INV-1 to INV-13");
}

fn is_invariant(number: &str) -> bool {
    number.parse().is_ok_and(|number: usize| (1..=Invariant::ALL.len()).contains(&number))
}

/// Every text that may cite, by its path from the root.
fn cited_texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for start in CITING {
        collect(&root().join(start), &mut found);
    }
    assert!(found.len() > 300, "only {} files were looked at", found.len());
    found
}

fn collect(path: &Path, found: &mut Vec<(String, String)>) {
    let name = path.strip_prefix(root()).expect("below the root").display().to_string();
    if LEFT_OUT.contains(&name.as_str()) || name.ends_with("__pycache__") {
        return;
    }
    if let Ok(entries) = std::fs::read_dir(path) {
        entries.for_each(|entry| collect(&entry.expect("an entry").path(), found));
    } else if let Ok(text) = std::fs::read_to_string(path) {
        found.push((name, text));
    }
}

fn is_document(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// `docs/….md`, with a heading's anchor if it has one: a path from the root.
fn documents_in(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.match_indices("docs/").filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "/._-".contains(c)) {
            return None;
        }
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let path: String = text[at..].chars().take_while(|c| is_path(*c)).collect();
        let path = path.trim_end_matches(['.', '-']);
        let anchor = text[at + path.len()..].strip_prefix('#').map(slug_at).unwrap_or_default();
        let target = if anchor.is_empty() { path.to_owned() } else { format!("{path}#{anchor}") };
        is_document(path).then_some((at, target))
    })
}

fn slug_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

/// Targets of `[text](target)` in this repository.
fn links_in(text: &str) -> Vec<(usize, String)> {
    let targets = text.match_indices("](").filter_map(|(at, _)| {
        let target = text[at + 2..].split(')').next()?;
        Some((at, target.to_owned()))
    });
    targets.filter(|(_, target)| !target.contains("://")).collect()
}

/// `section 5`, also where a line ends between the two.
fn numbers_cited(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lower = text.to_ascii_lowercase();
    for word in BY_NUMBER {
        for (at, _) in lower.match_indices(word) {
            let starts = !lower[..at].chars().next_back().is_some_and(char::is_alphanumeric);
            let rest = lower[at + word.len()..].trim_start_matches([' ', '\n', '/', '!', '#', '*']);
            let has_gap = rest.len() < lower.len() - at - word.len();
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if starts && has_gap && !number.is_empty() {
                found.push((at, format!("{word} {number}")));
            }
        }
    }
    found
}

/// The numbers behind `INV-` and `inv-`.
fn invariants_in(text: &str) -> Vec<(usize, String)> {
    let upper = text.to_ascii_uppercase();
    let number = |at: usize| upper[at + 4..].chars().take_while(char::is_ascii_digit).collect();
    let found = upper.match_indices("INV-").map(|(at, _)| (at, number(at)));
    found.filter(|(_, number): &(usize, String)| !number.is_empty()).collect()
}

/// The anchors of every document that was asked for.
#[derive(Default)]
struct Headings(BTreeMap<String, Option<BTreeSet<String>>>);

impl Headings {
    /// `from`: the document that names `target`; empty for a path from the root.
    fn has(&mut self, from: &str, target: &str) -> bool {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let folder = root().join(from).parent().map(Path::to_owned).expect("a folder");
        let path = match (file, from) {
            ("", from) => root().join(from),
            (file, "") => root().join(file),
            (file, _) => folder.join(file),
        };
        let key = path.display().to_string();
        let anchors = self.0.entry(key).or_insert_with(|| {
            if path.is_dir() {
                return Some(BTreeSet::new());
            }
            let text = std::fs::read(&path).ok().map(String::from_utf8)?;
            // A picture has no headings.
            Some(text.map(|text| anchors_of(&text)).unwrap_or_default())
        });
        anchors.as_ref().is_some_and(|known| anchor.is_empty() || known.contains(anchor))
    }
}

/// As GitHub makes them of headings: lower case, no punctuation, `-` for a space, a number for the same again.
fn anchors_of(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if is_code || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = |c: char| c.is_alphanumeric() || " -_".contains(c);
        let slug: String = title.trim().to_lowercase().chars().filter(|c| kept(*c)).collect();
        let slug = slug.replace(' ', "-");
        let again = (1..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(again).find(|it| !anchors.contains(it));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn what_is_cited_is_found() {
    let numbers = |text| numbers_cited(text).into_iter().map(|(_, it)| it).collect::<Vec<_>>();
    assert_eq!(numbers("(design, section 5) and\n/// trap\n/// 14"), ["section 5", "trap 14"]);
    assert!(numbers("its sections, 5 of them; intersection 3; a section").is_empty());
    let documents = |text| documents_in(text).map(|(_, it)| it).collect::<Vec<_>>();
    assert_eq!(documents("see docs/a/b.md#c-d, docs/e.md."), ["docs/a/b.md#c-d", "docs/e.md"]);
    assert!(documents("https://x.org/docs/a.md and docs/rulebook").is_empty());
    let numbers = |text| invariants_in(text).into_iter().map(|(_, it)| it).collect::<Vec<_>>();
    assert_eq!(numbers("INV-1, inv-14, INV-{}"), ["1", "14"]);
    assert!(is_invariant("13") && !is_invariant("0") && !is_invariant("14"));
}

#[test]
fn headings_have_githubs_anchors() {
    let text = "# Calls that don't come back\n```\n# no\n```\n## A `b`: c\n## A b c\n### A b c";
    let expected = ["a-b-c", "a-b-c-1", "a-b-c-2", "calls-that-dont-come-back"];
    assert!(anchors_of(text).iter().eq(expected), "{:?}", anchors_of(text));
}
