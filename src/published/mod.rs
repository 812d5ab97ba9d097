//! The folder of the published audit log (docs/audit.md): its files, written so that a crash at any step
//! leaves a log that goes on.
//!
//! What the files hold, and whether a tree may be signed, is decided in the crate `assent_evidence`. Knows
//! no Kafka.

mod folder;
mod log;

pub use folder::Folder;
pub use log::{Log, open_checkpoint};
