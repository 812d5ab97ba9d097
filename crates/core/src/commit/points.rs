//! The named points of a batch's life at which a process can end: a test's crash and the simulator's
//! mean the same ones.

use crate::commit::Action;

/// Every point: those of a batch's life, in its order; then something of the state is read, partitions
/// are being given back, a batch moved keys to the active one.
pub const POINTS: [&str; 12] = [
    "after_init",
    "after_restore",
    "after_decide",
    "after_begin",
    "after_produce",
    "after_send_offsets",
    "after_commit",
    "after_abort",
    "after_read_back",
    "during_restore",
    "during_revoke",
    "during_sweep",
];

/// The point that is reached when an action of the commit protocol has succeeded.
pub fn point_after(action: Action) -> Option<&'static str> {
    match action {
        Action::Initialize => Some("after_init"),
        Action::Begin => Some("after_begin"),
        Action::Produce => Some("after_produce"),
        Action::SendOffsets => Some("after_send_offsets"),
        Action::Commit => Some("after_commit"),
        Action::Abort => Some("after_abort"),
        Action::ReadBack => Some("after_read_back"),
        Action::Rest | Action::Conclude(_) => None,
    }
}
