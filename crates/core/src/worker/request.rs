//! What a worker asks its rim to do, one thing after the other.

use std::collections::BTreeMap;

use super::room::Room;
use crate::commit::{Action, Ending};
use assent_contract::domain::time::Span;

/// What is to be done next; behind each is the fact that the worker is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Say what the schema registry has said by now: [`super::Worker::learn`].
    Learn,
    /// Fetch no more clicks of this partition, or go on with it: [`super::Worker::paused`].
    Pause(i32),
    Resume(i32),
    /// Take consent that has arrived, as far as there is room: [`super::Worker::received`].
    ReceiveConsent(Room),
    /// Send what is misrouted in this partition on, and wait for so long that it is acknowledged:
    /// [`super::Worker::forwarded`].
    Forward {
        partition: i32,
        within: Span,
    },
    /// Take clicks that have arrived, as far as there is room: [`super::Worker::received`].
    ReceiveClicks(Room),
    /// Go on with what of an input can't be read, if there is anything: [`super::Worker::was_busy`].
    LookIntoFaults,
    /// Did the group decide something? [`super::Worker::assigned`], [`super::Worker::give_back`],
    /// [`super::Worker::surrender`].
    HearGroup,
    /// Restore these partitions: [`super::Worker::restored`], [`super::Worker::restore_after`].
    Restore(Vec<i32>),
    /// No batch is at hand: other keys may be taken up now, [`super::Worker::set_keys`].
    TakeUpKeys,
    /// Read the changelog of these partitions again from its beginning, for the raw ids:
    /// [`super::Worker::sweep_begins`], [`super::Worker::put_sweep_off`].
    StartSweep(Vec<i32>),
    /// Go on with that: [`super::Worker::hold_id`], then [`super::Worker::swept`].
    Sweep,
    /// Say what the partitions of the group say of their audiences: [`super::Worker::heard_audiences`].
    HearAudiences,
    /// Ask the broker where the consent of these partitions ends: [`super::Worker::answered`].
    Ask {
        partitions: Vec<i32>,
        within: Span,
    },
    /// Nobody has answered for long: let another client ask.
    RenewProbe,
    /// Take note of what was reached: [`super::Worker::settle`]; first, if so said, of where both
    /// consumers are: [`super::Worker::advance`].
    Settle {
        locate: bool,
    },
    /// Consent stands still although there is more: let another client read it from here on.
    FollowConsentAnew(BTreeMap<i32, i64>),
    /// A batch is due: [`super::Worker::advance`], then [`super::Worker::decide`].
    Decide,
    /// The commit protocol's next action: [`super::Worker::performed`].
    Perform(Action),
    /// The batch at hand is over: count it, then [`super::Worker::conclude`].
    Conclude(Ending),
    /// An input does not hold what is needed next, or consent was not read for too long: find out what was
    /// lost.
    FindLoss,
    /// The member is nobody any more: join anew.
    Rejoin,
    /// All that could be committed is, or there is no more time: give the partitions back.
    GiveBack,
    /// That was one turn; was there anything to do in it?
    Rest {
        busy: bool,
    },
}
