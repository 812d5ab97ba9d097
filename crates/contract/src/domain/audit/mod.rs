//! The audit: what one transaction decided for one partition, linked by SHA-256 (INV-9).

pub mod access;
pub mod audiences;
mod batch;
pub mod chain;
mod decode;
pub mod loss;
mod outline;
pub mod verify;

pub use batch::{AuditBatch, AuditEntry, AuditToken, Change, Effect, Sha256Hash};
pub use outline::Outline;
