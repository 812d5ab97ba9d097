//! The intake's decisions: what a change of somebody's consent makes of what the changelog holds of them.
//!
//! Pure: who seals a command, reads the changelog and writes the result stands outside
//! (docs/decisions/0020-the-intake.md). Each source of changes, the HTTP service first of all, makes
//! [`Command`]s; [`merge`] turns one into the next record of its subject, or says why it can't.

mod command;
mod compare;
mod merge;
mod reask;
mod scope;
pub mod source;

pub use command::{Change, Command, Statement};
pub use compare::{Compared, compare, refusals};
pub use merge::{CurrentConsent, Merged, Refusal, merge};
pub use reask::may_ask_again_at;
pub use scope::{Scope, Terms};
