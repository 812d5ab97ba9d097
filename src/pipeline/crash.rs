//! The named points at which a test can end the process, as a power cut would, or stop it, as a machine
//! that sleeps would. Without the feature `crash-points` they are nothing.

use assent_core::commit::POINTS;

/// The points of a step of `audit publish`, in its order: a file of the log is written and has no name; has its
/// name; all have; the new tree was proved to extend the old one; the checkpoint is signed and not in its
/// place; is in its place.
pub const PUBLISH_POINTS: [&str; 6] = [
    "publish_file_written",
    "publish_file_named",
    "publish_files_synced",
    "publish_tree_proved",
    "publish_checkpoint_signed",
    "publish_checkpoint_named",
];

/// Ends the process here where `ASSENT_CRASH_AT` names the point; stops it once, until it is sent
/// SIGCONT, where `ASSENT_STOP_AT` does.
#[cfg(feature = "crash-points")]
#[allow(clippy::disallowed_methods)] // a test's switch, not a setting: it is in no release
pub fn crash_point(name: &str) {
    assert_known(name);
    let named = |variable| std::env::var(variable).as_deref() == Ok(name);
    if named("ASSENT_CRASH_AT") {
        std::process::abort();
    }
    if named("ASSENT_STOP_AT") {
        static STOP: std::sync::Once = std::sync::Once::new();
        STOP.call_once(|| {
            let pid = std::process::id().to_string();
            let stopped = std::process::Command::new("kill").args(["-STOP", &pid]).status();
            tracing::warn!(?stopped, name, "stopped at a crash point");
        });
    }
}

#[cfg(not(feature = "crash-points"))]
pub fn crash_point(name: &str) {
    assert_known(name);
}

fn assert_known(name: &str) {
    let is_known = POINTS.contains(&name) || PUBLISH_POINTS.contains(&name);
    debug_assert!(is_known, "{name} is not a crash point");
}
