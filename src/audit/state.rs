//! One partition's state as the topic has it, read as a start of `run` reads it; nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::damage::Interrupted;
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::restore::{Place, read_state};
use assent_contract::domain::foreign_text::shown;
use assent_core::engine::{Partition, Restore, Setup};

/// Asked again where a broker did not answer.
const TRIES: usize = 3;

const PAUSE: Duration = Duration::from_secs(1);

/// Takes the memory of the partition's subjects, some 100 to 250 bytes each. `each` is told of every record.
pub fn restored(
    config: &Arc<Config>,
    setup: Arc<Setup>,
    partition: i32,
    mut each: impl FnMut(),
) -> Result<Partition> {
    let topic = &config.topics.state;
    let probe = Probe::with(config, "report", Isolation::Uncommitted)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    let mut why = String::new();
    for _ in 0..TRIES {
        let mut restore = Restore::new(partition);
        let mut malformed = BTreeMap::new();
        let take = |_: Place, key: &[u8], value: Option<&[u8]>| {
            each();
            match restore.apply(key, value) {
                Err(error) if value.is_some() => _ = malformed.insert(key.to_vec(), error),
                _ => _ = malformed.remove(key), // overwritten: a later record wins
            }
        };
        match read_state(config, &probe, &[partition], take, || true) {
            Ok(unreadable) => {
                if let Some(found) = unreadable.values().flatten().next() {
                    return Err(Failure::failed(format!(
                        "topic {topic}, partition {partition}: {found}, so the report could lack something; \
                         resolve it with `assent state accept-loss`"
                    )));
                }
            }
            Err(Interrupted::Unwanted) => continue, // never: it is always wanted
            Err(Interrupted::Again(error)) => {
                why = shown(&error.to_string());
                std::thread::sleep(PAUSE);
                continue;
            }
        }
        if let Some(error) = malformed.values().next() {
            return Err(Failure::failed(format!(
                "topic {topic}, partition {partition}: the state can't be read ({error}); use the \
                 version of Assent that wrote it"
            )));
        }
        return restore.finish(setup).map_err(|refusal| {
            let exit = if refusal.exit_code() == 78 { Exit::Config } else { Exit::Failed };
            Failure::new(exit, refusal.to_string())
        });
    }
    Err(Failure::unavailable(format!(
        "topic {topic}, partition {partition}: the state could not be read ({why}); check that the \
         broker runs, and that this user may read the topic"
    )))
}
