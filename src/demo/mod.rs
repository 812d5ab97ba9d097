//! The demo.
pub mod workload;
