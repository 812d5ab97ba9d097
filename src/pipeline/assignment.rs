//! Taking partitions up: the order of docs/contract/batch.md#assignment, which makes sure that what is
//! restored is all that was ever committed, and that nothing is skipped or decided twice.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;

use super::loss_words::stop;
use super::shared::Shared;
use super::survey::{self, Survey, gather};
use super::take_up_error::{Doubtful, TakeUpError};
use crate::failure::Failure;
use crate::kafka::probe::Probe;
use crate::kafka::topics;
use assent_contract::domain::time::{Moment, Span};
use assent_core::engine::Partition;
use assent_core::engine::loss::{self, Losses, View};
use assent_core::task::{Offsets, Task};

/// Restores these partitions. The producer is initialized before, so nothing of a predecessor with
/// this transactional.id is open any more.
pub fn take_up(
    shared: &Shared,
    probe: &Probe,
    partitions: &[i32],
    mut wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Task>, TakeUpError> {
    if let Some(change) = topics::find_change(probe, &shared.config, &shared.counts) {
        return Err(TakeUpError::Stop(change));
    }
    let survey = Survey::take(shared, probe, partitions, &mut wanted)?;
    let gathered = gather(&shared.config, probe, partitions, false, wanted)?;
    let now = shared.clock.moment();
    let (mut tasks, mut lost) = (BTreeMap::new(), BTreeMap::new());
    let mut doubtful = Vec::new();
    let topics = &shared.config.topics;
    for (partition, gathered) in gathered {
        let of_state = gathered.unreadable.clone().map(|it| (&topics.state, it));
        let of_audit = survey.unreadable_audit(partition).cloned().map(|it| (&topics.audit, it));
        doubtful.extend(of_state.into_iter().chain(of_audit).map(|(topic, unreadable)| Doubtful {
            topic: topic.clone(),
            partition,
            unreadable,
        }));
        let state = gathered.finish(shared)?;
        let losses = survey.losses(partition, &state, None);
        match state {
            Ok(engine) if losses.is_empty() => {
                let task = position(partition, engine, &survey, &losses, now);
                tasks.insert(partition, task);
            }
            _ => {
                lost.insert(partition, losses);
            }
        }
    }
    if lost.is_empty() {
        return Ok(tasks);
    }
    let stop = stop(&shared.config, &lost);
    Err(if doubtful.is_empty() {
        TakeUpError::Stop(stop)
    } else {
        TakeUpError::Unsure(doubtful, stop)
    })
}

/// Reads the state of these partitions back.
pub fn restore(
    shared: &Shared,
    probe: &Probe,
    partitions: &[i32],
    wanted: impl FnMut() -> bool,
) -> Result<BTreeMap<i32, Partition>, TakeUpError> {
    let gathered = gather(&shared.config, probe, partitions, false, wanted)?.into_iter();
    gathered
        .map(|(partition, gathered)| match gathered.finish(shared)? {
            Ok(engine) => Ok((partition, engine)),
            Err(detail) => {
                let state = Some(loss::StateLoss::Damaged(detail));
                let losses = Losses { state, ..Losses::default() };
                let lost = BTreeMap::from([(partition, losses)]);
                Err(TakeUpError::Stop(stop(&shared.config, &lost)))
            }
        })
        .collect()
}

/// Where the inputs of a partition go on.
fn position(
    partition: i32,
    mut engine: Partition,
    survey: &Survey,
    losses: &Losses,
    now: Moment,
) -> Task {
    let start = Offsets { click: losses.resume.next_click, consent: losses.resume.next_consent };
    match engine.state_head() {
        None => engine.start_at(start.click, start.consent),
        Some(head) => {
            let reaches = |audit: &loss::AuditHead| audit.next_sequence >= head.next_sequence;
            if survey.audit(partition).is_some_and(|audit| !reaches(audit)) {
                tracing::error!(
                    partition,
                    "the audit topic lost the end of the chain of this partition; `assent verify` \
                     will report it as missing from there to {}",
                    head.next_sequence
                );
            }
        }
    }
    engine.note_topics(survey.topics);
    let unread_for = engine.consent_synced_at().map_or(Span(0), |at| survey.now - at);
    Task::new(partition, engine, start, now).bound_absence(survey.absence, unread_for)
}

/// The first input that no longer holds what a task needs next, as a message; `None`: all do.
pub fn find_loss(
    shared: &Shared,
    probe: &Probe,
    tasks: &BTreeMap<i32, Task>,
) -> Result<Option<Failure>, KafkaError> {
    let partitions: Vec<i32> = tasks.keys().copied().collect();
    let topics = &shared.config.topics;
    let clicks = survey::ranges(probe, &topics.clickstream, &partitions)?;
    let consent = survey::ranges(probe, &topics.consent, &partitions)?;
    let ids = shared.input_ids(probe, survey::ASKED_FOR)?;
    let now = shared.clock.moment();
    let mut lost = BTreeMap::new();
    for (&partition, task) in tasks {
        let received = task.received();
        let head = task.engine.state_head().map(|head| loss::StateHead {
            next_click: received.click,
            next_consent: received.consent,
            consent_synced_at: now.wall - task.unread_too_long(now).unwrap_or_default(),
            ..head
        });
        let range =
            |of: &BTreeMap<i32, loss::Range>| of.get(&partition).copied().unwrap_or_default();
        let (clicks, consent) = (range(&clicks), range(&consent));
        let losses = loss::find(&View {
            state: Ok(head),
            group: None,
            audit: None,
            unreadable_audit: None,
            topics: ids,
            clicks,
            consent,
            unreadable: None,
            now: now.wall,
            absence: task.absence_bound(),
        });
        if !losses.is_empty() {
            lost.insert(partition, losses);
        }
    }
    Ok((!lost.is_empty()).then(|| stop(&shared.config, &lost)))
}
