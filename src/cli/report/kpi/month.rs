//! Reads a month, partition by partition: the changelog, then the audit, then the clicks whose signals ended a use.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::super::super::progress;
use super::super::audit::each_batch;
use super::super::records::{Held, each_record, find_partitions, partitions};
use super::lift;
use crate::audit::inputs::{ConsentAt, clicks_at, each_consent, readers};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::scan::Ends;
use assent_contract::domain::ids::RESERVED_PREFIX;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::{ConsentReading, decode_audit_access};
use assent_core::engine::lift::Month;
use assent_report::kpi::complaints::Complaints;
use assent_report::kpi::opt_outs::Reckoning;
use assent_report::kpi::people::People;
use assent_report::kpi::{Kpi, PURPOSES_MAX, Totals};
use assent_report::period::{Period, moment};
use assent_verify::Readers;

pub struct Reading<'a> {
    config: &'a Config,
    ends: &'a Ends<'a>,
    month: Period,
    purposes: Vec<String>,
    /// The places of those that are sale or sharing.
    sold: Vec<usize>,
    totals: Totals,
    held: Held,
    /// Of the questions to the audit.
    asked: Held,
    /// Of the totals in the state.
    counted: Held,
    /// When the last conversion of the month can come; `None`: nothing is measured.
    final_at: Option<Timestamp>,
    /// Subjects whose record of the month's end is gone.
    came_later: u64,
    has_rotated: bool,
}

impl<'a> Reading<'a> {
    pub fn of(
        config: &'a Config,
        ends: &'a Ends<'a>,
        rulebook: &Rulebook,
        month: Period,
    ) -> Result<Self> {
        let purposes: Vec<String> = rulebook.declared().map(|it| it.id.clone()).collect();
        if purposes.len() > PURPOSES_MAX {
            return Err(Failure::config(format!(
                "{}: the report can't tell more than {PURPOSES_MAX} purposes apart, and it has {}",
                config.rulebook.display(),
                purposes.len()
            )));
        }
        let mut totals = Totals::of(purposes.clone());
        totals.measured = lift::measured(rulebook);
        let sold = rulebook.declared().enumerate().filter(|(_, it)| it.sale_or_share);
        Ok(Self {
            config,
            ends,
            month,
            sold: sold.map(|(at, _)| at).collect(),
            totals,
            counted: Held::default(),
            final_at: final_at(rulebook, month),
            purposes,
            held: Held::default(),
            asked: Held::default(),
            came_later: 0,
            has_rotated: false,
        })
    }

    pub fn read(&mut self) -> Result<()> {
        let topics = &self.config.topics;
        let mut read = vec![topics.consent.as_str(), &topics.audit, &topics.clickstream];
        read.extend(self.final_at.map(|_| topics.state.as_str()));
        self.ends.demand(&read)?;
        let count = partitions(self.config, &topics.consent)?;
        let readers = readers(self.config, count as usize);
        let bar = progress::bar(0, "records");
        for partition in 0..count {
            self.partition(partition, &readers, &bar)?;
            if self.final_at.is_some() {
                self.lift(partition, &bar)?;
            }
        }
        self.questions(&bar)?;
        bar.finish_and_clear();
        Ok(())
    }

    fn partition(&mut self, partition: i32, readers: &Readers, bar: &ProgressBar) -> Result<()> {
        let purposes = self.purposes.clone();
        let mut people = People::of(&purposes, self.month);
        let is_wanted = |key: &[u8]| !key.starts_with(RESERVED_PREFIX.as_bytes());
        let take = |at: ConsentAt| see(&mut people, &at);
        each_consent(self.config, self.ends, readers, partition, bar, is_wanted, take)?;
        people.captured(&mut self.totals.captured);
        self.came_later += people.came_later();

        let mut reckoning = Reckoning::of(&purposes, self.sold.clone(), self.month);
        let opt_outs = &mut self.totals.opt_outs;
        let take = |batch: &_| reckoning.see(batch, &mut people, opt_outs);
        self.held.and(each_batch(self.config, self.ends, partition, None, bar, take)?);

        let offsets: Vec<i64> = reckoning.clicks.iter().map(|click| click.offset).collect();
        let clicks = clicks_at(self.config, self.ends, readers, partition, &offsets)?;
        let made_at: BTreeMap<i64, Timestamp> =
            clicks.into_iter().map(|(offset, click)| (offset, click.occurred_at)).collect();
        self.has_rotated |= reckoning.finish(&people, &made_at, &mut self.totals.opt_outs);
        Ok(())
    }

    /// Adds what the partition counted of those held out and of the others.
    fn lift(&mut self, partition: i32, bar: &ProgressBar) -> Result<()> {
        let month = Month::of(self.month.from);
        let (counted, damaged) = lift::read(self.config, self.ends, partition, month, bar)?;
        self.counted.and(Held { begins_at: None, damaged });
        for (id, measured) in self.purposes.iter().zip(&mut self.totals.measured) {
            if let (Some(measured), Some(groups)) = (measured, counted.get(id)) {
                measured.groups.add(*groups);
            }
        }
        Ok(())
    }

    /// Counts the questions to the audit; where there is no such topic, there were none.
    fn questions(&mut self, bar: &ProgressBar) -> Result<()> {
        let topic = &self.config.topics.audit_access;
        for partition in 0..find_partitions(self.config, topic)?.unwrap_or_default() {
            let low = self.ends.low(topic, partition)?;
            let mut is_first = low > 0;
            let (month, queries) = (self.month, &mut self.totals.queries);
            let mut begins_at = None;
            let at = (topic.as_str(), partition);
            let damaged = each_record(self.config, self.ends, at, low, bar, |record| {
                let value = record.value.as_deref().unwrap_or_default();
                let Ok(asked) = decode_audit_access(value, &record.known) else { return false };
                if std::mem::take(&mut is_first) {
                    begins_at = Some(asked.at);
                }
                if month.contains(asked.at) {
                    *queries.entry(asked.command).or_default() += 1;
                }
                true
            })?;
            self.asked.and(Held { begins_at, damaged });
        }
        Ok(())
    }

    pub fn finish(self, month: String, now: Timestamp, complaints: Option<Complaints>) -> Kpi {
        let notes = self.notes(now);
        let mut held = self.held;
        held.and(self.asked);
        self.totals.finish(month, held.of(self.month, now), complaints, notes)
    }

    fn notes(&self, now: Timestamp) -> Vec<String> {
        let mut notes = Vec::new();
        let begins =
            [("audit", self.held), ("record of questions", self.asked), ("state", self.counted)];
        for (what, held) in begins {
            if let Some(at) = held.begins_at.filter(|at| *at > self.month.from) {
                notes.push(format!(
                    "The {what} reaches back to {} UTC only: what came before it in the month is missing.",
                    moment(at)
                ));
            }
            if held.damaged > 0 {
                notes.push(format!(
                    "{} records of the {what} are damaged, and not counted.",
                    held.damaged
                ));
            }
        }
        if now < self.month.to {
            notes.push(format!("The month is not over: it is counted up to {} UTC.", moment(now)));
        }
        if let Some(at) = self.final_at.filter(|at| now < *at && self.month.from < now) {
            notes.push(format!("Conversions still come: the lift is final on {} UTC.", moment(at)));
        }
        if self.came_later > 0 {
            notes.push(format!(
                "{} subjects have only records that are later than the month: they came later, or compaction removed \
                 what they had decided at its end, so they are not in the consent capture.",
                self.came_later
            ));
        }
        if self.has_rotated {
            notes.push(
                "The keys were rotated, so subjects under an opt-out signal are counted once more after it."
                    .to_owned(),
            );
        }
        notes
    }
}

/// Whoever came at the month's end has this long.
fn final_at(rulebook: &Rulebook, month: Period) -> Option<Timestamp> {
    let measured = rulebook.declared().filter_map(|purpose| purpose.measure.as_ref());
    measured.map(|holdout| holdout.within).max().map(|within| month.to + within)
}

fn see(people: &mut People<'_>, at: &ConsentAt) {
    match &at.reading {
        ConsentReading::Record(record) => people.record(at.offset, record),
        ConsentReading::Erasure => people.erasure(at.offset, &at.key, at.append_time),
        _ => people.unreadable(at.offset),
    }
}
