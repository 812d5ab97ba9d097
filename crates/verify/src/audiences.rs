//! The minimum audience: how segments stood, as each chain states it, and whether assignments keep to that.
//!
//! What a partition counted can't be counted again; what it stated of it, it is held to.

use std::collections::BTreeMap;

use super::Rulebooks;
use super::finding::{Findings, Unchecked};
use assent_contract::domain::audit::audiences::Stated;
use assent_contract::rulebook::Rulebook;

/// By purpose and segment; what is not there was closed.
pub type Standing = BTreeMap<(String, String), Stated>;

/// What a chain stated, by the offset of the batch that states it, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    all: Vec<(i64, Standing)>,
    /// The last of them was not held against a rulebook yet.
    is_new: bool,
}

impl Statements {
    /// In the order of the offsets.
    pub fn push(&mut self, offset: i64, standing: Standing) {
        self.all.push((offset, standing));
        self.is_new = true;
    }

    /// The last one, with its offset, where it was not taken yet.
    pub fn take_new(&mut self) -> Option<&(i64, Standing)> {
        let is_new = std::mem::take(&mut self.is_new);
        self.all.last().filter(|_| is_new)
    }

    /// As of a batch at this offset; `None`: nothing was stated before it that was read.
    pub fn before(&self, offset: i64) -> Option<&Standing> {
        let next = self.all.partition_point(|(at, _)| *at < offset);
        next.checked_sub(1).map(|last| &self.all[last].1)
    }
}

/// The first segment that an assignment must not name. `named`: what was live said so of a segment; `None`:
/// nobody can tell.
pub fn too_small<'s>(
    segments: &'s [String],
    purpose: &str,
    standing: &Standing,
    named: impl Fn(&str) -> Option<bool>,
    findings: &mut Findings,
) -> Option<&'s str> {
    let mut may_be =
        |segment: &&String| match standing.get(&(purpose.to_owned(), (*segment).clone())) {
            Some(Stated::Open(_)) => true,
            None => false,
            Some(Stated::Held) => named(segment).unwrap_or_else(|| {
                findings.unchecked(Unchecked::AudienceUnknown, 1);
                true
            }),
        };
    segments.iter().find(|segment| !may_be(segment)).map(String::as_str)
}

impl Rulebooks {
    /// The minimum audience of a purpose under a rulebook of this version.
    pub fn least(&self, version: &str, purpose: &str) -> Option<u32> {
        let mut of_version = self.all().filter(|rulebook| rulebook.version == version);
        of_version.find_map(|rulebook| least(rulebook, purpose))
    }

    /// Does any rulebook ask for an audience of this purpose?
    pub fn have_least(&self, purpose: &str) -> bool {
        self.all().any(|rulebook| least(rulebook, purpose).is_some())
    }
}

pub fn least(rulebook: &Rulebook, purpose: &str) -> Option<u32> {
    rulebook.purpose_index(purpose).and_then(|at| rulebook.purposes[at].min_members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::audit::audiences;

    fn statements() -> Statements {
        let standing = |said: &str| -> Standing {
            let read = audiences::read(said).expect("a statement");
            let one = |it: &audiences::Audience<'_>| {
                ((it.purpose.to_owned(), it.segment.to_owned()), it.stated)
            };
            read.iter().map(one).collect()
        };
        let all = vec![
            (4, standing("audiences: none")),
            (9, standing("audiences: offers/a open 5; offers/b held")),
        ];
        Statements { all, is_new: false }
    }

    #[test]
    fn a_statement_holds_for_what_lies_behind_it() {
        let statements = statements();
        assert_eq!(statements.before(4), None);
        assert_eq!(statements.before(9).map(BTreeMap::len), Some(0));
        assert_eq!(statements.before(10).map(BTreeMap::len), Some(2));
    }

    #[test]
    fn what_is_closed_may_not_be_named_and_what_is_held_by_who_had_it() {
        let statements = statements();
        let standing = statements.before(10).expect("one");
        let check = |segments: &[&str], purpose, named: Option<&str>, expected: Option<&str>| {
            let segments: Vec<String> = segments.iter().map(|it| (*it).to_owned()).collect();
            let mut findings = Findings::default();
            let had = |segment: &str| named.map(|named| named == segment);
            let found = too_small(&segments, purpose, standing, had, &mut findings);
            assert_eq!(found, expected, "{segments:?} {named:?}");
            findings.notes().len()
        };
        assert_eq!(check(&["a"], "offers", Some("-"), None), 0);
        assert_eq!(check(&["a"], "ads", Some("a"), Some("a")), 0, "of another purpose");
        assert_eq!(check(&["a", "c"], "offers", Some("c"), Some("c")), 0);
        assert_eq!(check(&["a", "b"], "offers", Some("b"), None), 0);
        assert_eq!(check(&["a", "b"], "offers", Some("-"), Some("b")), 0);
        assert_eq!(check(&["a", "b"], "offers", None, None), 1, "nobody can tell");
    }
}
