//! Assent: clicks and consent in, pseudonymous segments and tombstones out, exactly once.

pub mod domain;
pub mod engine;
pub mod wire;

#[cfg(feature = "service")]
pub mod clock;
#[cfg(feature = "service")]
pub mod config;
#[cfg(feature = "service")]
pub mod failure;
#[cfg(feature = "service")]
pub mod http;
#[cfg(feature = "service")]
pub mod kafka;
#[cfg(feature = "service")]
pub mod pipeline;
#[cfg(feature = "service")]
pub mod telemetry;
