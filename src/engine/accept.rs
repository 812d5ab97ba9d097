//! Going on after a loss that a person accepted: what is in doubt is withheld first, then one audit
//! batch and one record of the state say what was lost, and the partition stands where it goes on.
//!
//! Every batch here continues the chain from the audit's own head and covers no input but the last,
//! so an interruption at any of them leaves a partition that still stops (INV-4, INV-9).

use std::sync::Arc;

use super::input::Coverage;
use super::loss::{Resume, TopicIds};
use super::output::{BatchOutput, Output};
use super::partition::Partition;
use super::roster::Place;
use super::store;
use super::subject::{StateToken, Subject};
use crate::domain::audit::{AuditBatch, AuditEntry, AuditToken, Effect, Sha256Hash, chain, loss};
use crate::domain::gate;
use crate::domain::outcome::{InputKind, Outcome, TombstoneReason, Verdict};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::time::Timestamp;

/// Subjects withheld in one batch: at two live keys each some 20,000 records.
const DOUBTED_PER_BATCH_MAX: usize = 10_000;

/// Live keys of a lost state removed in one batch: at some 90 bytes an entry, well below the 512 KiB
/// of an audit batch.
pub const ORPHANS_PER_BATCH_MAX: usize = 4_000;

const WHY: TombstoneReason = TombstoneReason::Withheld(Verdict::ConsentUnreadable);

/// A live key that no state knows any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Index into the purposes of its batch.
    pub purpose: u16,
    pub pseudonym: Pseudonym,
    /// Whose it is, where the changelog still names them.
    pub subject: Option<AuditToken>,
}

/// What a person accepted.
pub struct Accepted<'a> {
    pub resume: Resume,
    pub topics: TopicIds,
    /// What was lost, in words: stands in the audit and in the state.
    pub statement: &'a str,
    /// Until when opt-out signals may have been lost with it.
    pub signals_lost_at: Option<Timestamp>,
}

/// What is in doubt of a partition whose state is there.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// Any consent.
    pub consent: bool,
    /// Opt-out signals from before then.
    pub signals_lost_at: Option<Timestamp>,
}

/// Whom a loss puts in doubt and who is not withheld yet, in the order of their tokens.
pub struct Doubted {
    doubt: Doubt,
    left: Vec<StateToken>,
}

impl Partition {
    /// The clock of a batch that would begin now.
    pub fn clock_at(&self, wall: Timestamp) -> Timestamp {
        wall.max(self.ledger.now)
    }

    /// How many subjects are in doubt, and how many live keys go with that.
    pub fn in_doubt(&self, doubt: Doubt) -> (usize, usize) {
        let doubted = |subject: &Subject| self.is_doubted(subject, doubt);
        let subjects = self.subjects.iter().map(|(_, resting)| resting.unpack()).filter(doubted);
        let keys = |subject: &Subject| {
            let goes = |place: &&Place| doubt.consent || place.terms.sale_or_share;
            let states = self.mandate.places().iter().filter(goes);
            states.filter_map(|place| subject.purpose(place.terms.name)?.live.as_ref()).count()
        };
        subjects.fold((0, 0), |(count, live), subject| (count + 1, live + keys(&subject)))
    }

    /// Of consent in doubt whoever has a readable record, which may be used, now or later; of signals
    /// whoever may be sold or shared.
    fn is_doubted(&self, subject: &Subject, doubt: Doubt) -> bool {
        let consent = &subject.consent;
        let is_relied_on =
            (consent.record.is_some() && !consent.undecodable) || !subject.purposes.is_empty();
        let is_sold = |place: &Place| {
            let standing = || gate::decide_standing(consent, place.terms, self.ledger.now);
            place.terms.sale_or_share
                && (subject.purpose(place.terms.name).is_some() || standing().allows())
        };
        (doubt.consent && is_relied_on)
            || (doubt.signals_lost_at.is_some_and(|lost_at| consent.may_miss_signal(lost_at))
                && self.mandate.places().iter().any(is_sold))
    }

    /// Whom [`Self::withhold_doubted`] is to withhold.
    pub fn doubted(&self, doubt: Doubt) -> Doubted {
        let subjects = self.subjects.iter().map(|(token, resting)| (token, resting.unpack()));
        let doubted = subjects.filter(|(_, subject)| self.is_doubted(subject, doubt));
        let mut left: Vec<StateToken> = doubted.map(|(token, _)| token).collect();
        left.sort_unstable();
        Doubted { doubt, left }
    }

    /// Withholds the next of them: of consent all, until a record of theirs is read again; of signals what
    /// sells or shares, as if one had come. `None`: none is left.
    pub fn withhold_doubted(
        &mut self,
        wall: Timestamp,
        doubted: &mut Doubted,
    ) -> Option<BatchOutput> {
        if doubted.left.is_empty() {
            return None;
        }
        self.begin(wall, false);
        for token in doubted.left.drain(..doubted.left.len().min(DOUBTED_PER_BATCH_MAX)) {
            self.withhold_of(token, doubted.doubt);
        }
        Some(self.finish(Coverage {
            click_to: self.ledger.next_click,
            consent_to: self.ledger.next_consent,
            barrier: self.ledger.next_consent,
        }))
    }

    fn withhold_of(&mut self, token: StateToken, doubt: Doubt) {
        let place = self.touch(token, None);
        let subject = &mut self.at_hand[place].subject;
        if doubt.consent {
            subject.consent.mark_undecodable();
        }
        if let Some(lost_at) = doubt.signals_lost_at {
            subject.consent.bind(lost_at);
        }
        self.settle_at_hand(place, None);
    }

    /// Removes live keys that a lost state knew. `purposes`: sorted. `wiped`: records of the lost
    /// state that go with them.
    pub fn bury_orphans(
        &mut self,
        wall: Timestamp,
        purposes: &Arc<[String]>,
        orphans: &[Orphan],
        wiped: &[Vec<u8>],
    ) -> BatchOutput {
        self.begin(wall, false);
        let decided_at = self.ledger.now;
        let mut outputs = Vec::with_capacity(orphans.len() + wiped.len() + 2);
        for orphan in orphans {
            outputs.push(Output::Tombstone {
                purpose: orphan.purpose,
                pseudonym: orphan.pseudonym.text(),
                reason: WHY,
                decided_at,
            });
        }
        outputs.extend(wiped.iter().map(|key| Output::State { key: key.clone(), value: None }));
        let here =
            Resume { next_click: self.ledger.next_click, next_consent: self.ledger.next_consent };
        let rulebook = &self.mandate.setup.rulebook;
        let under = (rulebook.version.clone(), rulebook.sha256);
        let entries = orphans.iter().map(entry).collect();
        outputs.push(self.link(under, here, purposes.to_vec(), entries));
        self.end_unplanned(outputs, Arc::clone(purposes))
    }

    /// The loss is on record, and the partition stands where it goes on.
    pub fn accept_loss(&mut self, wall: Timestamp, accepted: &Accepted<'_>) -> BatchOutput {
        self.begin(wall, false);
        let key = store::loss_key(self.ledger.next_sequence);
        let statement = loss::in_audit(accepted.statement);
        let under = (statement.clone(), chain::body_hash(statement.as_bytes()));
        let audit = self.link(under, accepted.resume, Vec::new(), Vec::new());
        let value = Some(statement.into_bytes());
        self.ledger.topics = accepted.topics;
        self.ledger.recovering = false;
        self.ledger.signals_lost_at = accepted.signals_lost_at.or(self.ledger.signals_lost_at);
        self.end_unplanned(vec![audit, Output::State { key, value }], Arc::from([]))
    }

    /// The next batch of the chain, which leads from where the partition stands to `to`.
    fn link(
        &mut self,
        (rulebook, rulebook_sha256): (String, Sha256Hash),
        to: Resume,
        purposes: Vec<String>,
        entries: Vec<AuditEntry>,
    ) -> Output {
        let mut body = Vec::new();
        AuditBatch {
            chain: self.chain.clone(),
            sequence: self.ledger.next_sequence,
            previous: self.ledger.head,
            decided_at: self.ledger.now,
            rulebook,
            rulebook_sha256,
            key_version: self.mandate.setup.keys.active(),
            click_from: self.ledger.next_click,
            click_to: to.next_click,
            consent_from: self.ledger.next_consent,
            consent_to: to.next_consent,
            barrier: to.next_consent,
            gate_open: false,
            purposes,
            entries,
        }
        .encode(&mut body);
        self.ledger.head = chain::body_hash(&body);
        self.ledger.next_sequence += 1;
        self.ledger.next_click = to.next_click;
        self.ledger.next_consent = to.next_consent;
        Output::Audit { body }
    }

    /// Ends a batch that no input asked for.
    fn end_unplanned(&mut self, outputs: Vec<Output>, purposes: Arc<[String]>) -> BatchOutput {
        self.desk().outputs.extend(outputs);
        self.write_state(&[]);
        self.written_at = self.ledger.now;
        self.fresh = false;
        BatchOutput { purposes, ..self.output() }
    }
}

fn entry(orphan: &Orphan) -> AuditEntry {
    AuditEntry {
        input: InputKind::Upkeep,
        offset: None,
        outcome: Outcome::Revised,
        subject: orphan.subject,
        consent_version: None,
        verdicts: Vec::new(),
        effects: vec![Effect::removed(orphan.purpose, orphan.pseudonym.version(), WHY)],
    }
}
