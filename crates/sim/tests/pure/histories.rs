//! A history of one partition: what it is told, owned, and printed so that a person can read it.

use std::collections::BTreeMap;
use std::fmt;

use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::Click;
use assent_contract::domain::outcome::DeadLetterReason;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput, Rejection};

pub const SUBJECTS: [&str; 5] = ["ann", "ben", "cas", "dee", "eve"];
/// 2026-11-22T00:00:00Z, a UTC day's first millisecond.
pub const START: i64 = 1_795_305_600_000;

/// One purpose, and one segment: whoever is grown up.
pub const GROWN: &str = r#"
rulebook: "1"
default_segment: all
purposes: [{id: mail, title: Mail, sale_or_share: false, requires_opt_in: true, retention: 1d}]
segments:
  - {id: grown, title: Grown, why: to test, owner: tests, approach: demographic, purpose: mail,
     when: {age_band: {in: [FROM_18]}}}
"#;

/// Somebody grown up lets [`GROWN`]'s purpose be.
pub fn grown_grant(
    subject: &str,
    version: i64,
    since: Timestamp,
    expires_at: Option<Timestamp>,
) -> ConsentRecord {
    let status = ConsentStatus::Granted;
    let decision = Decision { status, since, expires_at, notice_version: None };
    ConsentRecord {
        subject_id: subject.to_owned(),
        version,
        recorded_at: since,
        age_band: AgeBand::From18,
        decisions: BTreeMap::from([("mail".to_owned(), decision)]),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: "cmp".to_owned(),
        receipt_id: None,
    }
}

/// What a partition is told, from its first offset on.
#[derive(Clone)]
pub struct History {
    pub text: String,
    pub rulebook: Rulebook,
    pub lease: Span,
    /// Of so many subjects of whom nothing else is kept, a signal is.
    pub signals_max: usize,
    pub batches: Vec<Batch>,
}

#[derive(Clone)]
pub struct Batch {
    pub wall: Timestamp,
    pub gate_open: bool,
    /// Before it, the partition is restored from what it wrote.
    pub is_restart: bool,
    pub consent: Vec<Consent>,
    pub clicks: Vec<(i64, Option<Click<'static>>)>,
    pub click_to: i64,
    pub consent_to: i64,
}

#[derive(Clone)]
pub struct Consent {
    pub offset: i64,
    pub append_time: Timestamp,
    pub subject: &'static str,
    pub body: Body,
}

#[derive(Clone)]
pub enum Body {
    Record(ConsentRecord),
    Erasure,
    Unreadable,
    Heartbeat,
    DeadLettered,
}

impl Consent {
    pub fn input(&self) -> ConsentInput<'_> {
        let rejection = |reason| Rejection::new(reason, "made so by the generator");
        let body = match &self.body {
            Body::Record(record) => ConsentBody::Record(record),
            Body::Erasure => ConsentBody::Erasure,
            Body::Unreadable => ConsentBody::Unreadable(rejection(DeadLetterReason::Undecodable)),
            Body::Heartbeat => ConsentBody::Heartbeat { source: Some("cmp") },
            Body::DeadLettered => {
                ConsentBody::DeadLettered(rejection(DeadLetterReason::InvalidField))
            }
        };
        let payload = matches!(self.body, Body::Record(_) | Body::Unreadable | Body::DeadLettered);
        ConsentInput {
            offset: self.offset,
            append_time: self.append_time,
            key: self.subject.as_bytes(),
            payload: payload.then_some(b"consent".as_slice()),
            body,
        }
    }
}

/// A click as the partition is told of it; `None`: one that could not be decoded.
pub fn click_input(offset: i64, click: Option<Click<'static>>) -> ClickInput<'static> {
    let rejection = Rejection::new(DeadLetterReason::WrongKey, "the key is another");
    ClickInput { offset, payload: Some(b"click"), click: click.ok_or(rejection) }
}

/// The case as a person reads it: times in milliseconds from [`START`].
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nrulebook {}\nlease {} ms", self.text, self.lease.0)?;
        writeln!(f, "at most {} signals without a record", self.signals_max)?;
        for (at, batch) in self.batches.iter().enumerate() {
            let gate = if batch.gate_open { "open" } else { "closed" };
            let restart = if batch.is_restart { ", after a restart" } else { "" };
            writeln!(f, "batch {at} wall {} gate {gate}{restart}", rel(batch.wall))?;
            for consent in &batch.consent {
                writeln!(f, "  {consent:?}")?;
            }
            for (offset, click) in &batch.clicks {
                writeln!(f, "  click {offset} {}", click.map_or("rejected".to_owned(), shown))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consent {} {} appended {} ", self.offset, self.subject, rel(self.append_time))?;
        match &self.body {
            Body::Record(record) => {
                write!(
                    f,
                    "v{} at {} {:?}",
                    record.version,
                    rel(record.recorded_at),
                    record.age_band
                )?;
                for (purpose, it) in &record.decisions {
                    let end = it.expires_at.map(rel);
                    write!(f, ", {purpose} {:?} since {} end {end:?}", it.status, rel(it.since))?;
                }
                if let Some(guardian) = &record.guardian {
                    let flags = (
                        guardian.coppa_consent,
                        guardian.coppa_disclosure,
                        guardian.ccpa_authorization,
                    );
                    write!(f, ", guardian {} {flags:?}", rel(guardian.verified_at))?;
                }
                let times = (record.double_opt_in_at.map(rel), record.opt_out_signal_at.map(rel));
                write!(f, ", second step {:?}, signal {:?}", times.0, times.1)
            }
            Body::Erasure => f.write_str("erasure"),
            Body::Unreadable => f.write_str("unreadable"),
            Body::Heartbeat => f.write_str("heartbeat"),
            Body::DeadLettered => f.write_str("dead letter"),
        }
    }
}

fn rel(time: Timestamp) -> i64 {
    time.0 - START
}

fn shown(click: Click<'static>) -> String {
    let fields = [click.category, click.product_id, click.product_age_range, click.region];
    format!(
        "{:?} {} at {} {:?} {fields:?} cents {:?}{}",
        click.subject_id,
        click.session_id,
        rel(click.occurred_at),
        click.kind,
        click.value_cents,
        if click.opt_out_signal.is_some() { " OPTS OUT" } else { "" }
    )
}
