//! One decision explained: the verdict of each purpose, the line of the gate that gave it with its citation,
//! whether it follows from what can still be reconstructed, and what can't.

use std::collections::BTreeSet;

use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::gate::table::line_of;
use assent_contract::domain::hex::hex;
use assent_contract::domain::merge::RecordInForce;
use assent_contract::domain::outcome::{Basis, InputKind, Outcome, Verdict};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use serde::Serialize;

use crate::row::Found;
use crate::story::{Agreement, Asked, Gone, Story, Switches};

/// Of one entry of the audit.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub chain: String,
    pub sequence: i64,
    pub partition: i32,
    pub input: InputKind,
    pub offset: Option<i64>,
    pub decided_at: i64,
    pub outcome: Outcome,
    pub subject: Option<String>,
    pub consent_version: Option<i64>,
    pub rulebook: String,
    pub rulebook_sha256: String,
    /// Of a click whose record is still there.
    pub event_time: Option<i64>,
    pub known: Known,
    /// In the order of the batch's purposes.
    pub purposes: Vec<PurposeAnswer>,
    pub not_reconstructed: Vec<&'static str>,
    /// Nothing that was recorded contradicts what can be reconstructed.
    pub follows: bool,
}

/// What stood of the subject, after the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// `None`: there is none, or it is among what can't be reconstructed.
    pub record: Option<KnownRecord>,
    pub unreadable: bool,
    pub signal_at: Option<i64>,
    pub erased_at: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownRecord {
    pub version: i64,
    pub age_band: AgeBand,
    pub guardian: Option<KnownGuardian>,
    pub double_opt_in_at: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools)] // three separate permissions of the law
pub struct KnownGuardian {
    pub verified_at: i64,
    pub coppa_consent: bool,
    pub coppa_disclosure: bool,
    pub ccpa_authorization: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PurposeAnswer {
    pub purpose: String,
    /// `None`: none is recorded, and it can't be reconstructed.
    pub verdict: Option<Verdict>,
    /// Whether the audit records it: of timers and of what changed nothing there is none.
    pub recorded: bool,
    pub allowed: bool,
    /// Of the gate's table, 1 to 12.
    pub line: Option<u8>,
    /// When the line applies.
    pub rule: Option<&'static str>,
    /// A statute or regulation, or that it is a house rule; empty where it allows.
    pub cite: Option<&'static str>,
    pub basis: Option<Basis>,
    pub decision: Option<KnownDecision>,
    /// `agrees`, `unknown` or `contradicts`: the recorded verdict, and what can be reconstructed.
    pub reconstruction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownDecision {
    pub status: ConsentStatus,
    pub since: i64,
    pub expires_at: Option<i64>,
}

/// What a decision rested on, as far as it is told.
pub struct Ground<'a> {
    pub story: Story,
    /// `None`: it is not at hand.
    pub rulebook: Option<&'a Rulebook>,
    /// Of a click: when it occurred. `None`: it is gone, or the entry is of no click.
    pub event_time: Option<Timestamp>,
    /// Nobody knows whose entry it is.
    pub is_nobodys: bool,
    /// Retention took the audit's beginning.
    pub begins_late: bool,
}

/// An entry, explained.
pub fn explain(found: &Found, ground: &Ground<'_>) -> Explanation {
    let (head, entry) = (&found.head, &found.entry);
    let is_decided = entry.input == InputKind::Click && entry.outcome == Outcome::Decided;
    let click = is_decided.then_some((!head.gate_open, ground.event_time));
    let asked = Asked { now: head.decided_at, click };
    let mut gone = BTreeSet::new();
    let mut follows = !ground.story.differs;
    let of_purpose = |id: &String| {
        let (answer, agreement) = purpose(found.verdict(id), id, ground, asked);
        match agreement {
            Agreement::Agrees => {}
            Agreement::Unknown(what) => _ = gone.insert(what),
            Agreement::Contradicts => follows = false,
        }
        answer
    };
    // Of what could not be read no purpose was asked about.
    let is_asked = !entry.verdicts.is_empty() || entry.subject.is_some();
    let purposes = head.purposes.iter().filter(|_| is_asked).map(of_purpose).collect();
    let (lost, is_known) = (ground.story.lost, !ground.is_nobodys);
    gone.extend((is_known && lost.record).then_some(Gone::Record));
    gone.extend((is_known && lost.signal).then_some(Gone::Signal));
    gone.extend((is_known && lost.erasure).then_some(Gone::Erasure));
    gone.extend((is_decided && ground.event_time.is_none()).then_some(Gone::EventTime));
    gone.extend((is_known && ground.begins_late).then_some(Gone::Beginning));
    Explanation {
        chain: head.chain.clone(),
        sequence: head.sequence,
        partition: found.partition,
        input: entry.input,
        offset: entry.offset,
        decided_at: head.decided_at.0,
        outcome: entry.outcome,
        subject: entry.subject.map(|token| hex(&token)),
        consent_version: entry.consent_version,
        rulebook: head.rulebook.clone(),
        rulebook_sha256: hex(&head.rulebook_sha256),
        event_time: ground.event_time.map(|at| at.0),
        known: Known::of(&ground.story),
        purposes,
        not_reconstructed: gone.into_iter().map(Gone::words).collect(),
        follows,
    }
}

/// What is in force now for a subject and purpose, where no entry is asked about.
pub fn explain_now(
    purpose_id: &str,
    ground: &Ground<'_>,
    now: Timestamp,
) -> (PurposeAnswer, Option<Gone>) {
    let asked = Asked { now, click: None };
    let (answer, agreement) = purpose(None, purpose_id, ground, asked);
    let gone = match agreement {
        Agreement::Unknown(what) => Some(what),
        _ => None,
    };
    (answer, gone)
}

fn purpose(
    recorded: Option<Verdict>,
    id: &str,
    ground: &Ground<'_>,
    asked: Asked,
) -> (PurposeAnswer, Agreement) {
    let is_stale = asked.click.is_some_and(|(line_1, _)| line_1);
    let (own, agreement) = match (ground.rulebook, recorded) {
        // Line 1 is in the batch itself.
        (_, Some(recorded)) if is_stale => {
            let is_so = recorded == Verdict::ConsentStale;
            (None, if is_so { Agreement::Agrees } else { Agreement::Contradicts })
        }
        _ if ground.is_nobodys => (None, Agreement::Unknown(Gone::Subject)),
        (None, _) => (None, Agreement::Unknown(Gone::Rulebook)),
        (Some(rulebook), recorded) => {
            let switches = Switches::of(rulebook, id);
            let own = ground.story.verdict(id, switches, asked);
            let agreement = match (recorded, own) {
                (Some(recorded), _) => judged(recorded, id, switches, ground, asked),
                (None, None) => Agreement::Unknown(Gone::Record),
                (None, Some(_)) => Agreement::Agrees,
            };
            (own, agreement)
        }
    };
    let verdict = recorded.or(own);
    let line = verdict.map(line_of);
    let answer = PurposeAnswer {
        purpose: id.to_owned(),
        verdict,
        recorded: recorded.is_some(),
        allowed: verdict.is_some_and(Verdict::allows),
        line: line.map(|line| line.number),
        rule: line.map(|line| line.when),
        cite: line.map(|line| line.why),
        basis: verdict.and_then(Verdict::basis),
        decision: decision(&ground.story, id),
        reconstruction: match agreement {
            Agreement::Agrees => "agrees",
            Agreement::Unknown(_) => "unknown",
            Agreement::Contradicts => "contradicts",
        },
    };
    (answer, agreement)
}

/// What came before the audit's beginning may have been anything.
fn judged(
    recorded: Verdict,
    id: &str,
    switches: Switches,
    ground: &Ground<'_>,
    asked: Asked,
) -> Agreement {
    match ground.story.judge(recorded, id, switches, asked) {
        Agreement::Contradicts if ground.begins_late => Agreement::Unknown(Gone::Beginning),
        agreement => agreement,
    }
}

fn decision(story: &Story, id: &str) -> Option<KnownDecision> {
    let record = story.consent.record.as_ref()?;
    let decision = record.decision(story.name(id)?)?;
    Some(KnownDecision {
        status: decision.status,
        since: decision.since.0,
        expires_at: decision.expires_at.map(|at| at.0),
    })
}

impl Known {
    pub fn of(story: &Story) -> Self {
        let consent = &story.consent;
        Self {
            record: consent.record.as_ref().map(KnownRecord::of),
            unreadable: consent.is_unreadable(),
            signal_at: consent.signal_at.map(|at| at.0),
            erased_at: consent.erased_at.map(|at| at.0),
        }
    }
}

impl KnownRecord {
    fn of(record: &RecordInForce) -> Self {
        let guardian = record.guardian.map(|it| KnownGuardian {
            verified_at: it.verified_at.0,
            coppa_consent: it.coppa_consent,
            coppa_disclosure: it.coppa_disclosure,
            ccpa_authorization: it.ccpa_authorization,
        });
        Self {
            version: record.version,
            age_band: record.age_band,
            guardian,
            double_opt_in_at: record.double_opt_in_at.map(|at| at.0),
        }
    }
}
