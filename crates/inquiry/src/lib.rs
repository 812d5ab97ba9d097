//! Questions to the audit, and their answers: [`filter`] says which entries are meant, [`row`] is an entry as it is
//! shown.
//!
//! Pure: no file, no clock, no Kafka; told everything. Depends on the contract alone, so it can't ask the engine
//! that wrote the audit. No answer holds a raw identifier (INV-6).

pub mod filter;
pub mod row;
