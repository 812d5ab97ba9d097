//! The reference model: docs/contract/gate.md, merging.md, rulebook.md and batch.md for one partition,
//! naively.
//!
//! Written from the contract alone and sharing only plain types, it judges the engine (INV-1, INV-4,
//! INV-8, INV-13). Whole histories lie in vectors; every question folds them from the first fact on.
//! It knows no timers: before every entry, and once a batch for everybody, it looks at each subject
//! afresh, so a timer that the engine forgets shows as a difference.

pub mod audience;
pub mod consent;
pub mod windows;

use std::collections::BTreeMap;

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::Click;
use assent_contract::domain::outcome::{
    Basis, DeadLetterReason, InputKind, Outcome, TombstoneReason, Verdict,
};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{ContextualRule, Rulebook};
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput};

use assent_core::engine::audience::Heard;
use audience::{Audiences, Name};
use consent::{ConsentView, Mark};
use windows::{Counted, Question};

/// Something that happened to a subject, after the `now` of its batch.
pub type Fact<'a> = (Timestamp, What<'a>);

#[derive(Clone, Copy)]
pub enum What<'a> {
    /// Assent judged the subject, without an input.
    Looked,
    Record(&'a ConsentRecord, Timestamp),
    Undecodable,
    Erased(Timestamp),
    /// Assent met the subject after signals up to then had given way: perhaps this subject's, too.
    GaveWay(Timestamp),
    /// Signals from before then were lost, whoever sent one; perhaps this subject did.
    Lost(Timestamp),
    /// What was lost may have been consent of this subject.
    Doubted,
    /// `counts`: DECIDED, and line 1 did not hold.
    Clicked {
        click: Click<'a>,
        counts: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub segments: Vec<String>,
    pub basis: Basis,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
}

/// `Err`: removed, and why.
pub type Change = Result<Assigned, TombstoneReason>;

/// An audit entry as it must be, with what the topics get besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub input: InputKind,
    pub offset: Option<i64>,
    pub outcome: Outcome,
    pub subject: Option<String>,
    pub consent_version: Option<i64>,
    pub verdicts: Vec<Verdict>,
    pub effects: Vec<(usize, Change)>,
    pub contextual: Vec<String>,
    pub dead_letter: Option<DeadLetterReason>,
}

impl Entry {
    fn new(input: InputKind, offset: Option<i64>, outcome: Outcome) -> Self {
        let (verdicts, effects, contextual) = (vec![], vec![], vec![]);
        #[rustfmt::skip]
        return Self { input, offset, outcome, subject: None, consent_version: None, verdicts,
            effects, contextual, dead_letter: None };
    }
}

/// One partition's whole past.
pub struct Model<'a> {
    pub rulebook: &'a Rulebook,
    lease: Span,
    /// Of so many subjects of whom nothing else is known, a signal is kept.
    pub signals_max: usize,
    /// Up to then they gave way.
    floor: Option<Timestamp>,
    /// Signals from before then were lost.
    lost_at: Option<Timestamp>,
    now: Timestamp,
    gate_open: bool,
    pub audiences: Audiences,
    /// What was heard of the audiences of other partitions, and which these are.
    heard: (Option<&'a Heard>, Vec<i32>),
    /// What the audit is to state of audiences with the batch at hand.
    pub stated: Option<String>,
    facts: BTreeMap<String, Vec<Fact<'a>>>,
    /// All of it, in order: subject, purpose's index, what.
    written: Vec<(String, usize, Change)>,
    entries: Vec<Entry>,
}

impl<'a> Model<'a> {
    pub fn new(rulebook: &'a Rulebook, lease: Span) -> Self {
        let (now, facts, written) = (Timestamp::MIN, BTreeMap::new(), Vec::new());
        #[rustfmt::skip]
        return Self { rulebook, lease, signals_max: usize::MAX, floor: None, lost_at: None, now,
            gate_open: false, audiences: Audiences::default(), heard: (None, Vec::new()), stated: None,
            facts, written, entries: Vec::new() };
    }

    /// Consent by offset, then due timers (here by subject), then clicks by offset.
    pub fn step(
        &mut self,
        (wall, gate_open): (Timestamp, bool),
        consent: &[ConsentInput<'a>],
        clicks: &[ClickInput<'a>],
    ) -> Vec<Entry> {
        self.begin(wall, gate_open);
        for input in consent {
            self.consent(input);
        }
        for subject in self.facts.keys().cloned().collect::<Vec<_>>() {
            self.look(&subject);
        }
        for input in clicks {
            self.click(input);
        }
        self.let_oldest_signals_give_way();
        std::mem::take(&mut self.entries)
    }

    /// Consent was lost, and a person goes on: whoever has a record is withheld until another is read, and
    /// counts as having sent a signal.
    pub fn withhold(&mut self, wall: Timestamp) -> Vec<Entry> {
        self.begin(wall, false);
        for subject in self.facts.keys().cloned().collect::<Vec<_>>() {
            if self.consent_view(&subject).record.is_some() {
                self.look(&subject);
                self.add(&subject, What::Lost(self.now));
                self.add(&subject, What::Doubted);
                let revised = Entry::new(InputKind::Upkeep, None, Outcome::Revised);
                let entry = self.closed(revised, &subject);
                self.entries.extend(Some(entry).filter(|entry| !entry.effects.is_empty()));
            }
        }
        std::mem::take(&mut self.entries)
    }

    /// The loss is on record: whoever is met from now on may have sent a signal before it.
    pub fn lose(&mut self, wall: Timestamp) -> Vec<Entry> {
        (self.now, self.gate_open) = (self.now.max(wall), false);
        self.stated = None;
        self.lost_at = Some(self.now);
        Vec::new()
    }

    /// This was heard of the audiences of these other partitions.
    pub fn hear(&mut self, heard: Option<&'a Heard>, others: Vec<i32>) {
        self.heard = (heard, others);
    }

    /// How segments stand is taken of what the last batch left.
    fn begin(&mut self, wall: Timestamp, gate_open: bool) {
        let members = self.members();
        (self.now, self.gate_open) = (self.now.max(wall), gate_open);
        let heard = (self.heard.0, self.heard.1.as_slice());
        self.stated = self.audiences.stand(self.rulebook, &members, heard, self.now);
    }

    /// How many subjects are in each segment of a purpose with a minimum audience, named or not.
    pub fn members(&self) -> BTreeMap<Name, u64> {
        let mut members = BTreeMap::new();
        for (at, purpose) in self.rulebook.purposes.iter().enumerate() {
            let people = self.facts.keys().filter(|it| !it.starts_with("__assent_canary_"));
            let holding = people.filter(|_| purpose.min_members.is_some());
            for segment in holding.flat_map(|subject| self.holding(subject, at)) {
                *members.entry((purpose.id.clone(), segment)).or_insert(0) += 1;
            }
        }
        members
    }

    /// The segments that hold for a subject that the gate allows.
    fn holding(&self, subject: &str, at: usize) -> Vec<String> {
        let (purpose, now, view) =
            (&self.rulebook.purposes[at], self.now, self.consent_view(subject));
        let verdict = view.verdict(purpose, None, now);
        let Some(record) = view.record.filter(|_| verdict.allows()) else { return Vec::new() };
        let clicks = self.counted(subject, at);
        let question = Question { purpose, clicks: &clicks, age_band: record.age_band, now };
        let holding = purpose.segments.iter().filter(|segment| question.holds(&segment.condition));
        holding.map(|segment| segment.id.clone()).collect()
    }

    /// At the end of a batch. An eighth of those that may be kept goes at once, and whoever sent as late
    /// as the last of these.
    fn let_oldest_signals_give_way(&mut self) {
        let signal = |subject: &String| {
            let mut view = self.consent_view(subject);
            view.forget(self.now);
            view.signal.filter(|_| view.is_unknown())
        };
        let kept = self.facts.keys().filter_map(signal);
        let said = self.floor.max(self.lost_at.map(consent::minute_after));
        let mut kept: Vec<Timestamp> = kept.filter(|at| Some(*at) > said).collect();
        if kept.len() > self.signals_max {
            kept.sort_unstable();
            let stay = self.signals_max - self.signals_max / 8;
            self.floor = Some(kept[kept.len() - stay - 1]);
        }
    }

    /// The last thing written of a subject and purpose, unless it was a tombstone.
    pub fn live(&self, subject: &str, purpose: usize) -> Option<&Assigned> {
        let mut of_it = self.written.iter().filter(|it| it.0 == subject && it.1 == purpose);
        of_it.next_back()?.2.as_ref().ok()
    }

    /// Of how many subjects there is a record, no readable consent, a signal alone, an erasure alone.
    pub fn kept(&self) -> [i64; 4] {
        let mut kept = [0; 4];
        let people = self.facts.keys().filter(|subject| !subject.starts_with("__assent_canary_"));
        for subject in people {
            let view = self.consent_view(subject);
            let held = [
                view.record.is_some() && view.mark == Mark::Readable,
                view.mark != Mark::Readable,
                view.signal > self.floor.filter(|_| view.is_unknown()),
                view.erased_at.is_some(),
            ];
            if let Some(kind) = held.into_iter().position(|it| it) {
                kept[kind] += 1;
            }
        }
        kept
    }

    pub fn consent_view(&self, subject: &str) -> ConsentView<'a> {
        let mut view = ConsentView::NOTHING;
        for fact in self.facts(subject) {
            view.apply(&self.rulebook.purposes, fact);
        }
        view
    }

    /// What would stand if every signal that was read were kept: never looser than [`Self::consent_view`].
    pub fn view_with_all_signals(&self, subject: &str) -> ConsentView<'a> {
        let mut view = ConsentView::NOTHING;
        let kept = |fact: &&Fact<'a>| !matches!(fact.1, What::GaveWay(_));
        for fact in self.facts(subject).iter().filter(kept) {
            view.apply(&self.rulebook.purposes, fact);
        }
        view
    }

    fn facts(&self, subject: &str) -> &[Fact<'a>] {
        self.facts.get(subject).map_or(&[], Vec::as_slice)
    }

    fn consent(&mut self, input: &ConsentInput<'a>) {
        let mut entry = Entry::new(InputKind::Consent, Some(input.offset), Outcome::DeadLettered);
        if let ConsentBody::DeadLettered(why) | ConsentBody::Unreadable(why) = &input.body {
            entry.dead_letter = Some(why.reason);
        }
        let what = match &input.body {
            ConsentBody::Heartbeat { .. } => return,
            ConsentBody::DeadLettered(_) => return self.entries.push(entry),
            ConsentBody::Forwarded => {
                entry.outcome = Outcome::Forwarded;
                return self.entries.push(entry);
            }
            ConsentBody::Record(record) => What::Record(record, input.append_time),
            ConsentBody::Erasure => What::Erased(input.append_time),
            ConsentBody::Unreadable(_) => What::Undecodable,
        };
        let subject = String::from_utf8_lossy(input.key);
        self.look(&subject);
        entry.outcome = self.add(&subject, what).1.expect("a consent fact has an outcome");
        if entry.outcome != Outcome::Superseded {
            entry.verdicts = self.verdicts(&subject, None);
        }
        let entry = self.closed(entry, &subject);
        self.entries.push(entry);
    }

    fn click(&mut self, input: &ClickInput<'a>) {
        let mut entry = Entry::new(InputKind::Click, Some(input.offset), Outcome::DeadLettered);
        entry.dead_letter = input.click.as_ref().err().map(|why| why.reason);
        let Ok(click) = &input.click else { return self.entries.push(entry) };
        let longest = self.rulebook.purposes.iter().map(|purpose| purpose.retention).max();
        let subject = click.subject_id;
        subject.inspect(|subject| self.look(subject));
        if click.occurred_at > self.now + Span(5 * 60_000) {
            entry.dead_letter = Some(DeadLetterReason::EventTimeAhead);
        } else if self.now - click.occurred_at > longest.unwrap_or(Span::DAY) {
            entry.outcome = Outcome::TooLate;
        } else {
            entry.outcome = Outcome::Decided;
            let is_canary = subject.is_some_and(|it| it.starts_with("__assent_canary_"));
            let holds = |it: &&ContextualRule| !is_canary && it.condition.holds(click);
            let matching = self.rulebook.contextual.iter().filter(holds);
            entry.contextual = matching.map(|rule| rule.id.clone()).collect();
        }
        let decided = entry.outcome == Outcome::Decided;
        let what = What::Clicked { click: *click, counts: decided && self.gate_open };
        let moved = subject.is_some_and(|subject| self.add(subject, what).0);
        if decided {
            entry.verdicts = self.verdicts(subject.unwrap_or(""), Some(click.occurred_at));
        }
        if let Some(subject) = subject {
            entry = self.closed(entry, subject);
            entry.consent_version = entry.consent_version.filter(|_| decided);
            let profiled = moved || entry.verdicts.iter().any(|verdict| verdict.allows());
            entry.subject = entry.subject.filter(|_| profiled || !entry.effects.is_empty());
        }
        self.entries.push(entry);
    }

    /// Settles what is due of a subject, as an entry of its own where that has effects.
    fn look(&mut self, subject: &str) {
        self.add(subject, What::Looked);
        let entry = self.closed(Entry::new(InputKind::Timer, None, Outcome::Elapsed), subject);
        self.entries.extend(Some(entry).filter(|entry| !entry.effects.is_empty()));
    }

    /// Did the binding time move, and the outcome of a consent fact.
    fn add(&mut self, subject: &str, what: What<'a>) -> (bool, Option<Outcome>) {
        let shows = match what {
            What::Record(..) | What::Undecodable => true,
            What::Clicked { click, .. } => click.opt_out_signal.is_some(),
            _ => false,
        };
        let is_kept = |at: &Timestamp| self.now < *at + consent::KEPT;
        let lost = self.lost_at.filter(is_kept).map(What::Lost);
        let gave_way = self.floor.filter(is_kept).map(What::GaveWay);
        for missing in lost.into_iter().chain(gave_way).filter(|_| shows) {
            let facts = self.facts.entry(subject.to_owned()).or_default();
            facts.push((self.now, missing));
        }
        let (fact, mut view) = ((self.now, what), self.consent_view(subject));
        let before = view.signal;
        let outcome = view.apply(&self.rulebook.purposes, &fact);
        self.facts.entry(subject.to_owned()).or_default().push(fact);
        (view.signal > before, outcome)
    }

    /// The entry with what must be written now that its fact stands.
    fn closed(&mut self, mut entry: Entry, subject: &str) -> Entry {
        for at in 0..self.rulebook.purposes.len() {
            if let Some(change) = self.due(subject, at) {
                self.written.push((subject.to_owned(), at, change.clone()));
                entry.effects.push((at, change));
            }
        }
        entry.subject = Some(subject.to_owned());
        entry.consent_version = self.consent_view(subject).record.map(|record| record.version);
        entry
    }

    /// One per purpose; line 1 is asked of clicks only.
    fn verdicts(&self, subject: &str, event_time: Option<Timestamp>) -> Vec<Verdict> {
        let stale = event_time.is_some() && !self.gate_open;
        let verdict = |of| self.consent_view(subject).verdict(of, event_time, self.now);
        let purposes = self.rulebook.purposes.iter();
        purposes.map(|of| if stale { Verdict::ConsentStale } else { verdict(of) }).collect()
    }

    /// What must be written of a subject and purpose now.
    fn due(&self, subject: &str, at: usize) -> Option<Change> {
        let (purpose, now, live) = (&self.rulebook.purposes[at], self.now, self.live(subject, at));
        let view = self.consent_view(subject);
        let verdict = view.verdict(purpose, None, now);
        let removed = |reason| live.map(|_| Err(reason));
        let (Some(basis), Some(record)) = (verdict.basis(), view.record) else {
            let erased = matches!(self.facts(subject).last()?.1, What::Erased(_));
            let reason = TombstoneReason::Withheld(verdict);
            return removed(if erased { TombstoneReason::Erasure } else { reason });
        };
        let mut segments = self.holding(subject, at);
        if purpose.min_members.is_some() {
            let named = |id: &String| live.is_some_and(|live| live.segments.contains(id));
            segments.retain(|id| self.audiences.may_name(&purpose.id, id, named(id)));
        }
        if segments.is_empty() {
            return removed(TombstoneReason::SegmentsLeft);
        }
        if !self.gate_open {
            let stale = removed(TombstoneReason::Withheld(Verdict::ConsentStale));
            return stale.filter(|_| live.is_some_and(|live| now >= live.expires_at));
        }
        let grant = record.decisions.get(&purpose.id).filter(|_| basis != Basis::NotOptedOut);
        let end = grant.and_then(|it| it.expires_at).unwrap_or(Timestamp::MAX);
        let expires_at = (now + self.lease).min(end);
        let wanted = Assigned { segments, basis, decided_at: now, expires_at };
        live.is_none_or(|live| self.replaces(&wanted, live)).then_some(Ok(wanted))
    }

    fn replaces(&self, wanted: &Assigned, live: &Assigned) -> bool {
        // Half of what it was given: a grant that ended soon, and no longer does, must not leave it to
        // end first.
        let given = self.lease.min(live.expires_at - live.decided_at);
        let renews = self.now >= live.decided_at + Span(given.0 / 2);
        wanted.segments != live.segments
            || wanted.basis != live.basis
            || wanted.expires_at < live.expires_at
            || (renews && wanted.expires_at > live.expires_at)
    }

    /// The clicks allowed for a purpose since its last withheld moment.
    fn counted(&self, subject: &str, at: usize) -> Vec<Counted<'a>> {
        let purpose = &self.rulebook.purposes[at];
        let (mut view, mut counted) = (ConsentView::NOTHING, Vec::new());
        for fact in self.facts(subject) {
            view.apply(&self.rulebook.purposes, fact);
            if !view.verdict(purpose, None, fact.0).allows() {
                counted.clear();
            } else if let What::Clicked { click, counts: true } = fact.1
                && view.verdict(purpose, Some(click.occurred_at), fact.0).allows()
            {
                let t = click.occurred_at.min(fact.0).0.div_euclid(1_000) * 1_000;
                counted.push((Timestamp(t), click));
            }
        }
        counted
    }
}
