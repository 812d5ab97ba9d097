//! The numbers that 11 CCR 7102(a) wants published: requests received, complied with and denied in a year, and how
//! many days an answer took. From the register of requests; what reaches Assent in other ways is counted in the
//! audit, apart.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::form::{Document, Report, Text};
use crate::numbers::{mean, median};
use crate::period::{Period, moment};
use crate::signals::Signals;
use assent_contract::domain::audit::{AuditBatch, Change};
use assent_contract::domain::ids::CANARY_PURPOSE;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::request::{KEPT_FOR, PrivacyRequest, RequestKind, RequestStatus};
use assent_contract::domain::time::{Span, Timestamp};

/// The requests of a year as the register ends with them. Takes some 60 bytes for each.
pub struct Register {
    year: Period,
    requests: BTreeMap<String, Answered>,
}

#[derive(Clone, Copy)]
struct Answered {
    kind: RequestKind,
    status: RequestStatus,
    received_at: Timestamp,
    honored_at: Option<Timestamp>,
}

impl Register {
    pub fn of(year: Period) -> Self {
        Self { year, requests: BTreeMap::new() }
    }

    /// The next value under this key; `None`: it was removed, or can't be read.
    pub fn see(&mut self, key: &str, request: Option<&PrivacyRequest>) {
        self.requests.remove(key);
        let Some(request) = request else { return };
        if self.year.contains(request.received_at) {
            let PrivacyRequest { kind, status, received_at, honored_at, .. } = *request;
            let answered = Answered { kind, status, received_at, honored_at };
            self.requests.insert(key.to_owned(), answered);
        }
    }
}

/// What the audit has of a year, whichever way it came.
pub struct Counted {
    year: Period,
    signals: Signals,
    pub erasures: u64,
    /// Opt-outs and withdrawals that removed an assignment.
    pub withdrawals: u64,
    /// Subjects whose sale and sharing a signal ended.
    pub signaled: u64,
}

impl Counted {
    /// `sale_or_share`: the purposes that are.
    pub fn of(year: Period, sale_or_share: Vec<String>) -> Self {
        Self { year, signals: Signals::of(sale_or_share), erasures: 0, withdrawals: 0, signaled: 0 }
    }

    /// The next batch of a partition, from the first that there is.
    pub fn see(&mut self, batch: &AuditBatch) {
        let is_in_year = self.year.contains(batch.decided_at);
        for entry in &batch.entries {
            let is_signaled = self.signals.see(batch, entry) != 0;
            if !is_in_year {
                continue;
            }
            self.signaled += u64::from(is_signaled);
            self.erasures += u64::from(entry.outcome == Outcome::Erased);
            let is_removal =
                |change: &Change| matches!(change, Change::Removed(why) if why == "opted_out");
            // The canary's are nobody's.
            let of_people = |purpose: u16| {
                batch.purposes.get(usize::from(purpose)).is_some_and(|id| id != CANARY_PURPOSE)
            };
            let removes =
                entry.effects.iter().any(|it| of_people(it.purpose) && is_removal(&it.change));
            self.withdrawals += u64::from(entry.input == InputKind::Consent && removes);
        }
    }

    pub fn has_rotated(&self) -> bool {
        self.signals.key_versions.len() > 1
    }
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct PrivacyMetrics {
    pub year: String,
    /// What of the year the register and the audit still hold.
    pub from: Timestamp,
    pub to: Timestamp,
    pub requests: Vec<Metric>,
    pub audit: OfAudit,
    pub notes: Vec<String>,
}

/// A kind of request that 7102 names. `None`: Assent knows nothing of it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Metric {
    pub request: &'static str,
    pub received: Option<u64>,
    pub complied: Option<u64>,
    pub denied: Option<u64>,
    pub open: Option<u64>,
    pub median_days: Option<f64>,
    pub mean_days: Option<f64>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfAudit {
    pub erasures: u64,
    pub withdrawals: u64,
    pub opt_out_signals: u64,
}

/// In the order of 7102(a)(1).
const ROWS: [(&str, &[RequestKind]); 6] = [
    ("delete", &[RequestKind::Erasure]),
    ("correct", &[]),
    ("know", &[RequestKind::Access]),
    ("opt_out_of_sale_or_sharing", &[RequestKind::OptOut, RequestKind::OptOutSignal]),
    ("limit", &[]),
    ("other", &[RequestKind::Other]),
];

impl PrivacyMetrics {
    /// `register`: `None` where there is none to be read; `held`: what of the year the audit still holds; `notes`:
    /// what else is to be said of the data.
    pub fn of(
        year: String,
        register: Option<&Register>,
        counted: &Counted,
        held: Period,
        now: Timestamp,
        mut notes: Vec<String>,
    ) -> Self {
        let reach = held.within(now - KEPT_FOR, now);
        if counted.has_rotated() {
            notes.push(
                "The keys were rotated, so subjects under an opt-out signal are counted once more after it."
                    .to_owned(),
            );
        }
        Self {
            year,
            from: reach.from,
            to: reach.to,
            requests: ROWS.iter().map(|(name, kinds)| metric(name, kinds, register)).collect(),
            audit: OfAudit {
                erasures: counted.erasures,
                withdrawals: counted.withdrawals,
                opt_out_signals: counted.signaled,
            },
            notes,
        }
    }
}

fn metric(request: &'static str, kinds: &[RequestKind], register: Option<&Register>) -> Metric {
    let unknown = Metric {
        request,
        received: None,
        complied: None,
        denied: None,
        open: None,
        median_days: None,
        mean_days: None,
    };
    let Some(register) = register.filter(|_| !kinds.is_empty()) else { return unknown };
    let of_kind: Vec<&Answered> =
        register.requests.values().filter(|it| kinds.contains(&it.kind)).collect();
    let count = |status| Some(of_kind.iter().filter(|it| it.status == status).count() as u64);
    let took = |it: &&Answered| Some((it.honored_at? - it.received_at).0.max(0));
    let mut times: Vec<i64> = of_kind.iter().filter_map(took).collect();
    times.sort_unstable();
    let days = |ms: f64| ms / Span::DAY.0 as f64;
    Metric {
        request,
        received: Some(of_kind.len() as u64),
        complied: count(RequestStatus::Honored),
        denied: count(RequestStatus::Failed),
        open: count(RequestStatus::Received),
        median_days: median(&times).map(days),
        mean_days: mean(&times).map(days),
    }
}

impl Report for PrivacyMetrics {
    fn document(&self) -> Document {
        let mut document = Document::titled(format!("Requests of consumers in {}", self.year));
        document.paragraph(format!(
            "The numbers of 11 CCR 7102(a) as far as Assent has them: from its register of requests. Data reach from \
             {} to {} UTC; the register keeps a request for 24 months after its last change.",
            moment(self.from),
            moment(self.to)
        ));
        document.list(self.notes.iter());
        document.section("Requests received, complied with and denied");
        let head = [
            "Request to",
            "Received",
            "Complied with, in whole or in part",
            "Denied",
            "Open",
            "Median days",
            "Mean days",
        ];
        let rows = self.requests.iter().map(row).collect();
        document.table(format!("Requests received in {}", self.year), &head, rows);
        document.paragraph(
            "Complied with: the transaction that honors the request is committed. Denied: Assent could not apply it; \
             the register has the reason. Days count from when Assent received the request.",
        );
        document.section("What reached Assent in other ways");
        document.paragraph(
            "The audit counts what was applied, whichever way it came: through Assent's own endpoints, which is in \
             the table above, too, or written into the consent changelog by somebody else, or with a click.",
        );
        let rows = [
            ("erasures applied", self.audit.erasures),
            ("opt-outs and withdrawals that ended a use", self.audit.withdrawals),
            ("subjects whose sale and sharing an opt-out signal ended", self.audit.opt_out_signals),
        ];
        let rows = rows.map(|(what, count)| vec![what.into(), count.into()]).into();
        document.table(format!("Applied in {}", self.year), &["What", "Count"], rows);
        put_judgments(&mut document);
        document
    }
}

fn row(metric: &Metric) -> Vec<Text> {
    let count = |value: Option<u64>| {
        value.map_or_else(|| Text::blank("Assent has no record of such requests"), Text::from)
    };
    let days = |value: Option<f64>| match value {
        Some(days) => Text::from(format!("{days:.2}")),
        None if metric.received.is_none() => Text::blank("days"),
        None => Text::from("-"),
    };
    vec![
        metric.request.replace('_', " ").into(),
        count(metric.received),
        count(metric.complied),
        count(metric.denied),
        count(metric.open),
        days(metric.median_days),
        days(metric.mean_days),
    ]
}

fn put_judgments(document: &mut Document) {
    document.section("What only counsel can say");
    document.list([
        Text::from("Does 7102 apply (10 million consumers in a year)? ").and_blank("yes or no"),
        Text::from("Requests that came by mail, telephone or in a shop: ")
            .and_blank("numbers and days"),
        Text::from("Requests to delete, know and correct: when other systems had answered them: ")
            .and_blank("numbers and days; Assent knows its own part alone"),
        Text::from("Requests denied in whole or in part, by reason (7102(a)(1), (b)): ")
            .and_blank("numbers"),
        Text::from("Where the numbers are published, by July 1: ").and_blank("address"),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::markdown;

    fn request(
        id: &str,
        kind: RequestKind,
        status: RequestStatus,
        days: Option<i64>,
    ) -> PrivacyRequest {
        let received_at = Period::year("2026").unwrap().from + Span::HOUR;
        PrivacyRequest {
            request_id: id.to_owned(),
            kind,
            scope: "all".to_owned(),
            manner: "api".to_owned(),
            subject: None,
            received_at,
            status,
            honored_at: days.map(|days| received_at + Span(days * Span::DAY.0)),
            chain: None,
            sequence: None,
            basis_of_denial: None,
        }
    }

    #[test]
    fn the_last_word_on_each_request_counts() {
        use RequestStatus::{Failed, Honored, Received};
        let year = Period::year("2026").unwrap();
        let mut register = Register::of(year);
        for (id, kind, status, days) in [
            ("a", RequestKind::OptOut, Received, None),
            ("b", RequestKind::OptOut, Received, None),
            ("c", RequestKind::OptOutSignal, Honored, Some(2)),
            ("a", RequestKind::OptOut, Honored, Some(1)),
            ("d", RequestKind::OptOut, Failed, None),
            ("e", RequestKind::Erasure, Honored, Some(3)),
            ("f", RequestKind::Consent, Honored, Some(9)),
            ("g", RequestKind::OptOut, Honored, Some(50)),
        ] {
            register.see(id, Some(&request(id, kind, status, days)));
        }
        register.see("g", None);
        let old = PrivacyRequest {
            received_at: Timestamp(5),
            ..request("h", RequestKind::OptOut, Honored, None)
        };
        register.see("h", Some(&old));
        let counted = Counted::of(year, Vec::new());
        let report =
            PrivacyMetrics::of("2026".into(), Some(&register), &counted, year, year.to, vec![]);
        let of = |name: &str| report.requests.iter().find(|it| it.request == name).unwrap();
        let opt_outs = of("opt_out_of_sale_or_sharing");
        assert_eq!((opt_outs.received, opt_outs.complied), (Some(4), Some(2)));
        assert_eq!((opt_outs.denied, opt_outs.open), (Some(1), Some(1)));
        assert_eq!((opt_outs.median_days, opt_outs.mean_days), (Some(1.5), Some(1.5)));
        assert_eq!((of("delete").complied, of("delete").mean_days), (Some(1), Some(3.0)));
        assert_eq!((of("know").received, of("correct").received), (Some(0), None));
        let text = markdown(&report.document());
        assert!(text.contains("| delete | 1 | 1 | 0 | 0 | 3.00 | 3.00 |"), "{text}");
        assert!(text.contains("| correct | **\\[counsel: "), "{text}");
    }

    #[test]
    fn what_the_register_no_longer_keeps_is_said() {
        let year = Period::year("2026").unwrap();
        let counted = Counted::of(year, Vec::new());
        let now = year.from + KEPT_FOR + Span::DAY;
        let report = PrivacyMetrics::of("2026".into(), None, &counted, year, now, vec![]);
        assert_eq!((report.from, report.to), (year.from + Span::DAY, year.to));
        assert!(report.requests.iter().all(|it| it.received.is_none()), "no register, no zeros");
    }
}
