//! One input, its outcome and its effects: each kind of input in a file of its own. The order of a
//! batch: consent by offset, due timers, moved keys, clicks by offset; a touched subject's own due
//! timers are settled directly before it.

mod clicks;
mod consent;
mod page;
mod rotation;
mod scope;
mod settle;
mod timers;

pub use clicks::EVENT_TIME_AHEAD_MAX;
pub(super) use scope::Scope;
pub use timers::{TIMERS_PER_BATCH_MAX, UPKEEP_PER_BATCH_MAX};
