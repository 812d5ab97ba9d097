//! One input, its outcome and its effects. The order of a batch: consent by offset, due timers,
//! clicks by offset; a touched subject's own due timers are settled directly before it.

use super::at_hand::Handled;
use super::input::{ClickInput, ConsentBody, ConsentInput};
use super::mandate::Mandate;
use super::output::{InputTopic, OptOut};
use super::partition::Partition;
use super::revise::{Occasion, Reviser};
use super::stats::Counted;
use super::subject::{StateToken, Subject};
use super::subjects::Resting;
use super::work::{Work, event_time_ahead};
use crate::domain::audit::{AuditToken, Change};
use crate::domain::consent::ConsentRecord;
use crate::domain::event::{Click, SignalSource};
use crate::domain::gate;
use crate::domain::outcome::{InputKind, Outcome};
use crate::domain::time::{Span, Timestamp};

/// A click may lie this far ahead of the clock of its decision (docs/contract/bad-input.md#clicks).
pub const EVENT_TIME_AHEAD_MAX: Span = Span(5 * Span::MINUTE.0);

/// Most subjects whose timers one batch settles: bounds the transaction; the rest follow at once.
pub const TIMERS_PER_BATCH_MAX: usize = 10_000;

/// What was held back comes after everything whose time has come: a grant's end does not wait for it.
const HELD_BACK: Timestamp = Timestamp::MAX;

/// Most subjects that one batch of a sweep revises: at two live keys each, some 4,000 records.
pub const UPKEEP_PER_BATCH_MAX: usize = 1_000;

impl Partition {
    /// Takes one record of the consent changelog.
    pub fn consent(&mut self, input: &ConsentInput<'_>) {
        match &input.body {
            ConsentBody::Heartbeat { source } => {
                self.desk().count_heartbeat();
                if let Some(source) = source {
                    self.note_sign(source, input.append_time);
                }
            }
            ConsentBody::Forwarded => self.end_without_subject(input.offset, Outcome::Forwarded),
            ConsentBody::DeadLettered(rejection) => {
                let (offset, payload) = (input.offset, input.payload);
                self.desk().dead_letter(InputTopic::Consent, offset, payload, rejection);
                self.end_without_subject(offset, Outcome::DeadLettered);
            }
            ConsentBody::Erasure => self.erase(input),
            ConsentBody::Record(record) => {
                self.note_sign(&record.source, input.append_time);
                self.apply_record(input, record);
            }
            ConsentBody::Unreadable(rejection) => {
                self.desk().dead_letter(
                    InputTopic::Consent,
                    input.offset,
                    input.payload,
                    rejection,
                );
                self.decide_consent(input, None, |subject, _| {
                    subject.consent.mark_undecodable();
                    Outcome::Unreadable
                });
            }
        }
    }

    /// Of somebody of whom nothing is kept it may be meant for another key: counted.
    fn erase(&mut self, input: &ConsentInput<'_>) {
        let mut is_unknown = false;
        self.decide_consent(input, None, |subject, _| {
            is_unknown = subject.is_blank();
            subject.consent.erase(input.append_time);
            Outcome::Erased
        });
        if is_unknown {
            self.desk().count_erasure_of_unknown();
        }
    }

    fn apply_record(&mut self, input: &ConsentInput<'_>, record: &ConsentRecord) {
        let declared = std::mem::take(&mut self.declared);
        let setup = std::sync::Arc::clone(&self.mandate.setup);
        let veil = |purpose: &str| setup.veil(purpose);
        let mut signals = false;
        self.decide_consent(input, Some(record.recorded_at), |subject, names| {
            signals = record.opt_out_signal_at.is_some() && !subject.consent.is_outdated(record);
            subject.consent.apply(record, input.append_time, names, &veil, &declared)
        });
        if signals {
            self.desk().count_signal(SignalSource::Record);
        }
        self.declared = declared;
    }

    fn end_without_subject(&mut self, offset: i64, outcome: Outcome) {
        self.desk().end_entry(InputKind::Consent, Some(offset), outcome, None, None);
    }

    /// A source's heartbeat or record shows that its way to here works.
    fn note_sign(&mut self, source: &str, at: Timestamp) {
        if !self.mandate.setup.sources.iter().any(|configured| configured == source) {
            return;
        }
        let last = self.ledger.last_signs.entry(source.to_owned()).or_insert(Timestamp::MIN);
        if *last < at {
            *last = at;
            self.desk().signs_changed = true;
        }
    }

    /// Changes a subject's consent, judges every purpose again, and ends the entry.
    fn decide_consent(
        &mut self,
        input: &ConsentInput<'_>,
        recorded_at: Option<Timestamp>,
        change: impl FnOnce(&mut Subject, &crate::domain::merge::PurposeNames) -> Outcome,
    ) {
        let token = self.mandate.setup.keys.state_token(input.key);
        let audit_token = self.mandate.setup.keys.audit_token(input.key);
        let place = self.touch(token, Some(input.key));
        let unkept = self.desk().unkept;
        let subject = &mut self.at_hand[place].subject;
        // An erasure takes signals with it, kept or not.
        if !matches!(input.body, ConsentBody::Erasure) {
            subject.consent.make_up_for(unkept);
        }
        subject.audit_token = Some(audit_token);
        let outcome = change(subject, &self.names);
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let erased = outcome == Outcome::Erased;
        Reviser { mandate: &self.mandate, work }
            .revise_all(subject, Occasion { subject_id: Some(input.key), erased });
        if matches!(outcome, Outcome::Applied | Outcome::Erased | Outcome::Unreadable) {
            standing_verdicts(&self.mandate, subject, work);
        }
        if work.effects.iter().any(|effect| matches!(effect.change, Change::Removed(_))) {
            work.opt_outs.push(OptOut { append_time: input.append_time, recorded_at });
        }
        let version = subject.consent.version();
        work.end_entry(InputKind::Consent, Some(input.offset), outcome, Some(audit_token), version);
    }

    /// Settles what is due by time alone: of the earliest, by token, so that a restored partition,
    /// which knows less of what was held back since when, settles in the same order (INV-10). Then
    /// so many of those whom a new rulebook left behind.
    pub fn timers(&mut self) {
        for token in self.take_due() {
            self.touch(token, None);
        }
        for token in self.take_outdated() {
            self.touch(token, None);
        }
    }

    /// Moves a subject of the consent changelog to the active key; needs an open gate, since the new
    /// assignment and the old key's tombstone go together (docs/contract/pseudonyms.md#rotation).
    pub fn change_key(&mut self, subject_id: &[u8]) {
        let token = self.mandate.setup.keys.state_token(subject_id);
        let has_old_key = |partition: &Self, place: usize| {
            partition.mandate.has_old_key(&partition.at_hand[place].subject)
        };
        let Some(place) = self.at_hand.take(&self.subjects, token) else { return };
        if self.desk_is_open() && has_old_key(self, place) {
            self.touch(token, Some(subject_id));
            // Where its own time came in this batch, it was settled without its id.
            if has_old_key(self, place) {
                self.settle_at_hand(place, Some(subject_id));
            }
        }
    }

    /// Settles, as upkeep, a subject that the batch has opened.
    pub(super) fn settle_at_hand(&mut self, place: usize, subject_id: Option<&[u8]>) {
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let mut reviser = Reviser { mandate: &self.mandate, work };
        settle(&mut reviser, &mut self.at_hand[place].subject, InputKind::Upkeep, subject_id);
    }

    fn take_outdated(&self) -> Vec<StateToken> {
        let open = self.desk_is_open();
        let waits = |token: &StateToken| {
            let resting = self.subjects.get(*token);
            !self.at_hand.is_open(*token)
                && resting.is_some_and(|resting| open || !resting.agenda.deferred)
        };
        self.outdated.iter().copied().filter(waits).take(UPKEEP_PER_BATCH_MAX).collect()
    }

    /// The subjects whose own time has come and that this batch has not touched yet.
    fn take_due(&mut self) -> Vec<StateToken> {
        let (now, gate_open) = (self.desk().now, self.desk().gate_open);
        let mut due = Vec::new();
        while let Some((at, token)) = self.timers.pop(now) {
            let Some(Resting { agenda, .. }) = self.subjects.get_mut(token) else { continue };
            if agenda.scheduled != at || self.at_hand.is_open(token) {
                continue;
            }
            if agenda.due <= now {
                due.push((agenda.due, token));
            } else {
                agenda.scheduled = Timestamp::MAX;
                self.timers.schedule(token, agenda);
            }
        }
        if gate_open {
            let waits = |token: &StateToken| {
                let agenda = self.subjects.get(*token).map(|resting| resting.agenda);
                agenda.is_some_and(|agenda| agenda.deferred && agenda.due > now)
                    && !self.at_hand.is_open(*token)
            };
            let held_back = self.deferred.iter().copied().filter(waits);
            due.extend(held_back.map(|token| (HELD_BACK, token)));
        }
        due.sort_unstable();
        for (at, token) in due.split_off(due.len().min(TIMERS_PER_BATCH_MAX)) {
            if at != HELD_BACK
                && let Some(resting) = self.subjects.get(token)
            {
                self.timers.reinstate(token, &resting.agenda);
            }
        }
        let mut tokens: Vec<StateToken> = due.into_iter().map(|(_, token)| token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// Takes one record of the clickstream.
    pub fn click(&mut self, input: &ClickInput<'_>) {
        match &input.click {
            Err(rejection) => {
                let work = self.desk();
                work.dead_letter(InputTopic::Clickstream, input.offset, input.payload, rejection);
                let (kind, outcome) = (InputKind::Click, Outcome::DeadLettered);
                work.end_entry(kind, Some(input.offset), outcome, None, None);
            }
            Ok(click) => self.take_click(input, click),
        }
    }

    fn take_click(&mut self, input: &ClickInput<'_>, click: &Click<'_>) {
        let outcome = self.click_outcome(input, click);
        let decided = outcome == Outcome::Decided;
        if decided {
            self.show_page(click);
        }
        let effect = match click.subject_id {
            Some(subject_id) => self.use_click(input.offset, click, subject_id.as_bytes(), decided),
            None => ClickEffect::default(),
        };
        let work = self.work.as_deref_mut().expect("a batch was begun");
        if decided && work.verdicts.is_empty() {
            for place in self.mandate.places() {
                let (at, now) = (click.occurred_at, work.now);
                let verdict = gate::decide_click(!work.gate_open, None, place.terms, at, now);
                work.verdicts.push(verdict);
            }
        }
        let version = effect.version.filter(|_| decided);
        work.end_entry(InputKind::Click, Some(input.offset), outcome, effect.named, version);
    }

    fn click_outcome(&mut self, input: &ClickInput<'_>, click: &Click<'_>) -> Outcome {
        let work = self.work.as_deref_mut().expect("a batch was begun");
        if click.gpc.is_none() {
            work.count_click_without_gpc();
        }
        if click.occurred_at - work.now > EVENT_TIME_AHEAD_MAX {
            let (offset, payload) = (input.offset, input.payload);
            work.dead_letter(InputTopic::Clickstream, offset, payload, &event_time_ahead());
            Outcome::DeadLettered
        } else if self.mandate.setup.rulebook.is_too_late(click.occurred_at, work.now) {
            Outcome::TooLate
        } else {
            Outcome::Decided
        }
    }

    /// The click's signal binds; where the click is decided and allowed, the counters take it. Most
    /// clicks do neither and leave their subject untouched.
    fn use_click(
        &mut self,
        offset: i64,
        click: &Click<'_>,
        subject_id: &[u8],
        decided: bool,
    ) -> ClickEffect {
        if !decided && click.opt_out_signal.is_none() {
            return ClickEffect::default();
        }
        let keys = &self.mandate.setup.keys;
        let token = keys.state_token(subject_id);
        let found = if click.opt_out_signal.is_some() {
            Some(self.at_hand.take_or_blank(&self.subjects, token))
        } else {
            self.at_hand.take(&self.subjects, token)
        };
        let Some(place) = found else { return ClickEffect::default() };
        let handled = &mut self.at_hand[place];
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let mut reviser = Reviser { mandate: &self.mandate, work };
        let settles = !handled.is_open && reviser.has_to_settle(&handled.subject, true);
        if click.opt_out_signal.is_none() && !settles {
            let subject = &handled.subject;
            reviser.judge_click(subject, click);
            if !reviser.is_changed_by(subject, click) {
                let allowed = reviser.work.verdicts.iter().any(|verdict| verdict.allows());
                let named = subject.audit_token.filter(|_| allowed);
                return ClickEffect { named, version: subject.consent.version() };
            }
        }
        reviser.touch(handled, Some(subject_id));
        let subject = &mut handled.subject;
        let at = click.occurred_at.min(reviser.work.now);
        let unkept = reviser.work.unkept;
        let moved = click.opt_out_signal.is_some_and(|source| {
            reviser.work.count_signal(source);
            subject.consent.make_up_for(unkept);
            subject.consent.bind(at)
        });
        let occasion = Occasion { subject_id: Some(subject_id), erased: false };
        if moved {
            reviser.revise_all(subject, occasion);
        }
        let allowed = decided && reviser.count_click(subject, offset, click, occasion);
        let is_named = moved || allowed || !reviser.work.effects.is_empty();
        let named = is_named
            .then(|| *subject.audit_token.get_or_insert_with(|| keys.audit_token(subject_id)));
        ClickEffect { named, version: subject.consent.version() }
    }

    /// Touches a subject, unless this batch has. Returns its place at hand.
    pub(super) fn touch(&mut self, token: StateToken, subject_id: Option<&[u8]>) -> usize {
        let place = self.at_hand.take_or_blank(&self.subjects, token);
        let work = self.work.as_deref_mut().expect("a batch was begun");
        let mut reviser = Reviser { mandate: &self.mandate, work };
        reviser.touch(&mut self.at_hand[place], subject_id);
        place
    }

    fn desk_is_open(&self) -> bool {
        self.work.as_deref().expect("a batch was begun").gate_open
    }

    pub(super) fn desk(&mut self) -> &mut Work {
        self.work.as_deref_mut().expect("a batch was begun")
    }
}

/// What a click did to its subject, as far as the audit may name it.
#[derive(Default)]
struct ClickEffect {
    named: Option<AuditToken>,
    version: Option<i64>,
}

/// What is due of a subject without an input, as an entry of its own where it had an effect.
fn settle(
    reviser: &mut Reviser<'_>,
    subject: &mut Subject,
    kind: InputKind,
    subject_id: Option<&[u8]>,
) {
    subject.consent.expire(reviser.work.now);
    if reviser.misses_signal(subject) {
        subject.consent.make_up_for(reviser.work.unkept);
    }
    if let (Some(token), Some(subject_id)) = (&mut subject.audit_token, subject_id) {
        *token = reviser.mandate.setup.keys.audit_token(subject_id);
    }
    reviser.revise_all(subject, Occasion { subject_id, erased: false });
    if !reviser.work.effects.is_empty() {
        let outcome = if kind == InputKind::Upkeep { Outcome::Revised } else { Outcome::Elapsed };
        let version = subject.consent.version();
        reviser.work.end_entry(kind, None, outcome, subject.audit_token, version);
    }
}

fn standing_verdicts(mandate: &Mandate, subject: &Subject, work: &mut Work) {
    for place in mandate.places() {
        work.verdicts.push(gate::decide_standing(&subject.consent, place.terms, work.now));
    }
}

impl Reviser<'_> {
    /// Does time, a new rulebook, a new key or a lost signal ask for a look at it before anything else?
    fn has_to_settle(&self, subject: &Subject, is_named: bool) -> bool {
        subject.agenda.is_due(self.work.now, self.work.gate_open)
            || self.wants_upkeep(subject, is_named)
    }

    /// `is_named`: the raw id is at hand, so that keys can be moved.
    fn wants_upkeep(&self, subject: &Subject, is_named: bool) -> bool {
        self.mandate.is_outdated(subject)
            || (is_named && self.mandate.has_old_key(subject))
            || self.misses_signal(subject)
    }

    /// Without a record nothing is used, and the next one to come binds it.
    fn misses_signal(&self, subject: &Subject) -> bool {
        self.work.unkept.lost_at.is_some_and(|lost_at| {
            subject.consent.record.is_some() && subject.consent.may_miss_signal(lost_at)
        })
    }

    /// The first touch of a subject in a batch settles what time, a new rulebook or a new key made due,
    /// as an entry of its own.
    fn touch(&mut self, handled: &mut Handled, subject_id: Option<&[u8]>) {
        if handled.is_open {
            return;
        }
        handled.is_open = true;
        let subject = &mut handled.subject;
        let is_counted = !subject.is_blank() && subject.signal_only().is_none();
        handled.before = is_counted.then(|| Counted::of(subject));
        if self.has_to_settle(subject, subject_id.is_some()) {
            let upkeep = self.wants_upkeep(subject, subject_id.is_some());
            let kind = if upkeep { InputKind::Upkeep } else { InputKind::Timer };
            settle(self, subject, kind, subject_id);
        }
    }

    /// Judges a click for every purpose; the verdicts lie on the desk.
    fn judge_click(&mut self, subject: &Subject, click: &Click<'_>) {
        let (line_1_holds, at, now) = (!self.work.gate_open, click.occurred_at, self.work.now);
        for place in self.mandate.places() {
            let consent = Some(&subject.consent);
            let verdict = gate::decide_click(line_1_holds, consent, place.terms, at, now);
            self.work.verdicts.push(verdict);
        }
    }

    /// Does a click that was judged change anything of its subject? Most move no counter.
    fn is_changed_by(&self, subject: &Subject, click: &Click<'_>) -> bool {
        let judged = self.mandate.places().iter().zip(&self.work.verdicts).enumerate();
        let mut allowed = judged.filter(|(_, (_, verdict))| verdict.allows()).peekable();
        let unnamed = subject.audit_token.is_none() && allowed.peek().is_some();
        unnamed
            || allowed.any(|(index, (place, _))| {
                self.mandate.rule(index).is_some_and(|rule| rule.counts(click))
                    || subject.purpose(place.terms.name).is_none()
            })
    }

    /// Counts a decided click for every purpose that allows it; judges it, unless it was judged
    /// before. Returns whether any purpose allowed it.
    fn count_click(
        &mut self,
        subject: &mut Subject,
        offset: i64,
        click: &Click<'_>,
        occasion: Occasion<'_>,
    ) -> bool {
        if self.work.verdicts.is_empty() {
            self.judge_click(subject, click);
        }
        let t = click.occurred_at.min(self.work.now);
        let mut allowed = false;
        for index in 0..self.work.verdicts.len() {
            if self.work.verdicts[index].allows() {
                allowed = true;
                self.ensure_state(subject, index, occasion);
                self.observe(subject, index, click, t, offset, occasion);
            }
        }
        allowed
    }

    fn observe(
        &mut self,
        subject: &mut Subject,
        index: usize,
        click: &Click<'_>,
        t: Timestamp,
        offset: i64,
        occasion: Occasion<'_>,
    ) {
        let (name, now) = (self.mandate.terms(index).name, self.work.now);
        let Some(purpose) = self.mandate.rule(index) else { return };
        let state = subject.purposes.iter_mut().find(|state| state.name == name);
        if state.is_some_and(|state| state.counters.observe(purpose, click, t, offset, now)) {
            self.revise(subject, index, occasion);
        }
    }
}
