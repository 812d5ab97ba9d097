//! `assent rules`: what a person sees of a rulebook, and with which exit code. Needs no Kafka.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Assent, Finished};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/children-retail.yaml");

fn rules(arguments: &[&str]) -> Finished {
    Finished::of(Assent::command().arg("rules").args(arguments))
}

/// The shipped rulebook with `from` replaced by `to`.
fn edited(folder: &TempDir, name: &str, from: &str, to: &str) -> PathBuf {
    let shipped = std::fs::read_to_string(SHIPPED).expect("readable");
    assert!(shipped.contains(from), "{from}");
    let path = folder.path().join(name);
    std::fs::write(&path, shipped.replace(from, to)).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_document_goes_to_stdout_or_into_a_file() {
    let folder = tempfile::tempdir().expect("temp dir");
    let markdown = rules(&["doc", SHIPPED]).ok().stdout;
    assert!(markdown.starts_with("# Rulebook 2026-11-22\n"), "{markdown}");

    let page = folder.path().join("rulebook.html");
    rules(&["doc", SHIPPED, "--out", text(&page)]).ok();
    let html = std::fs::read_to_string(&page).expect("written");
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    assert_eq!(rules(&["doc", SHIPPED, "--format", "html"]).ok().stdout, html);

    let described = rules(&["doc", SHIPPED, "--json"]).ok().json();
    assert_eq!(described["document"].as_str(), Some(markdown.as_str()));
    let nowhere = folder.path().join("no/such/folder.md");
    let refused = rules(&["doc", SHIPPED, "--out", text(&nowhere)]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--out"), "{refused:?}");
}

#[test]
fn a_difference_is_said_and_is_no_failure() {
    let folder = tempfile::tempdir().expect("temp dir");
    let next = edited(&folder, "next.yaml", "suspended: false", "suspended: true");
    let next = edited_version(&next);
    let said = rules(&["diff", SHIPPED, text(&next)]).ok().stdout;
    assert!(said.contains("~ purpose partner-advertising, stricter: it is suspended"), "{said}");
    assert!(said.contains("purpose_suspended") && !said.contains("REFUSED"), "{said}");

    let found = rules(&["diff", SHIPPED, text(&next), "--json"]).ok().json();
    assert_eq!((&found["refused"], &found["identical"]), (&false.into(), &false.into()));
    assert_eq!(found["new"]["rulebook"], "next");
    assert_eq!(found["changes"][0]["field"], "suspended");
    assert_eq!(found["changes"][0]["change"], "stricter");
    assert_eq!(found["changes"].as_array().map(Vec::len), Some(1));

    let same = rules(&["diff", SHIPPED, SHIPPED, "--json"]).ok().json();
    assert_eq!((&same["identical"], &same["changes"]), (&true.into(), &serde_json::json!([])));
}

fn edited_version(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).expect("readable");
    std::fs::write(path, text.replace("\"2026-11-22\"", "next")).expect("written");
    path.to_owned()
}

#[test]
fn other_content_under_one_version_is_said_to_be_refused() {
    let folder = tempfile::tempdir().expect("temp dir");
    let other = edited(&folder, "other.yaml", "retention: 30d", "retention: 31d");
    let refused = rules(&["diff", SHIPPED, text(&other)]);
    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(refused.stdout.contains("REFUSED"), "{refused:?}");
    assert!(refused.stdout.contains("31 d"), "what differs is shown: {refused:?}");
    assert!(refused.stderr.contains("other.yaml"), "{refused:?}");
    assert!(refused.stderr.contains("set a new version"), "{refused:?}");
    let refused = rules(&["diff", SHIPPED, text(&other), "--json"]);
    assert_eq!((refused.code, &refused.json()["refused"]), (Some(65), &true.into()));
}

#[test]
fn a_faulty_rulebook_is_bad_input_data() {
    let folder = tempfile::tempdir().expect("temp dir");
    let faulty = edited(&folder, "faulty.yaml", "retention: 30d", "retention: soon");
    for arguments in [&["diff", SHIPPED, text(&faulty)][..], &["doc", text(&faulty)]] {
        let refused = rules(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(65), ""), "{refused:?}");
        assert!(refused.stderr.contains("faulty.yaml:"), "{refused:?}");
    }
}
