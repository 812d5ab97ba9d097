//! How a batch is committed: the protocol, what one transaction holds, and the named points between its steps.
//!
//! Keeps INV-5. The service executes the protocol on a real producer, the simulator on a simulated one, and
//! both end at the same points.

mod batch;
mod points;
mod protocol;

pub use batch::{Batch, Found, Part, Position};
pub use points::{POINTS, point_after};
pub use protocol::{Action, Commit, Ending, Event, Fault};
