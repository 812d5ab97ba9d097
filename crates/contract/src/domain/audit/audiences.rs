//! How the audit says which segments may be named: a batch without entries that covers no input, under a
//! "rulebook" that is the statement. It stands in the transaction whose other batches are the first to be
//! decided by it, directly before them, and holds until the next one of its chain.
//!
//! ```text
//! audiences: offers/explorers open 53; offers/buyers held
//! audiences: none
//! ```
//! Of segments of purposes with a minimum audience, those that are not closed. `open` has the number of
//! subjects that were known to be in it; no number below a minimum is told.

use crate::domain::ids::is_slug;

/// What the field `rulebook` of such a batch begins with; no rulebook's version may.
pub const MARK: &str = "audiences: ";

const NONE: &str = "none";

/// Who may be named in a segment. What a statement lacks is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    /// Everybody who is in it: so many subjects.
    Open(u64),
    /// Who was named before.
    Held,
}

/// A segment of a purpose, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience<'a> {
    pub purpose: &'a str,
    pub segment: &'a str,
    pub stated: Stated,
}

/// The field `rulebook` of the batch that states this.
pub fn in_audit<'a>(audiences: impl Iterator<Item = Audience<'a>>) -> String {
    let one = |it: Audience<'_>| match it.stated {
        Stated::Open(members) => format!("{}/{} open {members}", it.purpose, it.segment),
        Stated::Held => format!("{}/{} held", it.purpose, it.segment),
    };
    let all: Vec<String> = audiences.map(one).collect();
    let said = if all.is_empty() { NONE.to_owned() } else { all.join("; ") };
    format!("{MARK}{said}")
}

/// Is this field such a statement?
pub fn is_statement(rulebook: &str) -> bool {
    rulebook.starts_with(MARK)
}

/// What such a field states; `None`: it is none, or says something else.
pub fn read(rulebook: &str) -> Option<Vec<Audience<'_>>> {
    let said = rulebook.strip_prefix(MARK)?;
    if said == NONE {
        return Some(Vec::new());
    }
    said.split("; ").map(one).collect()
}

fn one(said: &str) -> Option<Audience<'_>> {
    let mut words = said.split(' ');
    let (purpose, segment) = words.next()?.split_once('/')?;
    let stated = match (words.next()?, words.next()) {
        ("open", Some(members)) => Stated::Open(members.parse().ok()?),
        ("held", None) => Stated::Held,
        _ => return None,
    };
    let is_whole = words.next().is_none() && is_slug(purpose) && is_slug(segment);
    is_whole.then_some(Audience { purpose, segment, stated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_is_read_again_and_nothing_else() {
        let all = [
            Audience { purpose: "offers", segment: "a-1", stated: Stated::Open(53) },
            Audience { purpose: "mail", segment: "b", stated: Stated::Held },
        ];
        let text = in_audit(all.iter().cloned());
        assert_eq!(text, "audiences: offers/a-1 open 53; mail/b held");
        assert_eq!(read(&text).as_deref(), Some(&all[..]));
        let none = in_audit([].into_iter());
        assert_eq!((none.as_str(), read(&none)), ("audiences: none", Some(Vec::new())));
        for wrong in [
            "2026-11-22",
            "audiences: ",
            "audiences: a/b",
            "audiences: a/b open",
            "audiences: a/b open x",
            "audiences: a/b held 3",
            "audiences: a/b open 3 4",
            "audiences: b open 3",
            "audiences: a/b held; ",
            "audiences: A/b held",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(is_statement("audiences: x") && !is_statement("2026"));
    }
}
