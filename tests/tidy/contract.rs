//! The contract's pages say what the code says, word for word, where a person decides by them.

use assent_contract::domain::gate::table::LINES;
use assent_contract::domain::invariants::Invariant;

use crate::{expect_none, root};

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("readable")
}

/// A paragraph below `## INV-n` begins with the invariant's name and has its sentence.
#[test]
fn the_invariants_page_has_every_sentence() {
    let page = page("docs/contract/invariants.md");
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let has_sentence = |invariant: &Invariant| {
        let head = format!("{}\n\n**", invariant.id());
        let section = sections.iter().find_map(|section| section.strip_prefix(&head));
        let sentence = section.and_then(|text| text.split_once(".** "));
        sentence.is_some_and(|(_, text)| text.starts_with(&format!("{}\n", invariant.sentence())))
    };
    let missing = Invariant::ALL.iter().filter(|invariant| !has_sentence(invariant));
    let missing: Vec<String> =
        missing.map(|it| format!("{}: {}", it.id(), it.sentence())).collect();
    expect_none(&missing, "docs/contract/invariants.md has another sentence, or none");
    assert_eq!(sections.len(), Invariant::ALL.len());
}

#[test]
fn the_gates_page_has_the_table_that_the_rulebooks_document_has() {
    let page = page("docs/contract/gate.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let row = |line: &assent_contract::domain::gate::table::Line| {
        let verdicts: Vec<&str> = line.verdicts.iter().map(|verdict| verdict.symbol()).collect();
        let row =
            format!("| {} | {} | {} | {}", line.number, line.when, verdicts.join(", "), line.why);
        format!("{} |", row.trim_end())
    };
    let expected: Vec<String> = LINES.iter().map(row).collect();
    let missing: Vec<String> =
        expected.iter().filter(|row| !rows.contains(&row.as_str())).cloned().collect();
    expect_none(
        &missing,
        "docs/contract/gate.md lacks these rows of crates/contract/src/domain/gate/table.rs",
    );
    assert_eq!(rows.len(), LINES.len() + 1, "and has no others but the head");
}
