//! What a reader answers, and what became of a rule: pure.
//!
//! ```text
//! use AaquPNlry1_CLUedrU35O-s      the check asks: what would be used for this key, now?
//! yes art-lovers book-lovers       these segments
//! no                               none: the default segment
//! ```

use std::collections::BTreeSet;

use assent_contract::domain::foreign_text::{shown, shown_bytes};

/// What a reader would use for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes(BTreeSet<String>),
    No,
}

impl Answer {
    /// These segments, in whatever order.
    pub fn yes(segments: &[&str]) -> Self {
        Self::Yes(segments.iter().map(|&id| id.to_owned()).collect())
    }

    /// A line without its end. The error says what it is instead, fit to be shown.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let wrong = || shown_bytes(line);
        let text = std::str::from_utf8(line).map_err(|_| wrong())?.trim_end();
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some("no") if words.next().is_none() => Ok(Self::No),
            Some("yes") => {
                let segments: BTreeSet<String> = words.map(str::to_owned).collect();
                if segments.is_empty() { Err(wrong()) } else { Ok(Self::Yes(segments)) }
            }
            _ => Err(wrong()),
        }
    }

    /// As the protocol has it.
    pub fn text(&self) -> String {
        match self {
            Self::No => "no".to_owned(),
            Self::Yes(segments) => {
                let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
                shown(&format!("yes {}", segments.join(" ")))
            }
        }
    }
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Kept,
    /// What was seen.
    Broken(String),
    /// Why.
    NotChecked(String),
}

impl Outcome {
    /// As `--json` has it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Kept => "ok",
            Self::Broken(_) => "broken",
            Self::NotChecked(_) => "not_checked",
        }
    }

    /// What was seen, or why nothing was.
    pub fn seen(&self) -> Option<&str> {
        match self {
            Self::Kept => None,
            Self::Broken(seen) | Self::NotChecked(seen) => Some(seen),
        }
    }

    /// What follows `rule ID NAME: `.
    pub fn text(&self) -> String {
        match self {
            Self::Kept => "ok".to_owned(),
            Self::Broken(seen) => format!("broken: {seen}"),
            Self::NotChecked(why) => format!("not checked: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_no_or_yes_and_segments() {
        let parse = |line: &str| Answer::parse(line.as_bytes());
        assert_eq!(parse("no"), Ok(Answer::No));
        assert_eq!(parse("no\r"), Ok(Answer::No));
        assert_eq!(parse("yes b  a"), Ok(Answer::yes(&["a", "b"])));
        for wrong in ["", "yes", "maybe", "no a", "NO", "yes\ta"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("\u{1b}[2J"), Err("\\u{1b}[2J".to_owned()));
        assert!(Answer::parse(b"yes \xff").is_err());
        let long = parse(&"x".repeat(10_000)).expect_err("nonsense");
        assert!(long.chars().count() <= 200, "{long}");
    }

    #[test]
    fn what_a_reader_says_is_shown_bounded_and_escaped() {
        let text = Answer::yes(&["a\u{202e}", "b"]).text();
        assert_eq!(text, "yes a\\u{202e} b");
        assert_eq!(Answer::No.text(), "no");
    }
}
