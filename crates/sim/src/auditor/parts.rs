//! What was committed, transaction by transaction and in order: an audit batch, and the records that
//! go with it. Keeps INV-5 and INV-9.

use std::collections::BTreeMap;

use super::Findings;
use crate::log::{Log, Stored, Topic};
use crate::stage::GROUP;
use assent_contract::domain::audit::{AuditBatch, Sha256Hash, audiences, chain, loss};
use assent_contract::domain::invariants::{self, Invariant};
use assent_contract::wire::framing::HEADER_LEN;
use assent_contract::wire::read_back_audit_batch;

/// A partition's share of a transaction.
pub struct Part<'a> {
    pub transaction: usize,
    /// What it states of audiences, before anything else.
    pub stated: Option<(AuditBatch, Sha256Hash)>,
    pub batch: AuditBatch,
    pub hash: Sha256Hash,
    /// In the order in which they were written; the audit batch is among them.
    pub records: Vec<Written<'a>>,
}

#[derive(Clone, Copy)]
pub struct Written<'a> {
    pub topic: Topic,
    pub partition: i32,
    pub stored: &'a Stored,
}

/// By partition of the inputs, in the order of the commits.
pub fn of<'a>(log: &'a Log, findings: &mut Findings) -> BTreeMap<i32, Vec<Part<'a>>> {
    let mut written: Vec<Written<'a>> = log
        .topics()
        .filter(|(topic, ..)| !matches!(topic, Topic::Clicks | Topic::Consent))
        .flat_map(|(topic, partition, all)| {
            all.iter().map(move |stored| Written { topic, partition, stored })
        })
        .filter(|it| log.is_committed(it.stored))
        .collect();
    written.sort_by_key(|it| it.stored.order);
    let mut open: BTreeMap<usize, Vec<Written<'a>>> = BTreeMap::new();
    let mut parts: BTreeMap<i32, Vec<Part<'a>>> = BTreeMap::new();
    for record in written {
        let Some(transaction) = record.stored.transaction else { continue };
        open.entry(transaction).or_default().push(record);
        let is_last = record.topic == Topic::State
            && record.stored.record.key.as_deref() == Some(b"meta".as_slice());
        if is_last {
            let records = open.remove(&transaction).unwrap_or_default();
            match part(transaction, records) {
                Ok(part) => parts.entry(record.partition).or_default().push(part),
                Err(detail) => findings.add(Invariant::Atomic, record.partition, detail),
            }
        }
    }
    for (transaction, rest) in open {
        let detail =
            format!("transaction {transaction} has {} records without a state", rest.len());
        findings.of_run(Invariant::Atomic, detail);
    }
    parts
}

fn part(transaction: usize, records: Vec<Written<'_>>) -> Result<Part<'_>, String> {
    let audits = records.iter().filter(|it| it.topic == Topic::Audit);
    let mut batches = audits.map(audit).collect::<Result<Vec<_>, _>>()?;
    let (Some((batch, hash)), stated) = (batches.pop(), batches.pop()) else {
        return Err(format!("transaction {transaction}: no audit batch for a state"));
    };
    let is_statement = |it: &(AuditBatch, Sha256Hash)| audiences::is_statement(&it.0.rulebook);
    if !batches.is_empty() || !stated.iter().all(is_statement) {
        return Err(format!("transaction {transaction}: not one audit batch for a state"));
    }
    Ok(Part { transaction, stated, batch, hash, records })
}

fn audit(written: &Written<'_>) -> Result<(AuditBatch, Sha256Hash), String> {
    let value = written.stored.record.value.as_deref().unwrap_or_default();
    let batch = read_back_audit_batch(value).map_err(|it| format!("audit: {it}"))?;
    Ok((batch, chain::body_hash(&value[HEADER_LEN..])))
}

/// Does it record a loss that was accepted?
pub fn is_loss(batch: &AuditBatch) -> bool {
    loss::statement(&batch.rulebook).is_some()
}

/// INV-9, and INV-2 as far as the batches themselves say.
pub fn check_chain(partition: i32, parts: &[Part<'_>], findings: &mut Findings) {
    let (mut sequence, mut previous, mut clicks, mut consent) = (0, chain::GENESIS, 0, 0);
    let batches = parts.iter().flat_map(|part| {
        let stated = part.stated.iter().map(|(batch, hash)| (batch, hash));
        stated.chain([(&part.batch, &part.hash)])
    });
    for (batch, hash) in batches {
        let found = (batch.chain.clone(), batch.sequence, batch.previous);
        if found != (chain::name(GROUP, partition), sequence, previous) {
            let detail = format!("sequence {sequence} is {} of {}", batch.sequence, batch.chain);
            findings.add(Invariant::Provable, partition, detail);
        }
        let covers_clicks = batch.click_to > batch.click_from;
        // Behind a loss consent is read from its beginning again.
        let consent_to = if is_loss(batch) { batch.consent_from } else { batch.consent_to };
        let violations = [
            invariants::covers_without_gap(clicks, batch.click_from, batch.click_to),
            invariants::covers_without_gap(consent, batch.consent_from, consent_to),
            invariants::barrier_reached(
                batch.gate_open && covers_clicks,
                batch.barrier,
                batch.consent_to,
            ),
        ];
        for violation in violations.into_iter().flatten() {
            findings.add(violation.invariant, partition, violation.detail);
        }
        (sequence, previous) = (batch.sequence + 1, *hash);
        (clicks, consent) = (batch.click_to, batch.consent_to);
    }
}
