//! What may change under a running service, looked at every few seconds: the keyset file, what this user may
//! do, and the topics themselves. A topic that was made anew, or grew, is a stop
//! (docs/contract/bad-input.md#stops): a consumer that never meets an offset out of range would not
//! tell.

use std::time::Duration;

use super::keys;
use super::rights::Refused;
use super::shared::Shared;
use crate::failure::{Failure, Result};
use crate::kafka::probe::Probe;
use crate::kafka::{refusals, topics};

/// A rotation is noticed within 10 s (docs/contract/pseudonyms.md#rotation): half of it, so that a look
/// may be late.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often the watch looks whether the service stops.
const NAP: Duration = Duration::from_millis(200);

const ASKED_FOR: Duration = Duration::from_secs(5);

/// Looks until the service stops; the topics are those that it was started with.
pub fn run(shared: &Shared, probe: &Probe) {
    let mut known = shared.input_ids(probe, ASKED_FOR).unwrap_or_default();
    // The start has just looked.
    let (mut naps, mut refused, mut is_settled) = (0, Refused::default(), false);
    while !shared.is_stopping() {
        std::thread::sleep(NAP);
        naps += 1;
        let is_due = NAP * naps >= LOOK_EVERY;
        is_settled |= is_due;
        let was_refused = is_settled && refusals::is_new();
        if !shared.config.kafka.is_embedded && (is_due || was_refused) {
            refused.look(shared, probe, was_refused);
        }
        if !is_due {
            continue;
        }
        naps = 0;
        keys::look(shared);
        if let Err(failure) = look_at_topics(shared, probe, &mut known) {
            shared.stop.ask_for(failure);
        }
    }
}

fn look_at_topics(
    shared: &Shared,
    probe: &Probe,
    known: &mut assent_core::engine::loss::TopicIds,
) -> Result<()> {
    if let Some(change) = topics::find_change(probe, &shared.config, &shared.counts) {
        return Err(change);
    }
    let names = &shared.config.topics;
    let Ok(found) = shared.input_ids(probe, ASKED_FOR) else { return Ok(()) };
    let pairs = [
        (&names.clickstream, &mut known.clicks, found.clicks),
        (&names.consent, &mut known.consent, found.consent),
    ];
    for (topic, known, found) in pairs {
        if *known != 0 && found != 0 && *known != found {
            return Err(Failure::failed(format!(
                "topic {topic} was recreated while assent ran: records of the old topic that were \
                 not decided are lost. Start assent again to see their offsets, then run `assent \
                 state accept-loss` (docs/stops.md)"
            )));
        }
        if found != 0 {
            *known = found;
        }
    }
    Ok(())
}
