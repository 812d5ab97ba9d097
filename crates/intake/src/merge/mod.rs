//! One change and what stands: the next record.
//!
//! By purpose the later `since` wins, on a tie the stricter. A moment later than the command's receipt counts
//! as the receipt. An opt-out never loses: where what stands claims a later `since`, it takes that one.

mod hear;

use std::cmp::Ordering;

use crate::command::{Change, Command, Statement};
use crate::scope::{Scope, Terms};
use crate::source::Choice;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::time::Timestamp;

/// What the changelog holds of a subject.
#[derive(Clone, Default)]
pub struct CurrentConsent {
    /// The last record, where it can be read.
    pub record: Option<ConsentRecord>,
    /// The highest version that is known to stand; 0: none.
    pub highest: i64,
}

/// What is written for a command.
pub enum Merged {
    Record(Box<ConsentRecord>),
    /// A null value.
    Erasure,
    /// What stands says all of it already: nothing is written.
    Unchanged,
}

/// Why nothing can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The version that stands is the highest that there is.
    NoVersionLeft,
}

impl Refusal {
    /// `PrivacyRequest.basis_of_denial`.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoVersionLeft => "no_version_left",
        }
    }
}

/// The next record of the command's subject. `purposes` are the rulebook's.
pub fn merge(
    current: &CurrentConsent,
    command: &Command,
    purposes: &[Terms],
) -> Result<Merged, Refusal> {
    let mut record = match &command.change {
        Change::Erase => return Ok(Merged::Erasure),
        Change::Put(_) | Change::OptOut(_) | Change::Heard(_) => base(current, command)?,
    };
    match &command.change {
        Change::Put(statement) => put(&mut record, statement, command.received_at),
        Change::OptOut(scope) => opt_out(&mut record, scope, purposes, command.received_at),
        Change::Heard(heard) => {
            let stood = current.record.as_ref();
            hear::hear(&mut record, heard, stood, command.received_at);
            if says_the_same(&record, stood) {
                return Ok(Merged::Unchanged);
            }
        }
        Change::Erase => {}
    }
    Ok(Merged::Record(Box::new(record)))
}

/// Does the record say of the person what stood before it, or nothing where nothing stood?
fn says_the_same(record: &ConsentRecord, stood: Option<&ConsentRecord>) -> bool {
    let Some(stood) = stood else {
        return record.decisions.is_empty()
            && record.guardian.is_none()
            && record.opt_out_signal_at.is_none()
            && record.age_band == AgeBand::Unknown;
    };
    record.decisions == stood.decisions
        && record.age_band == stood.age_band
        && record.guardian == stood.guardian
        && record.opt_out_signal_at == stood.opt_out_signal_at
}

/// What stands, under the next version. Of whom nothing can be read, nothing is known: age unknown, which the
/// gate treats as a child.
fn base(current: &CurrentConsent, command: &Command) -> Result<ConsentRecord, Refusal> {
    let version = current.highest.checked_add(1).ok_or(Refusal::NoVersionLeft)?;
    let before = current.record.as_ref();
    Ok(ConsentRecord {
        subject_id: command.subject_id.clone(),
        version,
        recorded_at: command.received_at,
        age_band: before.map_or(AgeBand::Unknown, |record| record.age_band),
        decisions: before.map(|record| record.decisions.clone()).unwrap_or_default(),
        guardian: before.and_then(|record| record.guardian.clone()),
        double_opt_in_at: before.and_then(|record| record.double_opt_in_at),
        opt_out_signal_at: before.and_then(|record| record.opt_out_signal_at),
        source: command.source.clone(),
        receipt_id: Some(command.request_id.clone()),
    })
}

fn put(record: &mut ConsentRecord, statement: &Statement, received_at: Timestamp) {
    record.age_band = statement.age_band;
    record.double_opt_in_at = statement.double_opt_in_at.map(|at| at.min(received_at));
    record.guardian = statement.guardian.clone().map(|mut guardian| {
        guardian.verified_at = guardian.verified_at.min(received_at);
        guardian
    });
    for (purpose, decision) in &statement.decisions {
        let mut said = decision.clone();
        said.since = said.since.min(received_at);
        match record.decisions.get(purpose) {
            Some(stands) if precedence(stands, &said).is_ge() => {}
            _ => {
                record.decisions.insert(purpose.clone(), said);
            }
        }
    }
}

/// The purposes that the rulebook has and the scope covers, and whatever else the record says for a scope of
/// all: a purpose that another rulebook declares is meant, too. An end of all sale and sharing binds as an
/// opt-out preference signal does, so that a purpose that comes later is covered.
fn opt_out(record: &mut ConsentRecord, scope: &Scope, purposes: &[Terms], at: Timestamp) {
    let covered = purposes.iter().filter(|purpose| scope.covers(purpose));
    let mut ended: Vec<String> = covered.map(|purpose| purpose.id.clone()).collect();
    match scope {
        Scope::All => ended.extend(record.decisions.keys().cloned()),
        Scope::Purpose(id) => ended.push(id.clone()),
        Scope::SaleOrShare => {}
    }
    for purpose in ended {
        let stands = record.decisions.get(&purpose);
        let since = stands.map_or(at, |stands| stands.since.max(at));
        let withdrawn = Decision {
            status: ConsentStatus::Withdrawn,
            since,
            expires_at: None,
            notice_version: None,
        };
        record.decisions.insert(purpose, withdrawn);
    }
    if scope.ends_all_sale() {
        record.opt_out_signal_at = record.opt_out_signal_at.max(Some(at));
    }
}

/// Does what a platform chose win over what stands?
pub(crate) fn outdoes(choice: &Choice, stands: &Decision, now: Timestamp) -> bool {
    let Some(status) = choice.says.status() else { return false };
    let since = choice.since.unwrap_or(now).min(now);
    let said = Decision { status, since, expires_at: choice.expires_at, notice_version: None };
    precedence(stands, &said).is_lt()
}

/// Which of two decisions for a purpose wins.
fn precedence(one: &Decision, other: &Decision) -> Ordering {
    let key = |decision: &Decision| (decision.since, strictness(decision.status));
    let end = |decision: &Decision| decision.expires_at.unwrap_or(Timestamp::MAX);
    key(one).cmp(&key(other)).then(end(other).cmp(&end(one)))
}

fn strictness(status: ConsentStatus) -> u8 {
    match status {
        ConsentStatus::Granted => 0,
        ConsentStatus::NotAsked => 1,
        ConsentStatus::Denied => 2,
        ConsentStatus::Withdrawn => 3,
    }
}

#[cfg(test)]
mod tests;
