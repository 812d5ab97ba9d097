//! Documents name only what is in the tree, and every rulebook that we hand out compiles.

use std::path::Path;

use assent_contract::rulebook;
use assent_contract::rulebook::render::{Format, render};

use crate::source::files;
use crate::{expect_none, root};

/// A word in code style that begins so is a path of this repository.
const FOLDERS: &[&str] = &[
    "src/",
    "crates/",
    "tests/",
    "benches/",
    "examples/",
    "clients/",
    "schemas/",
    "rules/",
    "scripts/",
    "docs/",
    "deploy/",
    ".ci/",
];

/// Made by a command that the documents name, and ignored by git.
const GENERATED: &[&str] = &["examples/ecom/data", "examples/reader-java/target"];

#[test]
fn documents_name_only_what_is_there() {
    let mut documents = files(&["docs", "examples", "clients", "rules", "tests", "benches"], "md");
    documents.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(str::to_owned));
    let mut offenders = Vec::new();
    for document in documents.iter().filter(|document| root().join(document).exists()) {
        let text = std::fs::read_to_string(root().join(document)).expect("readable");
        for (line, text) in (1..).zip(text.lines()) {
            let missing = paths_in(text).filter(|path| !root().join(path).exists());
            let broken = links_in(text).filter(|link| !resolve(document, link).exists());
            offenders
                .extend(missing.chain(broken).map(|path| format!("{document}:{line}: {path}")));
        }
    }
    expect_none(&offenders, "these documents name what is not in the tree");
}

/// What a merge left undecided says two things at once.
#[test]
fn no_document_is_half_merged() {
    let mut documents = files(&["docs", "examples", "clients", "rules", "deploy"], "md");
    documents.extend(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(str::to_owned));
    let mut offenders = Vec::new();
    for document in &documents {
        let text = std::fs::read_to_string(root().join(document)).expect("readable");
        let is_mark = |line: &str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
        let marks = (1..).zip(text.lines()).filter(|(_, line)| is_mark(line));
        offenders.extend(marks.map(|(line, _)| format!("{document}:{line}")));
    }
    expect_none(&offenders, "decide what stands here");
}

/// Paths in code style or bare: `crates/core/src/engine/seal.rs`, also within a command.
fn paths_in(line: &str) -> impl Iterator<Item = String> + '_ {
    let is_path = |c: char| c.is_alphanumeric() || "/._-{}*<>".contains(c);
    line.split(move |c: char| !is_path(c))
        .map(|word| word.trim_start_matches("./").trim_end_matches('.'))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['{', '*', '<']))
        .filter(|word| !GENERATED.iter().any(|made| word.starts_with(made)))
        .map(str::to_owned)
}

/// Targets of `[text](target)` that are files.
fn links_in(line: &str) -> impl Iterator<Item = String> + '_ {
    let targets = line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split(')').next());
    let path = |target: &str| target.split('#').next().unwrap_or_default().to_owned();
    targets.filter(|target| !target.contains("://")).map(path).filter(|path| !path.is_empty())
}

fn resolve(document: &str, link: &str) -> std::path::PathBuf {
    root().join(document).parent().expect("a folder").join(link)
}

#[test]
fn every_rulebook_compiles() {
    let books = files(&["rules", "examples"], "yaml").into_iter().filter(|path| is_rulebook(path));
    let refusals = |path: String| {
        let text = std::fs::read(root().join(&path)).expect("readable");
        let errors = rulebook::compile(&text).err().unwrap_or_default();
        errors.into_iter().map(move |error| format!("{path}: {error:?}"))
    };
    expect_none(&books.flat_map(refusals).collect::<Vec<_>>(), "these rulebooks are refused");
}

/// docs/rulebook.md is `assent rules doc` of the shipped rulebook.
#[test]
fn the_shipped_rulebooks_document_is_current() {
    let yaml = std::fs::read(root().join("rules/children-retail.yaml")).expect("readable");
    let rulebook = rulebook::compile(&yaml).expect("it compiles");
    let document = render(&rulebook, Format::Markdown);
    let path = root().join("docs/rulebook.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &document).expect("written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/rulebook.md is old: UPDATE_DOCS=1 cargo test --test tidy");
}

/// What docs/sinks.md shows to be copied is what tests/it/sinks runs.
#[test]
fn the_page_of_sinks_shows_the_files_that_are_tested() {
    let page = std::fs::read_to_string(root().join("docs/sinks.md")).expect("readable");
    let entries = std::fs::read_dir(root().join("examples/sinks")).expect("a folder");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    let missing = names.iter().filter(|name| {
        let text = std::fs::read_to_string(root().join("examples/sinks").join(name));
        !page.contains(&format!("\n{}```\n", text.expect("text")))
    });
    let missing: Vec<String> = missing.map(|name| name.display().to_string()).collect();
    expect_none(&missing, "docs/sinks.md does not show these as they are");
}

fn is_rulebook(path: &str) -> bool {
    let text = std::fs::read_to_string(root().join(Path::new(path))).expect("readable");
    text.lines().any(|line| line.starts_with("rulebook:"))
}
