//! What commands that ask the audit share: the local index, and the record of each question.

pub mod access;
pub mod batches;
pub mod index;
pub mod inputs;
pub mod rulebooks;
pub mod state;
