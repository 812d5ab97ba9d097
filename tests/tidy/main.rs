//! The house rules, as tests: each lists every offender with its place and what to do.
//!
//! They read the sources as text (`source.rs` blanks out comments and literals), so they hold for code
//! behind any feature.

mod circles;
mod contract;
mod documents;
mod law;
mod layers;
mod references;
mod shape;
mod source;

use std::path::PathBuf;

/// Fails with all offenders, one a line.
fn expect_none(offenders: &[String], what_to_do: &str) {
    assert!(offenders.is_empty(), "{what_to_do}:\n{}", offenders.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
