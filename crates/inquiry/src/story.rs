//! What was known of one subject when a decision was made: consent, signals and erasures, folded in the order
//! that the audit records, by the contract's own merging.
//!
//! Compaction takes records, retention takes clicks and the audit's beginning. What is gone is noted in
//! [`Lost`], and never guessed.

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::gate::{PurposeTerms, decide_click, decide_standing};
use assent_contract::domain::merge::{NameId, PurposeNames, SubjectConsent};
use assent_contract::domain::outcome::{Outcome, Verdict};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

/// What the changelog still has of a consent input.
#[derive(Clone, Copy)]
pub enum Told<'a> {
    Record {
        record: &'a ConsentRecord,
        append_time: Timestamp,
    },
    Erasure {
        append_time: Timestamp,
    },
    /// A value that nobody can read.
    Undecodable,
    /// Compacted away.
    Gone,
}

/// What can't be told any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own that may be gone
pub struct Lost {
    /// The record in force.
    pub record: bool,
    /// A signal that bound the subject: in a record or a click that is gone.
    pub signal: bool,
    /// When the last erasure came.
    pub erasure: bool,
}

/// One subject's consent, as far as it was followed.
#[derive(Clone)]
pub struct Story {
    names: PurposeNames,
    pub consent: SubjectConsent,
    pub lost: Lost,
    /// An outcome in the audit does not follow from the records that are there.
    pub differs: bool,
    /// The audit is told from its beginning.
    whole: bool,
}

/// When a verdict is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub now: Timestamp,
    /// Of a click: whether line 1 holds, and its time, `None` where that is gone.
    pub click: Option<(bool, Option<Timestamp>)>,
}

/// What of a purpose is asked: the rulebook's switches.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // the rulebook's switches
pub struct Switches {
    pub sale_or_share: bool,
    pub requires_opt_in: bool,
    pub suspended: bool,
}

impl Switches {
    /// One that the rulebook lacks is judged as suspended.
    pub fn of(rulebook: &Rulebook, purpose: &str) -> Self {
        let of = rulebook.purpose_index(purpose).map(|at| &rulebook.purposes[at]);
        Self {
            sale_or_share: of.is_some_and(|it| it.sale_or_share),
            requires_opt_in: of.is_some_and(|it| it.requires_opt_in),
            suspended: of.is_none_or(|it| it.suspended),
        }
    }
}

impl Story {
    /// `purposes`: all that are ever asked about. `whole`: the audit is told from its beginning.
    pub fn new<'p>(purposes: impl IntoIterator<Item = &'p str>, whole: bool) -> Self {
        let mut names = PurposeNames::default();
        for purpose in purposes {
            // Of 65,536 names more are never declared; those beyond have no decisions.
            let _ = names.declare(purpose, &|_| 0);
        }
        let (consent, lost) = (SubjectConsent::default(), Lost::default());
        Self { names, consent, lost, differs: false, whole }
    }

    /// Time passes: what is kept for 24 months ends.
    pub fn pass(&mut self, now: Timestamp) {
        self.consent.expire(now);
    }

    /// A consent input. `outcome`: as the audit has it; `None`: the audit no longer says.
    pub fn take(
        &mut self,
        now: Timestamp,
        outcome: Option<Outcome>,
        told: Told<'_>,
        rulebook: Option<&Rulebook>,
    ) {
        self.pass(now);
        match (told, outcome) {
            (Told::Erasure { append_time }, _) => {
                self.consent.erase(append_time);
                self.lost = Lost::default();
            }
            (Told::Gone, Some(Outcome::Erased)) => {
                self.consent = SubjectConsent::default();
                self.lost = Lost { erasure: true, ..Lost::default() };
            }
            (Told::Undecodable, _) | (Told::Gone, Some(Outcome::Unreadable)) => {
                self.consent.mark_undecodable();
            }
            (Told::Gone, Some(Outcome::Applied)) => {
                self.consent.record = None;
                (self.consent.contradicted, self.consent.undecodable) = (false, false);
                (self.lost.record, self.lost.signal) = (true, true);
            }
            (Told::Gone, Some(Outcome::Superseded)) => self.lost.signal = true,
            (Told::Gone, _) => {}
            (Told::Record { record, append_time }, outcome) => {
                self.take_record(record, append_time, outcome, rulebook);
            }
        }
    }

    fn take_record(
        &mut self,
        record: &ConsentRecord,
        append_time: Timestamp,
        outcome: Option<Outcome>,
        rulebook: Option<&Rulebook>,
    ) {
        let declared = rulebook.into_iter().flat_map(|it| &it.purposes);
        let declared: Vec<NameId> =
            declared.filter_map(|purpose| self.names.find(&purpose.id)).collect();
        let apply = |consent: &mut SubjectConsent| {
            consent.apply(record, append_time, &self.names, &|_| 0, &declared)
        };
        let mut next = self.consent.clone();
        let own = apply(&mut next);
        let is_sure = self.whole && self.lost == Lost::default() && rulebook.is_some();
        match outcome {
            Some(outcome) if outcome != own => {
                self.differs |= is_sure;
                next = self.consent.clone();
                match outcome {
                    Outcome::Applied => {
                        next.record = None;
                        (next.contradicted, next.undecodable) = (false, false);
                        apply(&mut next);
                    }
                    Outcome::Unreadable => next.mark_undecodable(),
                    _ => {
                        if let Some(at) = record.opt_out_signal_at {
                            next.bind(at.min(append_time));
                        }
                    }
                }
            }
            _ => {}
        }
        self.consent = next;
        if outcome.unwrap_or(own) == Outcome::Applied {
            self.lost.record = false;
        }
    }

    /// The version that stands, as an entry of the audit has it: the record may be another than the one that
    /// is still there.
    pub fn stands(&mut self, version: Option<i64>) {
        if self.lost.record && version.is_some() || self.consent.version() == version {
            return;
        }
        self.differs |= self.whole && self.lost == Lost::default();
        self.consent.record = None;
        self.lost.record = version.is_some();
    }

    /// A click of the subject that says sale or sharing is opted out; `at`: its time.
    pub fn signal(&mut self, now: Timestamp, at: Timestamp) {
        self.pass(now);
        self.consent.bind(at.min(now));
    }

    /// What the gate says; `None`: what it rests on is gone.
    pub fn verdict(&self, purpose: &str, switches: Switches, asked: Asked) -> Option<Verdict> {
        let name = self.names.find(purpose)?;
        let Switches { sale_or_share, requires_opt_in, suspended } = switches;
        let terms = PurposeTerms { name, sale_or_share, requires_opt_in, suspended };
        let stale = asked.click.is_some_and(|(line_1, _)| line_1);
        if !stale && self.lost.record && !self.consent.is_unreadable() {
            return None;
        }
        Some(match asked.click {
            None => decide_standing(&self.consent, terms, asked.now),
            Some((line_1, time)) => {
                let time = time.unwrap_or(asked.now);
                decide_click(line_1, Some(&self.consent), terms, time, asked.now)
            }
        })
    }

    /// Does the verdict in the audit follow? `asked`, `switches`: as for [`Self::verdict`].
    pub fn judge(
        &self,
        recorded: Verdict,
        purpose: &str,
        switches: Switches,
        asked: Asked,
    ) -> Agreement {
        let own = self.verdict(purpose, switches, asked);
        let stale = asked.click.is_some_and(|(line_1, _)| line_1);
        let late = Verdict::CollectedBeforeConsent;
        let without_time = matches!(asked.click, Some((false, None)));
        match own {
            None => Agreement::Unknown(Gone::Record),
            Some(own) if own == recorded && (stale || !without_time || own != late) => {
                Agreement::Agrees
            }
            // Bounded memory may have bound a subject that sent no signal (docs/signals.md): only the state
            // tells, and it withholds.
            Some(_) if recorded == Verdict::OptOutSignal => Agreement::Unknown(Gone::Signal),
            Some(own) if without_time && (recorded == late || own == late) => {
                Agreement::Unknown(Gone::EventTime)
            }
            Some(_) if recorded == late && self.lost.erasure => Agreement::Unknown(Gone::Erasure),
            Some(_) => Agreement::Contradicts,
        }
    }

    /// The number of a purpose in [`Self::consent`].
    pub fn name(&self, purpose: &str) -> Option<NameId> {
        self.names.find(purpose)
    }
}

/// How a recorded verdict stands to what can still be reconstructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    Agrees,
    /// What it rests on is gone.
    Unknown(Gone),
    Contradicts,
}

/// What a verdict rests on and nobody can tell any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// The consent record was compacted away.
    Record,
    /// The click or record with the opt-out signal is gone.
    Signal,
    /// The click, and with it its time, is gone.
    EventTime,
    /// The erasure's record, and with it its time, is gone.
    Erasure,
    /// The rulebook is not at hand.
    Rulebook,
    /// The click is gone, and the audit does not name its subject.
    Subject,
    /// Retention took the audit's beginning: what was decided before is not told.
    Beginning,
}

impl Gone {
    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Record => {
                "the consent record in force then was compacted away: a later one of the subject \
                 replaced it"
            }
            Self::Signal => {
                "when the opt-out signal came: the click or record that bore it is no longer there, \
                 or it gave way to later ones (docs/signals.md)"
            }
            Self::EventTime => "the time of the click: retention took it from the clickstream",
            Self::Erasure => "when the erasure came: its record was compacted away",
            Self::Rulebook => {
                "the rulebook: neither configured nor kept in the state, or this user may not read \
                 the state; give its file with --rulebook"
            }
            Self::Subject => {
                "whose click it was: the audit names nobody for whom nothing was allowed, and the \
                 click is no longer in the clickstream"
            }
            Self::Beginning => {
                "what the subject decided before the audit that the topic still holds: retention \
                 took it"
            }
        }
    }
}
