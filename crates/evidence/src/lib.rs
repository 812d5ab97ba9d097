//! The published audit log: what an outsider needs to check that no decision was altered, removed or
//! reordered, without trusting whoever runs Assent.
//!
//! One entry ([`entry`]) stands for one audit batch. Entries are the leaves of a Merkle tree
//! ([`hash`], RFC 6962), which lies in a folder as tiles and bundles ([`tile`], [`bundle`], C2SP
//! tlog-tiles) below a signed checkpoint ([`note`], [`checkpoint`]). [`edge`] grows the tree, [`reader`]
//! reads it and believes nothing that the checkpoint does not sign, [`proof`] shows to others that an
//! entry is in it and that a later tree extends an earlier one. [`publisher`] decides what may be signed
//! next (INV-9). [`export`] is the form in which batches are handed to somebody.
//!
//! Pure: no file, no clock, no randomness, no Kafka. Depends on nothing else of Assent, so that a
//! verifier in another place can use it as it is.

pub mod bundle;
pub mod checkpoint;
pub mod edge;
pub mod entry;
pub mod export;
pub mod hash;
pub mod note;
pub mod proof;
pub mod publisher;
pub mod reader;
pub mod tile;

#[cfg(test)]
mod memory;
