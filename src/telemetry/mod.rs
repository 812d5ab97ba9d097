//! What an operator sees: metrics and logs. Neither ever holds a raw identifier (INV-6).

pub mod logging;
pub mod metrics;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The git revision it was built from, or `unknown`.
pub const REVISION: &str = env!("ASSENT_REVISION");
