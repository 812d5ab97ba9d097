//! The log of one batch: what it has decided so far, in the order of the inputs.

use super::audience::Masks;
use super::input::{Rejection, payload_hash};
use super::output::{DeadLetterNote, InputTopic, OptOut, Output, Tally, Violations};
use assent_contract::domain::audit::{AuditEntry, AuditToken, Effect, Sha256Hash};
use assent_contract::domain::event::SignalSource;
use assent_contract::domain::merge::unkept::UnkeptSignals;
use assent_contract::domain::outcome::{
    DeadLetterReason, InputKind, Outcome, TombstoneReason, Verdict,
};
use assent_contract::domain::time::{Span, Timestamp};

pub struct BatchLog {
    pub now: Timestamp,
    pub gate_open: bool,
    pub unkept: UnkeptSignals,
    pub outputs: Vec<Output>,
    /// The entries' Avro bytes, one after the other, and where each ends.
    pub entries: Vec<u8>,
    pub marks: Vec<Mark>,
    /// Of the current entry.
    pub verdicts: Vec<Verdict>,
    pub effects: Vec<Effect>,
    pub opt_outs: Vec<OptOut>,
    /// A source gave a sign: the ledger changed although no entry says so.
    pub signs_changed: bool,
    pub violations: Violations,
    /// Who may be named, where a purpose has a minimum audience.
    pub masks: Masks,
    /// What the audit is to state of that.
    pub statement: Option<String>,
    /// Not of the canary's clicks.
    pub counts_verdicts: bool,
    counts: Counts,
    tally: Tally,
}

/// Buffers recycled from the previous batch, empty: each batch needs about as much as the last one.
#[derive(Default)]
pub struct EntryBuffers {
    entries: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where an entry ends in [`BatchLog::entries`], and what it was of.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub end: usize,
    pub input: InputKind,
    pub offset: Option<i64>,
}

/// The counts that every click moves, as arrays.
struct Counts {
    outcomes: [[u64; Outcome::ALL.len()]; 2],
    /// Of clicks.
    verdicts: Vec<[u64; Verdict::ALL.len()]>,
}

impl BatchLog {
    /// `buffers`: recycled from an earlier batch.
    pub fn new(now: Timestamp, gate_open: bool, purposes: usize, buffers: EntryBuffers) -> Self {
        Self {
            now,
            gate_open,
            unkept: UnkeptSignals::default(),
            outputs: Vec::new(),
            entries: buffers.entries,
            marks: buffers.marks,
            verdicts: Vec::with_capacity(purposes),
            effects: Vec::new(),
            opt_outs: Vec::new(),
            signs_changed: false,
            violations: Violations::default(),
            masks: Masks::default(),
            statement: None,
            counts_verdicts: true,
            counts: Counts {
                outcomes: [[0; Outcome::ALL.len()]; 2],
                verdicts: vec![[0; Verdict::ALL.len()]; purposes],
            },
            tally: Tally::default(),
        }
    }

    /// The batch is over.
    pub fn clear(self) -> EntryBuffers {
        let (mut entries, mut marks) = (self.entries, self.marks);
        entries.clear();
        marks.clear();
        EntryBuffers { entries, marks }
    }

    /// Ends the current entry: its verdicts and effects are those gathered since the last one.
    pub fn end_entry(
        &mut self,
        input: InputKind,
        offset: Option<i64>,
        outcome: Outcome,
        subject: Option<AuditToken>,
        consent_version: Option<i64>,
    ) {
        if input == InputKind::Click && self.counts_verdicts {
            for (counts, verdict) in self.counts.verdicts.iter_mut().zip(&self.verdicts) {
                counts[*verdict as usize] += 1;
            }
        }
        if let Some(topic) = topic_of(input) {
            self.counts.outcomes[topic as usize][outcome as usize] += 1;
        }
        let mut entry = AuditEntry {
            input,
            offset,
            outcome,
            subject,
            consent_version,
            verdicts: std::mem::take(&mut self.verdicts),
            effects: std::mem::take(&mut self.effects),
        };
        entry.encode(&mut self.entries);
        self.marks.push(Mark { end: self.entries.len(), input, offset });
        entry.verdicts.clear();
        entry.effects.clear();
        self.verdicts = entry.verdicts;
        self.effects = entry.effects;
    }

    pub fn dead_letter(
        &mut self,
        topic: InputTopic,
        offset: i64,
        payload: Option<&[u8]>,
        rejection: &Rejection,
    ) {
        let payload_sha256 = rejection.payload_sha256.or_else(|| payload_hash(payload));
        self.put_letter(topic, (offset, None), payload_sha256, rejection);
    }

    /// Clicks that nobody can read: one letter for all.
    pub fn dead_range(&mut self, first: i64, last: i64, rejection: &Rejection) {
        self.put_letter(InputTopic::Clickstream, (first, Some(last)), None, rejection);
    }

    fn put_letter(
        &mut self,
        topic: InputTopic,
        (offset, last): (i64, Option<i64>),
        payload_sha256: Option<Sha256Hash>,
        rejection: &Rejection,
    ) {
        *self.tally.dead_letters.entry((topic, rejection.reason)).or_default() += 1;
        self.outputs.push(Output::DeadLetter(DeadLetterNote {
            reason: rejection.reason,
            topic,
            offset,
            last,
            payload_sha256,
            failed_at: self.now,
            detail: rejection.detail.clone(),
        }));
    }

    pub fn count_assignment(&mut self, purpose: u16) {
        *self.tally.assignments.entry(purpose).or_default() += 1;
    }

    pub fn count_tombstone(&mut self, purpose: u16, reason: TombstoneReason) {
        *self.tally.tombstones.entry((purpose, reason)).or_default() += 1;
    }

    pub fn count_heartbeat(&mut self) {
        self.tally.heartbeats += 1;
    }

    pub fn count_click_without_gpc(&mut self) {
        self.tally.clicks_without_gpc += 1;
    }

    pub fn count_signal(&mut self, source: SignalSource) {
        *self.tally.signals.entry(source).or_default() += 1;
    }

    pub fn count_erasure_of_unknown(&mut self) {
        self.tally.erasures_of_unknown += 1;
    }

    /// Signals gave way up to then, where they had up to `before`.
    pub fn note_gave_way(&mut self, before: Option<Timestamp>, at: Timestamp) {
        let hour = |at: Timestamp| at.0.div_euclid(Span::HOUR.0);
        let is_news = before.is_none_or(|before| hour(before) < hour(at));
        self.tally.signals_gave_way_at = Some(at).filter(|_| is_news);
    }

    /// The counts of the whole batch.
    pub fn take_tally(&mut self) -> Tally {
        let mut tally = std::mem::take(&mut self.tally);
        for topic in [InputTopic::Clickstream, InputTopic::Consent] {
            for &outcome in Outcome::ALL {
                let count = self.counts.outcomes[topic as usize][outcome as usize];
                if count > 0 {
                    tally.outcomes.insert((topic, outcome), count);
                }
            }
        }
        for (purpose, counts) in self.counts.verdicts.iter().enumerate() {
            for &verdict in Verdict::ALL {
                if counts[verdict as usize] > 0 {
                    tally.verdicts.insert((purpose as u16, verdict), counts[verdict as usize]);
                }
            }
        }
        tally
    }
}

fn topic_of(input: InputKind) -> Option<InputTopic> {
    match input {
        InputKind::Click => Some(InputTopic::Clickstream),
        InputKind::Consent => Some(InputTopic::Consent),
        InputKind::Timer | InputKind::Upkeep => None,
    }
}

/// A click whose time lies ahead: the last reason of docs/contract/bad-input.md#clicks, found only once
/// `now` is known.
pub fn event_time_ahead() -> Rejection {
    let detail = "occurred_at is more than 5 minutes ahead of the clock of the decision";
    Rejection::new(DeadLetterReason::EventTimeAhead, detail)
}
