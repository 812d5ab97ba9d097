//! Whose sale and sharing an opt-out signal ended, as the audit tells it: at a subject's first click with a signal,
//! or their first record with one. A signal that comes again ends nothing anew; after a later opt-in the next one
//! does. One that a later opt-in had already lifted ended nothing.
//!
//! Knows subjects by their tokens alone. A new key gives everybody a new token, so whoever is bound is met once more
//! after a rotation: [`Signals::key_versions`] says whether there was one.

use std::collections::{BTreeMap, BTreeSet};

use assent_contract::domain::audit::{AuditBatch, AuditEntry, AuditToken, Change};
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};

/// Some of the purposes, by their place in the list that was given.
pub type Purposes = u128;

/// Takes some 40 bytes for each subject that is bound.
pub struct Signals {
    /// Of sale or sharing.
    purposes: Vec<String>,
    bound: BTreeMap<AuditToken, Purposes>,
    pub key_versions: BTreeSet<u8>,
}

impl Signals {
    /// Of these purposes, which are sale or sharing; at most 128.
    pub fn of(purposes: Vec<String>) -> Self {
        Self { purposes, bound: BTreeMap::new(), key_versions: BTreeSet::new() }
    }

    /// For which purposes does this entry bind its subject, where no signal did?
    pub fn see(&mut self, batch: &AuditBatch, entry: &AuditEntry) -> Purposes {
        let Some(token) = entry.subject else { return 0 };
        self.key_versions.insert(token[0]);
        if entry.outcome == Outcome::Erased {
            self.bound.remove(&token);
            return 0;
        }
        let (mut binds, mut lifts) = (0, 0);
        for (at, id) in self.purposes.iter().enumerate() {
            let place = batch.purposes.iter().position(|it| it == id);
            let verdict = place.and_then(|place| entry.verdicts.get(place).copied());
            match verdict {
                Some(verdict) if verdict.allows() => lifts |= 1 << at,
                Some(Verdict::OptOutSignal) => binds |= 1 << at,
                Some(Verdict::NoConsentRecord) if moved_alone(entry) => binds |= 1 << at,
                // A click that came too late for any verdict.
                None if removes(entry, place) => binds |= 1 << at,
                _ => {}
            }
        }
        let before = self.bound.get(&token).copied().unwrap_or_default() & !lifts;
        match before | binds {
            0 => _ = self.bound.remove(&token),
            now => _ = self.bound.insert(token, now),
        }
        binds & !before
    }
}

/// Is the signal all for which the audit names the click's subject? It does so for a click that no purpose allowed
/// and that had no effect only if its signal moved the binding time.
fn moved_alone(entry: &AuditEntry) -> bool {
    entry.input == InputKind::Click
        && entry.effects.is_empty()
        && !entry.verdicts.iter().any(|verdict| verdict.allows())
}

/// Did a signal take the purpose's key?
fn removes(entry: &AuditEntry, place: Option<usize>) -> bool {
    entry.effects.iter().any(|effect| {
        let is_signal = matches!(&effect.change, Change::Removed(why) if why == "opt_out_signal");
        is_signal && Some(usize::from(effect.purpose)) == place
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opt_out_test::rounds::batch;
    use assent_contract::domain::audit::Effect;
    use assent_contract::domain::outcome::TombstoneReason;

    fn entry(input: InputKind, outcome: Outcome, subject: u8, verdicts: &[Verdict]) -> AuditEntry {
        AuditEntry {
            input,
            offset: Some(0),
            outcome,
            subject: Some([subject; 17]),
            consent_version: None,
            verdicts: verdicts.to_vec(),
            effects: Vec::new(),
        }
    }

    fn see(signals: &mut Signals, entry: AuditEntry) -> Purposes {
        let batch = batch(0, vec![entry]);
        signals.see(&batch, &batch.entries[0])
    }

    #[test]
    fn a_signal_counts_once_until_a_later_opt_in() {
        use Verdict::{OptIn, OptOutSignal, OptedOut};
        let mut signals = Signals::of(vec!["ads".to_owned()]);
        let mut click = |verdict| {
            see(&mut signals, entry(InputKind::Click, Outcome::Decided, 1, &[verdict, OptedOut]))
        };
        let found =
            [OptIn, OptOutSignal, OptOutSignal, OptedOut, OptOutSignal, OptIn, OptOutSignal]
                .map(&mut click);
        assert_eq!(found, [0, 1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_subject_without_a_record_is_bound_by_the_click_that_names_them() {
        use Verdict::{NoConsentRecord, OptOutSignal, OwnOptInMissing};
        let mut signals = Signals::of(vec!["ads".to_owned()]);
        let none = [NoConsentRecord, NoConsentRecord];
        let unnamed =
            AuditEntry { subject: None, ..entry(InputKind::Click, Outcome::Decided, 1, &none) };
        assert_eq!(see(&mut signals, unnamed), 0);
        assert_eq!(see(&mut signals, entry(InputKind::Click, Outcome::Decided, 1, &none)), 1);
        let record = [OptOutSignal, OwnOptInMissing];
        assert_eq!(see(&mut signals, entry(InputKind::Consent, Outcome::Applied, 1, &record)), 0);
        assert_eq!(see(&mut signals, entry(InputKind::Consent, Outcome::Erased, 1, &none)), 0);
        let late = entry(InputKind::Click, Outcome::TooLate, 1, &[]);
        let removed = Effect::removed(0, 1, TombstoneReason::Withheld(OptOutSignal));
        let ended = AuditEntry { effects: vec![removed], ..late.clone() };
        assert_eq!([late, ended].map(|it| see(&mut signals, it)), [0, 1]);
        // A purpose that is not sale or sharing is nobody's here.
        assert_eq!(
            see(
                &mut signals,
                entry(InputKind::Click, Outcome::Decided, 2, &[OwnOptInMissing, OptOutSignal])
            ),
            0
        );
    }
}
