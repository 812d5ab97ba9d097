//! The rules of docs/readers.md: their ids, which stay, and how each is checked.

use super::trial::{Step, Trial};
use super::{records, restarts};
use assent_contract::domain::time::Span;

/// As `assent topics create` sets it.
const USUAL_RETENTION: Span = Span(30 * Span::DAY.0);

pub struct Rule {
    pub id: &'static str,
    pub name: &'static str,
    pub how: How,
    /// Of its topic.
    pub delete_retention: Span,
}

pub enum How {
    Check(fn(&mut Trial<'_>) -> Step),
    /// Why nobody can.
    Never(&'static str),
}

const fn rule(id: &'static str, name: &'static str, check: fn(&mut Trial<'_>) -> Step) -> Rule {
    Rule { id, name, how: How::Check(check), delete_retention: USUAL_RETENTION }
}

/// In the order of the page.
pub const RULES: &[Rule] = &[
    rule("R1", "committed", records::committed),
    rule(AT_ONCE, "tombstone", records::tombstone),
    rule("R3", "expiry", records::expiry),
    Rule {
        delete_retention: restarts::SHORT_RETENTION,
        ..rule("R4", "absence", restarts::absence)
    },
    rule("R5", "beginning", records::beginning),
    rule("R6", "together", restarts::together),
    rule("R7", "unreadable", records::unreadable),
    rule("R8", "default", records::default),
    Rule {
        id: "R9",
        name: "one-purpose",
        how: How::Never("what else a reader does with a key can't be seen from here"),
        delete_retention: USUAL_RETENTION,
    },
    rule("R10", "renewal", records::renewal),
    rule("R11", "gap", records::gap),
    rule("R12", "reset", restarts::reset),
    rule("R13", "rotation", records::rotation),
];

/// A reader that is behind here is behind everywhere.
pub const AT_ONCE: &str = "R2";

#[cfg(test)]
mod tests {
    use super::*;

    /// Others build on the ids: one that was given stays.
    #[test]
    fn each_rule_is_a_row_of_the_page() {
        let page = include_str!("../../../docs/readers.md");
        for Rule { id, name, .. } in RULES {
            assert!(
                page.contains(&format!("| {id} {name} |")),
                "docs/readers.md lacks {id} {name}"
            );
        }
        let rows = page.lines().filter(|line| line.starts_with("| R")).count();
        assert_eq!(rows, RULES.len(), "a row of the page is no rule here");
    }
}
