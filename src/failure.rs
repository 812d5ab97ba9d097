//! What ends a command: one message for a person, and the exit code
//! (docs/contract/commands.md#exit-codes).

use std::fmt;

/// Exit codes after sysexits(3), as docs/contract/commands.md has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Failed, or violations were found; also the stops (docs/contract/bad-input.md#stops).
    Failed = 1,
    Usage = 64,
    /// Bad input data.
    Data = 65,
    /// Broker or registry not reachable.
    Unavailable = 69,
    /// Bad configuration, rulebook path or keyset.
    Config = 78,
}

/// Names the file or key, what is wrong, and what to do. Holds no raw identifier and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
