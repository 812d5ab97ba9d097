//! When the people acted whose keys a tombstone removed: the audit names the input, and the input its time.

use std::collections::BTreeMap;

use super::super::super::progress;
use super::super::audit::each_batch;
use super::super::records::partitions;
use crate::audit::inputs::{clicks_at, each_consent, readers};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::{AuditBatch, Change};
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Purpose;
use assent_contract::wire::ConsentReading;
use assent_report::period::moment;
use assent_report::readers::Requests;

/// A tombstone of a request, whose time is asked for.
struct Removal {
    purpose: String,
    reason: String,
    decided_at: Timestamp,
}

/// Of one partition, by the input's offset. Takes some 100 bytes for each opt-out that the audit holds.
#[derive(Default)]
struct Removals {
    consent: BTreeMap<i64, Vec<Removal>>,
    clicks: BTreeMap<i64, Vec<Removal>>,
}

pub fn read(
    config: &Config,
    ends: &Ends<'_>,
    purposes: &[&Purpose],
    notes: &mut Vec<String>,
) -> Result<Requests> {
    let mut requests = Requests::default();
    if purposes.is_empty() {
        return Ok(requests);
    }
    let topics = &config.topics;
    ends.demand(&[&topics.audit, &topics.consent, &topics.clickstream])?;
    let count = partitions(config, &topics.audit)?;
    let inputs = readers(config, count as usize);
    let bar = progress::bar(0, "records");
    let mut begins_at = None;
    for partition in 0..count {
        let mut removals = Removals::default();
        let take = |batch: &AuditBatch| removals.see(batch, purposes);
        let held = each_batch(config, ends, partition, None, &bar, take)?;
        begins_at = begins_at.max(held.begins_at);

        let Removals { consent, clicks } = &removals;
        each_consent(
            config,
            ends,
            &inputs,
            partition,
            &bar,
            |_| true,
            |at| {
                let acted_at = match &at.reading {
                    ConsentReading::Record(record) => record.recorded_at,
                    _ => at.append_time,
                };
                note(&mut requests, consent.get(&at.offset), acted_at);
            },
        )?;
        let offsets: Vec<i64> = clicks.keys().copied().collect();
        for (offset, click) in clicks_at(config, ends, &inputs, partition, &offsets)? {
            note(&mut requests, clicks.get(&offset), click.occurred_at);
        }
    }
    bar.finish_and_clear();
    if let Some(at) = begins_at {
        notes.push(format!(
            "The audit reaches back to {} UTC only: requests from before have no time here.",
            moment(at)
        ));
    }
    Ok(requests)
}

impl Removals {
    fn see(&mut self, batch: &AuditBatch, purposes: &[&Purpose]) {
        for entry in &batch.entries {
            let Some(offset) = entry.offset else { continue };
            let of_input = match entry.input {
                InputKind::Consent => &mut self.consent,
                InputKind::Click => &mut self.clicks,
                InputKind::Timer | InputKind::Upkeep => continue,
            };
            for effect in &entry.effects {
                let purpose = batch.purposes.get(usize::from(effect.purpose));
                let (Some(purpose), Change::Removed(reason)) = (purpose, &effect.change) else {
                    continue;
                };
                let is_read = purposes.iter().any(|it| it.id == *purpose);
                if is_read && Requests::is_request(reason) {
                    of_input.entry(offset).or_default().push(Removal {
                        purpose: purpose.clone(),
                        reason: reason.to_string(),
                        decided_at: batch.decided_at,
                    });
                }
            }
        }
    }
}

fn note(requests: &mut Requests, removals: Option<&Vec<Removal>>, acted_at: Timestamp) {
    for it in removals.into_iter().flatten() {
        requests.note(&it.purpose, it.decided_at, &it.reason, acted_at);
    }
}
