//! Whoever looks after Assent: called when a process stops, at consent that nobody can read or that was not
//! read for too long, they stop the
//! others, and go on with `state accept-loss`, as `pipeline::accept` does it on Kafka: what was lost is found
//! by the production code, whoever is in doubt is withheld, and the loss goes on record.
//!
//! The command may be interrupted anywhere; then it is run again.

use std::collections::BTreeMap;

use super::broker::{Broker, Committed, Refused};
use super::group::{Ticket, Told};
use super::instance::{Around, Instance, absence_bound, record_of, setup};
use super::log::{Log, Topic};
use super::restored::restore_partition;
use super::stage::PARTITIONS;
use super::steps::Step;
use assent_contract::domain::audit::chain;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::framing::HEADER_LEN;
use assent_contract::wire::read_back_audit_batch;
use assent_core::engine::loss::{self, AuditHead, GroupMark, Losses, Range, TopicIds, View};
use assent_core::engine::output::BatchOutput;
use assent_core::engine::{Accepted, Doubt, Partition};

/// The command's name, in the group and towards transactions.
const NAME: u8 = 200;

/// Until they have come, and between two tries.
const COMES_WITHIN: i64 = 4_000;
const AGAIN: Span = Span(500);

#[derive(Default)]
pub struct Person {
    /// They were called, and are there from then on.
    from: Option<Timestamp>,
}

/// Nothing more was written, for now.
struct Interrupted;

impl Person {
    /// Does whatever is to be done now; returns whether a loss was accepted.
    pub fn act(&mut self, instances: &mut [Instance], around: &mut Around<'_>) -> bool {
        let now = around.broker.now;
        if self.from.is_none() && instances.iter().any(Instance::waits_for_person) {
            self.from = Some(now + Span(around.random.between(200, COMES_WITHIN)));
        }
        if self.from.is_none_or(|from| now < from) {
            return false;
        }
        for instance in &mut *instances {
            if instance.is_up() || !instance.waits_for_person() {
                instance.stop_for_good(around);
            }
        }
        if around.is_group_away() || !around.broker.group.is_empty() {
            return false;
        }
        let accepted = accept_loss(around);
        match accepted {
            Ok(()) => {
                self.from = None;
                for instance in instances {
                    instance.start_at(now + Span(around.random.between(10, 1_000)), around);
                }
            }
            Err(Interrupted) => self.from = Some(now + AGAIN),
        }
        around.broker.group.leave(NAME);
        accepted.is_ok()
    }
}

/// `state accept-loss --yes`.
fn accept_loss(around: &mut Around<'_>) -> Result<(), Interrupted> {
    let now = around.broker.now;
    let member = around.broker.group.join(NAME, now);
    let Told::Assigned(all, ticket) = around.broker.group.poll(NAME, member, now) else {
        return Err(Interrupted);
    };
    let committed = around.broker.committed(&all).ok_or(Interrupted)?;
    let setup = setup(around.stage, around.terms, around.terms.rulebook, around.terms.keys);
    let mut writer = Writer { epoch: around.broker.init(NAME), ticket };
    for partition in 0..PARTITIONS {
        let engine = restore_partition(&setup, partition, around.broker);
        let engine = engine.map_err(|_| Interrupted)?;
        let losses = losses(&engine, partition, &committed, (&around.broker.log, now));
        if losses.is_empty() {
            continue;
        }
        if losses.state.is_some() || losses.clicks.is_some() || losses.group.is_some() {
            let found = format!("partition {partition}: accept-loss finds {losses:?}");
            around.witness.stops.push(found);
        }
        writer.go_on(engine, partition, &losses, around)?;
    }
    Ok(())
}

fn losses(
    engine: &Partition,
    partition: i32,
    committed: &BTreeMap<i32, Committed>,
    (log, now): (&Log, Timestamp),
) -> Losses {
    let mark = committed.get(&partition);
    let whole = |topic| Range { start: 0, end: log.high_watermark(topic, partition) };
    let next = engine.positions().map_or(0, |it| it.next_consent);
    loss::find(&View {
        state: Ok(engine.state_head()),
        group: mark.map(|(offset, sequence)| GroupMark {
            offset: *offset,
            metadata: sequence.to_string(),
        }),
        audit: audit_head(log, partition),
        unreadable_audit: None,
        topics: TopicIds::default(),
        clicks: whole(Topic::Clicks),
        consent: whole(Topic::Consent),
        unreadable: unreadable_at(next, log, partition),
        now,
        absence: Some(absence_bound()),
    })
}

fn audit_head(log: &Log, partition: i32) -> Option<AuditHead> {
    let last = log.get(Topic::Audit, partition).iter().rfind(|it| log.is_committed(it))?;
    let value = last.record.value.as_deref()?;
    let batch = read_back_audit_batch(value).ok()?;
    Some(AuditHead {
        next_sequence: batch.sequence + 1,
        hash: chain::body_hash(&value[HEADER_LEN..]),
        click_to: batch.click_to,
        consent_to: batch.consent_to,
        decided_at: batch.decided_at,
    })
}

/// Consent from there on that nobody can read, where it comes next.
fn unreadable_at(next: i64, log: &Log, partition: i32) -> Option<Range> {
    let (offsets, _) = log.fetch(Topic::Consent, partition, next, 1);
    let first = *offsets.first()?;
    let (_, last) = log.get(Topic::Consent, partition)[first as usize].damaged?;
    Some(Range { start: next, end: last + 1 })
}

struct Writer {
    epoch: u32,
    ticket: Ticket,
}

impl Writer {
    fn go_on(
        &mut self,
        mut engine: Partition,
        partition: i32,
        losses: &Losses,
        around: &mut Around<'_>,
    ) -> Result<(), Interrupted> {
        if engine.positions().is_none() {
            let begins = losses.begins();
            engine.start_at(begins.next_click, begins.next_consent);
        }
        let wall = around.broker.now;
        let signals_lost_at = losses.doubts_signals().then(|| engine.clock_at(wall));
        let doubt = Doubt { consent: losses.consent.is_some(), signals_lost_at };
        let mut doubted = engine.doubted(doubt);
        while !doubted.is_empty() {
            let (decided, output) = engine.withhold_doubted(wall, &mut doubted);
            self.write(Step::Withheld, partition, &output, around)?;
            engine = decided.confirm();
        }
        let statement = format!("partition {partition}: {losses:?}");
        let accepted = Accepted {
            resume: losses.resume,
            topics: TopicIds::default(),
            statement: &statement,
            signals_lost_at,
            consent_is_withheld: losses.doubts_consent(),
            absence: losses.state.is_none().then(absence_bound),
        };
        let (_, output) = engine.accept_loss(wall, &accepted);
        self.write(Step::OnRecord, partition, &output, around)
    }

    /// One transaction. Before its end, or after it, the command may be interrupted.
    fn write(
        &mut self,
        step: Step,
        partition: i32,
        output: &BatchOutput,
        around: &mut Around<'_>,
    ) -> Result<(), Interrupted> {
        let written = self.try_to_write(step, partition, output, around);
        if written.is_err() || around.random.chance(15) {
            return Err(Interrupted);
        }
        Ok(())
    }

    fn try_to_write(
        &mut self,
        step: Step,
        partition: i32,
        output: &BatchOutput,
        around: &mut Around<'_>,
    ) -> Result<(), Refused> {
        let broker: &mut Broker = around.broker;
        for written in &output.outputs {
            let (place, record) = record_of(partition, &output.purposes, written);
            let transaction = broker.produce(NAME, self.epoch, place, record)?;
            around.witness.losses.insert(transaction, step);
        }
        if around.random.chance(15) {
            return Err(Refused::Fenced); // it ends here, and its successor aborts what is open
        }
        let at = [(partition, (output.next_click, output.next_sequence))].into();
        broker.send_offsets(NAME, self.epoch, at, self.ticket)?;
        broker.end(NAME, self.epoch, true)
    }
}
