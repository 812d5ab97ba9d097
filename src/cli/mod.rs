//! One file per command.
pub mod consent;
pub mod generate;
pub mod progress;
pub mod replay;
pub mod segments;
pub mod stdout;
pub mod when;
