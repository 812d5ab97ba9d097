//! What is handed to somebody who has no access to Kafka: a folder of whole batches with what proves them.
//!
//! ```text
//! manifest.json            what this is, and the SHA-256 of every other file ([`manifest`])
//! manifest.json.sha256     of the manifest itself
//! batches/<..>.avro        the batches of one chain, in the order of their sequences ([`container`])
//! proofs/<..>.jsonl        for each of these batches, in the same order, a line ([`proofs`])
//! checkpoint               the signed note under which the proofs hold
//! schemas/ rulebooks/ README.md
//! ```
//!
//! An export without a published log has neither proofs nor checkpoint: then only the chain links its batches.
//! docs/audit.md#export says the same for a recipient.

pub mod container;
pub mod manifest;
pub mod proofs;
