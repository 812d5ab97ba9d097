//! What is wrong with a rulebook, and where: all of it at once, in the order of the file.

use std::fmt;

/// A place in the rulebook's file. Line and column are 1-based; a column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub place: Place,
    pub value: T,
}

/// One refusal. Displayed as `line:column: message`; the caller puts the file's name before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleError {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for RuleError {}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };

    pub fn with<T>(self, value: T) -> Placed<T> {
        Placed { place: self, value }
    }
}

/// Collects refusals, so that a person sees all of them in one run.
#[derive(Default)]
pub(super) struct Faults(Vec<RuleError>);

impl Faults {
    /// A message is one line, also where it quotes several.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        let Place { line, column } = place;
        self.0.push(RuleError { line, column, message: message.into().replace('\n', " ") });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file; what an alias repeats is named once.
    pub fn into_errors(mut self) -> Vec<RuleError> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
