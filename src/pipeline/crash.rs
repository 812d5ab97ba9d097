//! The named points (`task::crash`) at which a test can end the process, as a power cut would. Without the feature
//! `crash-points` they are nothing.

use crate::task::crash::POINTS;

/// Ends the process here where `ASSENT_CRASH_AT` names the point.
#[cfg(feature = "crash-points")]
#[allow(clippy::disallowed_methods)] // a test's switch, not a setting: it is in no release
pub fn crash_point(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not a crash point");
    if std::env::var("ASSENT_CRASH_AT").as_deref() == Ok(name) {
        std::process::abort();
    }
}

#[cfg(not(feature = "crash-points"))]
pub fn crash_point(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not a crash point");
}
