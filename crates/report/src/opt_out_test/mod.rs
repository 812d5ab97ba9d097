//! Which opt-outs were tested, how long they took, and what failed: from the canary's rounds in the audit, and from
//! a verification of the topics.

mod history;
#[cfg(test)]
pub(crate) use history::tests as rounds;

pub use history::{Failed, Fault, Gap, History};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::form::{Document, Report, Text};
use crate::numbers::{Quantiles, Seconds, or_dash, quantiles};
use crate::period::{Day, Period, moment};
use assent_contract::domain::time::{Span, Timestamp};

/// What `assent verify` found.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Verification {
    pub source: VerifiedBy,
    pub ok: bool,
    /// Records that were read.
    pub records: u64,
    /// By invariant.
    pub violations: BTreeMap<String, u64>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum VerifiedBy {
    /// This very command, of what the topics hold since then.
    ThisReport { at: Timestamp, since: Timestamp },
    /// The output of a verification that somebody ran; when, it does not say.
    File { file: String, sha256: String },
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct OptOutTest {
    pub year: String,
    /// What of the year the audit still holds.
    pub from: Timestamp,
    pub to: Timestamp,
    pub tests: u64,
    /// That ended well.
    pub passed: u64,
    pub failures: BTreeMap<Fault, u64>,
    pub median_s: Option<Seconds>,
    pub p99_s: Option<Seconds>,
    pub max_s: Option<Seconds>,
    pub worst_at: Option<Timestamp>,
    pub days_with_tests: u64,
    pub days: u64,
    pub longest_gap: Option<Gap>,
    pub months: Vec<Month>,
    /// The first 100.
    pub failed: Vec<Failed>,
    pub damaged_records: u64,
    pub verification: Verification,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Month {
    pub month: String,
    pub tests: u64,
    pub failures: u64,
    pub median_s: Option<Seconds>,
    pub p99_s: Option<Seconds>,
    pub max_s: Option<Seconds>,
}

impl OptOutTest {
    /// `reach`: what of the year the audit still holds.
    pub fn of(
        year: String,
        reach: Period,
        history: History,
        damaged_records: u64,
        verification: Verification,
    ) -> Self {
        let History { took_ms, worst, faults, failed, days, gap, .. } = history;
        let mut all: Vec<i64> = took_ms.values().flatten().copied().collect();
        let times = quantiles(&mut all);
        let mut failures: BTreeMap<Fault, u64> = Fault::ALL.map(|fault| (fault, 0)).into();
        for ((_, fault), count) in &faults {
            *failures.entry(*fault).or_default() += count;
        }
        let ended = all.len() as u64;
        let late = failures[&Fault::Late];
        let unended: u64 = failures.values().sum::<u64>() - late;
        Self {
            year,
            from: reach.from,
            to: reach.to,
            tests: ended + unended,
            passed: ended - late,
            median_s: times.map(|it| it.median),
            p99_s: times.map(|it| it.p99),
            max_s: times.map(|it| it.max),
            worst_at: worst.map(|(_, at)| at),
            days_with_tests: days.len() as u64,
            days: days_of(reach),
            longest_gap: gap,
            months: months(took_ms, &faults),
            failures,
            failed,
            damaged_records,
            verification,
        }
    }
}

fn days_of(reach: Period) -> u64 {
    if reach.from >= reach.to {
        return 0;
    }
    let day = |time: Timestamp| Day::of(time).begins_at();
    ((day(reach.to - Span(1)) - day(reach.from)).0 / Span::DAY.0 + 1) as u64
}

fn months(
    mut took_ms: BTreeMap<String, Vec<i64>>,
    faults: &BTreeMap<(String, Fault), u64>,
) -> Vec<Month> {
    for (month, _) in faults.keys() {
        took_ms.entry(month.clone()).or_default();
    }
    let month = |(month, mut times): (String, Vec<i64>)| {
        let of = |(at, _): &(&(String, Fault), &u64)| at.0 == month;
        let failures: u64 = faults.iter().filter(of).map(|(_, count)| count).sum();
        let late = faults.get(&(month.clone(), Fault::Late)).copied().unwrap_or_default();
        let found: Option<Quantiles> = quantiles(&mut times);
        Month {
            tests: times.len() as u64 + failures - late,
            failures,
            median_s: found.map(|it| it.median),
            p99_s: found.map(|it| it.p99),
            max_s: found.map(|it| it.max),
            month,
        }
    };
    took_ms.into_iter().map(month).collect()
}

impl Report for OptOutTest {
    fn document(&self) -> Document {
        let mut document = Document::titled(format!("Tests of opt-outs in {}", self.year));
        self.put_opening(&mut document);
        self.put_numbers(&mut document);
        self.put_failures(&mut document);
        self.put_verification(&mut document);
        document.section("What only counsel can say");
        document.list([
            Text::from("Tests of the shop's own pages, forms and links: ")
                .and_blank("which, by whom, when"),
            Text::from("What was done about the failures: ").and_blank("measures and dates"),
        ]);
        document
    }
}

impl OptOutTest {
    fn put_opening(&self, document: &mut Document) {
        document.paragraph(
            "In each partition, an invented subject opts in, clicks and opts out through the real topics (the \
             canary). A test is one such round, as the audit has it.",
        );
        document.paragraph(format!(
            "Data reach from {} to {} UTC: what the audit topic still holds of {}.",
            moment(self.from),
            moment(self.to),
            self.year
        ));
        if self.damaged_records > 0 {
            document.paragraph(format!(
                "{} records of the audit are damaged, and what is in them is missing here.",
                self.damaged_records
            ));
        }
    }

    fn put_numbers(&self, document: &mut Document) {
        document.section("How many, and how long");
        let worst = self.worst_at.map(|at| format!(" ({} UTC)", moment(at))).unwrap_or_default();
        let gap = self.longest_gap.as_ref().map_or_else(
            || "-".to_owned(),
            |gap| {
                let length = Span((gap.to - gap.from).0 / 1_000 * 1_000);
                format!("{length}, partition {}, from {} UTC", gap.partition, moment(gap.from))
            },
        );
        let rows = [
            ("tests", self.tests.to_string()),
            ("passed", self.passed.to_string()),
            ("median time", or_dash(self.median_s)),
            ("99 in 100 took at most", or_dash(self.p99_s)),
            ("worst time", format!("{}{worst}", or_dash(self.max_s))),
            ("days with a test", format!("{} of {}", self.days_with_tests, self.days)),
            ("longest time without a test", gap),
        ];
        let rows = rows.into_iter().map(|(what, value)| vec![what.into(), value.into()]).collect();
        document.table(format!("Tests in {}", self.year), &["What", "Value"], rows);
        document.paragraph(
            "A time counts from when the canary wrote its opt-out to the decision of the transaction that removed \
             the assignment, by the clocks of two hosts. How long until a reader sees it is not on the topics: it is \
             in the metric assent_canary_opt_out_seconds. Rounds in which the canary could not write at all leave no \
             trace but time without a test.",
        );
        let rows = self.months.iter().map(|it| {
            vec![
                it.month.as_str().into(),
                it.tests.into(),
                it.failures.into(),
                or_dash(it.median_s).into(),
                or_dash(it.p99_s).into(),
                or_dash(it.max_s).into(),
            ]
        });
        let head = ["Month", "Tests", "Failures", "Median", "99 in 100", "Worst"];
        document.table("Tests by month", &head, rows.collect());
    }

    fn put_failures(&self, document: &mut Document) {
        document.section("Failures");
        let rows = Fault::ALL.map(|fault| vec![fault.says().into(), self.failures[&fault].into()]);
        document.table("Failures by kind", &["What failed", "Tests"], rows.into());
        let count: u64 = self.failures.values().sum();
        if count == 0 {
            return;
        }
        let rows = self.failed.iter().map(|it| {
            vec![moment(it.at).into(), it.partition.to_string().into(), it.why.says().into()]
        });
        let caption = format!("The first {} of {count} failures (UTC)", self.failed.len());
        document.table(caption, &["When", "Partition", "What failed"], rows.collect());
    }

    fn put_verification(&self, document: &mut Document) {
        let Verification { source, ok, records, violations, notes } = &self.verification;
        document.section("Verification");
        document.paragraph(match source {
            VerifiedBy::ThisReport { at, since } => Text::from(format!(
                "`assent verify` ran as part of this report at {} UTC, over what the topics hold since {} UTC: it \
                 re-reads them with a model of its own.",
                moment(*at),
                moment(*since)
            )),
            VerifiedBy::File { file, sha256 } => Text::from("Taken from the file ")
                .and_code(file.as_str())
                .and(format!(" (SHA-256 {sha256}), which does not say when, or of which topics, it was made: "))
                .and_blank("who ran the verification, when, and where"),
        });
        let found = if *ok { "no violations" } else { "violations" };
        document.paragraph(format!("It found {found} in {records} records."));
        document.list(violations.iter().map(|(id, count)| {
            let is_opt_out = id == "INV-4" || id == "INV-1";
            let what = if is_opt_out { ": live although the gate withholds" } else { "" };
            format!("{id}: {count}{what}")
        }));
        document.list(notes.iter());
    }
}

#[cfg(test)]
mod tests {
    use super::history::tests::{opt_in, opt_out};
    use super::*;
    use crate::form::markdown;

    #[test]
    fn what_passed_and_what_failed_adds_up() {
        let year = Period::year("1970").unwrap();
        let mut history = History::of(year);
        for batch in [
            opt_in(1_000),
            opt_out(2_000, 40, true),
            opt_in(3_000),
            opt_out(4_000, 20_000, true),
            opt_in(50_000),
            opt_out(60_000, 5, false),
        ] {
            history.see(3, &batch);
        }
        let verification = Verification {
            source: VerifiedBy::File { file: "v.json".into(), sha256: "00".into() },
            ok: false,
            records: 7,
            violations: BTreeMap::from([("INV-4".to_owned(), 2)]),
            notes: vec![],
        };
        let reach = year.within(Timestamp(0), Timestamp(90_000_000));
        let report = OptOutTest::of("1970".into(), reach, history, 0, verification);
        assert_eq!((report.tests, report.passed), (3, 1));
        assert_eq!((report.median_s, report.max_s), (Some(Seconds(10.02)), Some(Seconds(20.0))));
        assert_eq!((report.days_with_tests, report.days), (1, 2));
        assert_eq!((report.months[0].tests, report.months[0].failures), (3, 2));
        let text = markdown(&report.document());
        assert!(text.contains("| tests | 3 |") && text.contains("INV-4: 2"), "{text}");
    }
}
