//! What an operator asks an instance: `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! On a thread of its own, so that a busy or stuck worker can't silence it.

mod server;
mod status;

pub use server::{Server, serve};
pub use status::{PartitionStatus, Status};
