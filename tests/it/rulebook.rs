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

#[test]
fn a_material_change_is_said_with_what_is_due_and_exit_codes_stay() {
    let folder = tempfile::tempdir().expect("temp dir");
    let sentence = "material change: a risk assessment is due within 45 days";
    let longer =
        edited_version(&edited(&folder, "longer.yaml", "retention: 30d", "retention: 60d"));
    let said = rules(&["diff", SHIPPED, text(&longer)]).ok().stdout;
    assert!(said.contains(&format!("{sentence} (partner-advertising).")), "{said}");
    assert!(said.contains("    material: data is used for longer"), "{said}");
    let found = rules(&["diff", SHIPPED, text(&longer), "--json"]).ok().json();
    assert_eq!((&found["material"], &found["refused"]), (&true.into(), &false.into()));
    let due = serde_json::json!({"why": "data is used for longer", "due": "within_45_days"});
    assert_eq!(found["changes"][0]["material"], due);

    let sold = edited(&folder, "sold.yaml", "sale_or_share: false", "sale_or_share: true");
    let said = rules(&["diff", SHIPPED, text(&edited_version(&sold))]).ok().stdout;
    let due = "(personalized-offers); before it starts for personalized-offers.";
    assert!(said.contains(&format!("{sentence} {due}")), "{said}");

    let paused = edited(&folder, "paused.yaml", "suspended: false", "suspended: true");
    let refused = rules(&["diff", SHIPPED, text(&paused), "--json"]);
    assert_eq!((refused.code, &refused.json()["material"]), (Some(65), &false.into()));
    assert!(!refused.stdout.contains(sentence), "{refused:?}");
}

#[test]
fn a_site_is_written_with_its_history() {
    let folder = tempfile::tempdir().expect("temp dir");
    let next = edited_version(&edited(&folder, "next.yaml", "suspended: false", "suspended: true"));
    let site = folder.path().join("new/site");
    let arguments = ["doc", text(&next), "--site", text(&site), "--earlier", SHIPPED];
    let said = rules(&arguments).ok().stdout;
    assert!(said.contains("rulebook next, 10 pages; open index.html"), "{said}");
    let history = std::fs::read_to_string(site.join("history.html")).expect("written");
    assert!(
        history.contains("purpose partner-advertising, stricter: it is suspended"),
        "{history}"
    );
    let written = rules(&[&arguments[..], &["--json"]].concat()).ok().json();
    assert_eq!(written["pages"].as_array().map(Vec::len), Some(10), "again, over what is there");
    assert_eq!(written["pages"][0], "index.html");

    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let refused = rules(&["doc", SHIPPED, "--site", text(&file)]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--site"), "{refused:?}");
    assert_eq!(rules(&["doc", SHIPPED, "--earlier", SHIPPED]).code, Some(64));
}

/// `rules try` with the shipped rulebook and these lines on stdin.
fn asked(lines: &str) -> Finished {
    let folder = tempfile::tempdir().expect("temp dir");
    let questions = folder.path().join("questions");
    std::fs::write(&questions, lines).expect("written");
    let mut command = Assent::command();
    command.args(["rules", "try", "--rulebook", SHIPPED]);
    Finished::of(command.stdin(std::fs::File::open(&questions).expect("there")))
}

#[test]
fn the_gate_is_asked_line_by_line() {
    let record = r#"{"subject_id": "kim", "version": 1, "recorded_at": 1793520000000, "age_band": "FROM_18",
        "decisions": {"partner-advertising": {"status": "GRANTED", "since": "2026-11-01T08:00:00Z"}}}"#
        .replace('\n', " ");
    let question = |rest: &str| {
        format!(
            r#"{{"purpose": "partner-advertising", "record": {record}, "now": 1795305600000{rest}}}"#
        )
    };
    let lines = [
        question(""),
        question(r#", "signal_at": 1795305600000, "occurred_at": 1795305600000"#),
        String::new(),
        question(r#", "stale": true, "occurred_at": 1795305600000"#),
        question(r#", "unreadable": true, "erased_at": null"#),
        r#"{"purpose": "personalized-offers", "record": null, "now": "2026-11-22T00:00:00Z"}"#
            .to_owned(),
    ];
    let answers = asked(&lines.join("\n")).ok().json_lines();
    let told: Vec<_> = answers
        .iter()
        .map(|it| (it["verdict"].as_str().unwrap(), it["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("OPT_IN", 12),
            ("OPT_OUT_SIGNAL", 6),
            ("CONSENT_STALE", 1),
            ("CONSENT_UNREADABLE", 2),
            ("NO_CONSENT_RECORD", 3)
        ]
    );
    let first = serde_json::json!({
        "verdict": "OPT_IN", "allowed": true, "line": 12, "rule": answers[0]["rule"], "cite": "", "basis": "OPT_IN",
    });
    assert_eq!(answers[0], first);
    assert_eq!(
        (&answers[1]["cite"], &answers[1]["basis"]),
        (&"11 CCR 7025".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_question_that_is_faulty_is_bad_input_data_and_what_came_before_is_answered() {
    let sound = r#"{"purpose": "personalized-offers", "record": null, "now": 1}"#;
    for (line, expected) in [
        ("{", "stdin:2: the object does not end on this line"),
        (r#"{"purpose": "personalized-offers"}"#, "stdin:2: now is missing"),
        (
            r#"{"purpose": "ofers", "now": 1}"#,
            "stdin:2: purpose: the rulebook does not declare ofers; it declares partner-advertising, personalized-offers",
        ),
        (r#"{"purpose": "personalized-offers", "now": "soon"}"#, "stdin:2: now must be a time"),
        (
            r#"{"purpose": "personalized-offers", "now": 1, "signal": 2}"#,
            "stdin:2: the line has an unknown field; the schema has purpose, record",
        ),
        (r#"{"purpose": "personalized-offers", "now": 1, "now": 2}"#, "stdin:2: now appears twice"),
        (
            r#"{"purpose": "personalized-offers", "now": 1, "record": {"subject_id": "kim"}}"#,
            "stdin:2: record.version is missing",
        ),
        (
            r#"{"purpose": "personalized-offers", "now": 1, "record": {"subject_id": "", "version": 1, "recorded_at": 1, "decisions": {}}}"#,
            "stdin:2: record.subject_id must have 1 to 512 bytes",
        ),
    ] {
        let refused = asked(&format!("{sound}\n{line}\n{sound}\n"));
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert_eq!(refused.json_lines().len(), 1, "{refused:?}");
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
    let missing = rules(&["try", "no-such-file", "--rulebook", SHIPPED]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(65), ""), "{missing:?}");
    assert!(missing.stderr.contains("no-such-file: can't be read"), "{missing:?}");
}
