//! Which of the rulebooks that ever decided in a partition a live key rests on.

/// The number of a rulebook among those that ever decided here, in order.
pub type Edition = u16;
