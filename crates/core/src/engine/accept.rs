//! Going on after a loss that a person accepted: what is in doubt is withheld first, then one audit
//! batch and one record of the state say what was lost, and the partition stands where it goes on.
//!
//! Every batch here continues the chain from the audit's own head and covers no input but the last,
//! so an interruption at any of them leaves a partition that still stops (INV-4, INV-9).

use std::sync::Arc;

use super::absence::AbsenceBound;
use super::batch::OpenBatch;
use super::decided::Decided;
use super::input::Coverage;
use super::judged_purposes::JudgedPurpose;
use super::ledger::Ledger;
use super::loss::{Resume, TopicIds};
use super::output::{BatchOutput, Output};
use super::partition::Partition;
use super::state::State;
use super::step::Scope;
use super::store;
use super::subject::Subject;
use super::token::StateToken;
use assent_contract::domain::audit::{
    AuditBatch, AuditEntry, AuditToken, Effect, Sha256Hash, chain, loss,
};
use assent_contract::domain::gate;
use assent_contract::domain::outcome::{InputKind, Outcome, TombstoneReason, Verdict};
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::Timestamp;

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
    /// Whatever consent was relied on is withheld: an absence before now counts no more.
    pub consent_is_withheld: bool,
    /// How long consent may go unread; `None`: the changelog never loses an erasure, or nobody is kept whom one
    /// could miss.
    pub absence: Option<AbsenceBound>,
}

/// What is in doubt of a partition whose state is there.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// Any consent.
    pub consent: bool,
    /// Opt-out signals from before then.
    pub signals_lost_at: Option<Timestamp>,
}

/// Subjects that a loss puts in doubt and that are not withheld yet, sorted by token.
pub struct Doubted {
    doubt: Doubt,
    left: Vec<StateToken>,
}

impl Doubted {
    /// Nobody is left to withhold.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

impl Partition {
    /// The clock of a batch that would begin now.
    pub fn clock_at(&self, wall: Timestamp) -> Timestamp {
        wall.max(self.state.ledger.now)
    }

    /// How many subjects are in doubt, and how many live keys go with that.
    pub fn in_doubt(&self, doubt: Doubt) -> (usize, usize) {
        let doubted = |subject: &Subject| self.is_doubted(subject, doubt);
        let subjects =
            self.state.subjects.iter().map(|(_, resting)| resting.unpack()).filter(doubted);
        let keys = |subject: &Subject| {
            let goes = |judged: &&JudgedPurpose| doubt.consent || judged.terms.sale_or_share;
            let states = self.policy.purposes().iter().filter(goes);
            states.filter_map(|judged| subject.purpose(judged.terms.name)?.live.as_ref()).count()
        };
        subjects.fold((0, 0), |(count, live), subject| (count + 1, live + keys(&subject)))
    }

    /// Consent in doubt: every subject with a readable record, since it may be used now or later. Signals
    /// in doubt: every subject whose data may be sold or shared.
    fn is_doubted(&self, subject: &Subject, doubt: Doubt) -> bool {
        let consent = &subject.consent;
        let is_relied_on =
            (consent.record.is_some() && !consent.undecodable) || !subject.purposes.is_empty();
        let is_sold = |judged: &JudgedPurpose| {
            let standing = || gate::decide_standing(consent, judged.terms, self.state.ledger.now);
            judged.terms.sale_or_share
                && (subject.purpose(judged.terms.name).is_some() || standing().allows())
        };
        (doubt.consent && is_relied_on)
            || (doubt.signals_lost_at.is_some_and(|lost_at| consent.may_miss_signal(lost_at))
                && self.policy.purposes().iter().any(is_sold))
    }

    /// The subjects that [`Self::withhold_doubted`] has to withhold.
    pub fn doubted(&self, doubt: Doubt) -> Doubted {
        let subjects = self.state.subjects.iter().map(|(token, resting)| (token, resting.unpack()));
        let doubted = subjects.filter(|(_, subject)| self.is_doubted(subject, doubt));
        let mut left: Vec<StateToken> = doubted.map(|(token, _)| token).collect();
        left.sort_unstable();
        Doubted { doubt, left }
    }

    /// Withholds the next of them. Consent in doubt: every purpose, until a record is read again. Signals
    /// in doubt: every purpose that sells or shares, as if a signal had come.
    pub fn withhold_doubted(
        self,
        wall: Timestamp,
        doubted: &mut Doubted,
    ) -> (Decided, BatchOutput) {
        let (next_click, next_consent) =
            (self.state.ledger.next_click, self.state.ledger.next_consent);
        let mut batch = self.begin(wall, false);
        let mut scope = batch.scope();
        for token in doubted.left.drain(..doubted.left.len().min(DOUBTED_PER_BATCH_MAX)) {
            withhold(&mut scope, token, doubted.doubt);
        }
        let coverage = Coverage {
            click_to: next_click,
            consent_to: next_consent,
            barrier: next_consent,
            synced: None,
        };
        batch.finish(coverage)
    }

    /// Removes live keys that a lost state knew. `purposes`: sorted. `wiped`: records of the lost
    /// state that go with them.
    pub fn remove_orphans(
        self,
        wall: Timestamp,
        purposes: &Arc<[String]>,
        orphans: &[Orphan],
        wiped: &[Vec<u8>],
    ) -> (Decided, BatchOutput) {
        let mut batch = self.begin(wall, false);
        let Partition { policy, state, .. } = &batch.partition;
        let decided_at = state.ledger.now;
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
        let Ledger { next_click, next_consent, .. } = state.ledger;
        let here = Resume { next_click, next_consent };
        let rulebook = &policy.setup.rulebook;
        let under = (rulebook.version.clone(), rulebook.sha256);
        let entries = orphans.iter().map(entry).collect();
        outputs.push(link(&mut batch.partition, under, here, purposes.to_vec(), entries));
        batch.end_unplanned(outputs, Arc::clone(purposes))
    }

    /// The loss is on record, and the partition stands where it goes on.
    pub fn accept_loss(self, wall: Timestamp, accepted: &Accepted<'_>) -> (Decided, BatchOutput) {
        let mut batch = self.begin(wall, false);
        let key = store::loss_key(batch.partition.state.ledger.next_sequence);
        let statement = loss::in_audit(accepted.statement);
        let under = (statement.clone(), chain::body_hash(statement.as_bytes()));
        let audit = link(&mut batch.partition, under, accepted.resume, Vec::new(), Vec::new());
        let value = Some(statement.into_bytes());
        let ledger = &mut batch.partition.state.ledger;
        ledger.topics = accepted.topics;
        ledger.recovering = false;
        if accepted.consent_is_withheld {
            let synced = |bound: AbsenceBound| bound.synced_once_accepted(ledger.now);
            ledger.note_synced(accepted.absence.map_or(ledger.now, synced));
        }
        ledger.signals_lost_at = accepted.signals_lost_at.or(ledger.signals_lost_at);
        batch.end_unplanned(vec![audit, Output::State { key, value }], Arc::from([]))
    }
}

impl OpenBatch {
    /// Ends a batch that no input asked for.
    fn end_unplanned(
        mut self,
        outputs: Vec<Output>,
        purposes: Arc<[String]>,
    ) -> (Decided, BatchOutput) {
        self.log.outputs.extend(outputs);
        // It judges nobody by how segments stand now, and states nothing of it.
        self.partition.state.audiences = self.undo.audiences().clone();
        self.write_state(&[]);
        let (decided, output) = self.close();
        (decided, BatchOutput { purposes, ..output })
    }
}

fn withhold(scope: &mut Scope<'_>, token: StateToken, doubt: Doubt) {
    let place = scope.touch(token, None);
    let consent = &mut scope.at_hand[place].subject.consent;
    if doubt.consent {
        consent.mark_undecodable();
    }
    if let Some(lost_at) = doubt.signals_lost_at {
        consent.bind(lost_at);
    }
    scope.settle(place, None);
}

/// The next batch of the chain, which leads from where the partition stands to `to`.
fn link(
    partition: &mut Partition,
    (rulebook, rulebook_sha256): (String, Sha256Hash),
    to: Resume,
    purposes: Vec<String>,
    entries: Vec<AuditEntry>,
) -> Output {
    let Partition { chain, policy, state: State { ledger, .. }, .. } = partition;
    let mut body = Vec::new();
    AuditBatch {
        chain: chain.clone(),
        sequence: ledger.next_sequence,
        previous: ledger.head,
        decided_at: ledger.now,
        rulebook,
        rulebook_sha256,
        key_version: policy.setup.keys.active(),
        click_from: ledger.next_click,
        click_to: to.next_click,
        consent_from: ledger.next_consent,
        consent_to: to.next_consent,
        barrier: to.next_consent,
        gate_open: false,
        purposes,
        entries,
    }
    .encode(&mut body);
    ledger.head = chain::body_hash(&body);
    ledger.next_sequence += 1;
    ledger.next_click = to.next_click;
    ledger.next_consent = to.next_consent;
    Output::Audit { body }
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
