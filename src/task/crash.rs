//! The named points of a batch's life at which a process can end: a test's crash and the simulator's
//! mean the same ones.

use crate::engine::commit::Action;

/// Every point, in the order of a batch's life.
pub const POINTS: [&str; 9] = [
    "after_init",
    "after_restore",
    "after_decide",
    "after_begin",
    "after_produce",
    "after_send_offsets",
    "after_commit",
    "after_abort",
    "after_read_back",
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
