//! The subjects of a state that was read back: stored, counted, and scheduled.

use std::collections::BTreeMap;

use super::Packed;
use crate::engine::audience::{AudienceRecord, Masks};
use crate::engine::layout::Layout;
use crate::engine::lease;
use crate::engine::ledger::FORMAT;
use crate::engine::partition::Partition;
use crate::engine::stats::Counted;
use crate::engine::subject::Subject;
use crate::engine::subjects;
use crate::engine::token::StateToken;
use assent_contract::domain::binary::Malformed;
use assent_contract::domain::gate;
use assent_contract::domain::ids::CANARY_PURPOSE;
use assent_contract::domain::merge::{NameId, ShortToken, short_token};

impl Partition {
    /// Takes the subjects in: bucket by bucket, each gone before the next, so that not all of them are
    /// held twice. Returns how many subjects with only a signal were read, also those that were dropped
    /// since they were written.
    pub(super) fn take_in(
        &mut self,
        buckets: Vec<BTreeMap<StateToken, Packed>>,
        forms: &[(u8, Option<&Layout>)],
    ) -> Result<usize, Malformed> {
        let purposes = self.policy.setup.rulebook.purposes.iter();
        let declared: Vec<(ShortToken, NameId)> = purposes
            .map(|purpose| short_token(self.policy.setup.undeclared_token(&purpose.id)))
            .zip(self.policy.declared.iter().copied())
            // What somebody once decided of a purpose of this name was not the canary's.
            .filter(|(_, name)| self.state.names.name(*name) != CANARY_PURPOSE)
            .collect();
        let masks = self.state.audiences.masks(&self.policy.setup.rulebook);
        let mut signals = 0;
        self.state.let_signals_go();
        for (token, packed) in buckets.into_iter().flatten() {
            let ((format, layout), bytes) = match packed {
                Packed::Signal(minute) => {
                    signals += 1;
                    self.state.subjects.signals.restore(token, minute);
                    continue;
                }
                Packed::Bytes { form, bytes } => (forms[form], bytes),
            };
            let layout = layout.ok_or(Malformed("layout"))?;
            let mut subject = layout.unpack(&bytes, format)?;
            let record = subject.consent.record.as_mut();
            let renamed = record.is_some_and(|it| it.recognize(&self.state.names, &declared));
            if !layout.is_current || format < FORMAT {
                self.qualify(token, &mut subject);
            }
            self.look_ahead(token, &mut subject, &masks);
            let agenda = subject.agenda;
            if layout.is_current && format == FORMAT && !renamed {
                self.state.subjects.insert(token, &bytes, agenda);
            } else {
                self.state.subjects.insert(token, &subjects::packed(&subject), agenda);
            }
        }
        self.stats.signals = self.state.subjects.signals.len() as i64;
        self.policy.judged = self.policy.judged_purposes(&self.state.names, &self.stats);
        Ok(signals)
    }

    /// `signals_read`: see [`Self::take_in`]; a state from before they were counted apart counts them all
    /// among its subjects, and is counted apart from now on.
    pub(super) fn check_counts(&mut self, signals_read: usize) -> Result<(), String> {
        let (ledger, resting) = (&mut self.state.ledger, self.state.subjects.len() as i64);
        let Some(signals) = ledger.signals else {
            let counted = std::mem::replace(&mut ledger.subjects, resting);
            return says_the_same(resting + signals_read as i64, counted, "subjects");
        };
        says_the_same(resting, ledger.subjects, "subjects")?;
        let found = self.state.subjects.signals.len() as i64;
        says_the_same(found, signals, "signals of subjects without a record")
    }

    /// What a subject is in under a rulebook that it was not packed under.
    fn qualify(&self, token: StateToken, subject: &mut Subject) {
        let (policy, now) = (&self.policy, self.state.ledger.now);
        for (index, judged) in policy.purposes().iter().enumerate() {
            let Some(rule) = policy.rule(index).filter(|rule| rule.min_members.is_some()) else {
                continue;
            };
            let allows = gate::decide_standing(&subject.consent, judged.terms, now).allows()
                && !policy.holds_out(index, token);
            let age_band = subject.consent.record.as_ref().map(|record| record.age_band);
            let states = subject.purposes.iter_mut();
            for state in states.filter(|state| state.name == judged.terms.name) {
                let segments = age_band.filter(|_| allows);
                state.qualified =
                    segments.map_or(0, |band| state.counters.segments(rule, band, now));
            }
        }
    }

    /// The record of the audiences says what its subjects do, unless it is of another rulebook.
    pub(super) fn check_audience(&self, record: Option<&AudienceRecord>) -> Result<(), String> {
        let sha256 = self.policy.setup.rulebook.sha256;
        let said = record.map(|record| &record.said).filter(|said| said.rulebook == sha256);
        match said {
            Some(said) if said.counts != self.state.audiences.counts() => {
                Err("other members of its segments than were counted".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Counts a subject and schedules its timer. Who has an assignment due that is not written (a closed
    /// gate, a shorter lease) is looked at with the first batch.
    fn look_ahead(&mut self, token: StateToken, subject: &mut Subject, masks: &Masks) {
        let now = self.state.ledger.now;
        let counted = Counted::of(subject, self.policy.is_canary(token));
        self.stats.replace(None, Some(&counted), self.policy.edition);
        self.state.audiences.count(&counted.qualified, 1);
        // The sweep after a new rulebook comes to those by itself, so many a batch.
        let outdated = self.policy.is_outdated(subject);
        if outdated {
            self.backlog.outdated.insert(token);
        }
        let is_behind = || lease::is_behind((token, subject), &self.policy, masks, now);
        subject.agenda.due = if !outdated && is_behind() {
            now
        } else {
            lease::next_due(subject, &self.policy, now)
        };
        self.schedule.timers.schedule(token, &mut subject.agenda);
    }
}

fn says_the_same(found: i64, counted: i64, what: &str) -> Result<(), String> {
    if found == counted {
        Ok(())
    } else {
        Err(format!("{found} {what}, but {counted} were counted"))
    }
}
