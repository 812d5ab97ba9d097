//! What is wrong with a file, and where: all of it at once, in the order of the file.

use std::fmt;

/// A place in the file. Line and column are 1-based; a column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    pub place: Place,
    pub value: T,
}

/// One thing that is wrong. Displayed as `line:column: message`; the caller puts the file's name before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };

    pub fn with<T>(self, value: T) -> Placed<T> {
        Placed { place: self, value }
    }
}

/// Collects what is wrong, so that a person sees all of them in one run.
#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// A message is one line, also where it quotes several.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        let Place { line, column } = place;
        self.0.push(Fault { line, column, message: message.into().replace('\n', " ") });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file; what an alias repeats is named once.
    pub fn into_list(mut self) -> Vec<Fault> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
