//! What an operator asks an instance: `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! On a thread of its own, so that a busy or stuck worker can't silence it.

pub mod connections;
mod health;
mod membership;
mod reason;
mod server;
mod status;

pub use health::Health;
pub use reason::Reason;
pub use server::{Server, serve};
pub use status::{PartitionStatus, Status, WAIT_MAX};
