//! Questions to the audit, and their answers.
//!
//! [`filter`] says which entries are meant, [`row`] is an entry as it is shown. [`story`] reconstructs what was
//! known of a subject, [`follow`] does so along the audit, [`explain`] says which line of the gate decided and
//! whether that follows; [`live`] and [`segments`] say what was written. [`affected`] finds who was live
//! although consent, as it should have been, withheld.
//!
//! Pure: no file, no clock, no Kafka; told everything. Depends on the contract alone, so it can't ask the engine
//! that wrote the audit. No answer holds a raw identifier (INV-6).

pub mod affected;
pub mod explain;
pub mod filter;
pub mod follow;
pub mod live;
pub mod row;
pub mod segments;
pub mod story;
