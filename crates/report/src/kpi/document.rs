//! The month's figures for a person: a picture, and under each its table.

use super::lift::{Lift, Measured};
use super::{Kpi, Of, OfPurpose};
use crate::chart::bars;
use crate::form::{Document, Report, Text};
use crate::numbers::or_dash;
use crate::period::moment;

impl Report for Kpi {
    fn document(&self) -> Document {
        let mut document = Document::titled(format!("Consent and segmentation in {}", self.month));
        document.paragraph(format!(
            "Data reach from {} to {} UTC: what the topics still hold of {}.",
            moment(self.from),
            moment(self.to),
            self.month
        ));
        document.list(self.notes.iter());
        self.put_capture(&mut document);
        self.put_opt_outs(&mut document);
        self.put_lift(&mut document);
        self.put_queries(&mut document);
        self.put_complaints(&mut document);
        document
    }
}

impl Kpi {
    fn put_capture(&self, document: &mut Document) {
        document.section("Consent capture");
        document.paragraph(
            "Of those who had a record at the end of the month. Asked is whoever has decided: agreed, refused or \
             withdrawn. A high rate is no goal by itself.",
        );
        let rates: Vec<(String, f64)> = self
            .purposes
            .iter()
            .filter_map(|it| Some((it.purpose.clone(), rate(it.capture.all)? * 100.0)))
            .collect();
        if let Some(svg) = bars(&rates, "granted of asked, per cent") {
            document.picture(
                svg,
                "Share of those asked who agreed, by purpose; the table below has the numbers",
            );
        }
        let head = ["Purpose", "Age band", "Asked", "Granted", "Rate", "Never asked"];
        let rows = self.purposes.iter().flat_map(capture_rows).collect();
        document.table("Consent capture by purpose and age band", &head, rows);
    }

    fn put_opt_outs(&self, document: &mut Document) {
        document.section("Opt-outs");
        document.paragraph(
            "From the person's act to the decision of the transaction that commits it. A withdrawal is one, a refusal \
             after an agreement, and an opt-out signal; a first refusal is none. Business days are Monday to Friday, \
             in UTC; holidays count as business days, which is the stricter reading.",
        );
        let medians: Vec<(String, f64)> = self
            .purposes
            .iter()
            .filter_map(|it| Some((it.purpose.clone(), it.opt_outs.median_s?.0)))
            .collect();
        if let Some(svg) = bars(&medians, "median, seconds") {
            document.picture(
                svg,
                "Median time of opt-outs, by purpose; the table below has the numbers",
            );
        }
        let rows = self.purposes.iter().map(|it| {
            let of = &it.opt_outs;
            vec![
                Text::code(it.purpose.as_str()),
                of.count.into(),
                or_dash(of.median_s).into(),
                or_dash(of.p99_s).into(),
                or_dash(of.max_s).into(),
                of.within_15_business_days.into(),
            ]
        });
        let head =
            ["Purpose", "Opt-outs", "Median", "99 in 100", "Worst", "Within 15 business days"];
        document.table("Opt-outs by purpose", &head, rows.collect());
    }

    fn put_lift(&self, document: &mut Document) {
        document.section("Lift");
        let measured: Vec<(&OfPurpose, &Measured)> =
            self.purposes.iter().filter_map(|it| Some((it, it.measured.as_ref()?))).collect();
        if measured.is_empty() {
            document.paragraph(
                "Not measured: the rulebook holds nobody out, so there is nobody to compare with.",
            );
            return;
        }
        document.paragraph(
            "What assignments bring about. A share of the subjects, drawn by a secret key, is held out: they get no \
             assignment, and everything else is decided of them as of the others. Both groups are of those who came \
             into a segment of the purpose in the month; each counts once. Relative is how much larger the share of \
             conversions is among those who were assigned. The interval holds 95 in 100 (of the logarithm of the \
             quotient of the shares, after Katz): where it reaches across 0, the month shows no effect.",
        );
        document.list(measured.iter().map(|(purpose, it)| {
            format!(
                "{}: conversions are {}, within {} after coming into a segment.",
                purpose.purpose, it.counted, it.within
            )
        }));
        let head = [
            "Purpose",
            "Assigned",
            "Conversions",
            "Held out",
            "Conversions",
            "Relative",
            "95 % interval",
        ];
        let rows = measured.iter().map(|(purpose, it)| lift_row(purpose, it)).collect();
        document.table("Lift by purpose", &head, rows);
    }

    fn put_queries(&self, document: &mut Document) {
        document.section("Questions to the audit");
        let queries = &self.audit_queries;
        let counts: Vec<(String, f64)> = queries
            .by_kind
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), *count as f64))
            .collect();
        if let Some(svg) = bars(&counts, "questions") {
            document
                .picture(svg, "Questions to the audit, by kind; the table below has the numbers");
        }
        let rows =
            queries.by_kind.iter().map(|(kind, count)| vec![Text::code(*kind), (*count).into()]);
        let caption = format!("Questions to the audit: {}", queries.count);
        document.table(caption, &["Kind", "Questions"], rows.collect());
    }

    fn put_complaints(&self, document: &mut Document) {
        document.section("Complaints");
        let Some(complaints) = &self.complaints else {
            document.paragraph("Not known: no file of complaints was given.");
            return;
        };
        let counts: Vec<(String, f64)> =
            complaints.by_kind.iter().map(|(kind, count)| (kind.clone(), *count as f64)).collect();
        if let Some(svg) = bars(&counts, "complaints") {
            document.picture(svg, "Complaints by kind; the table below has the numbers");
        }
        let rows =
            complaints.by_kind.iter().map(|(kind, count)| vec![kind.into(), (*count).into()]);
        let caption = format!("Complaints: {}", complaints.count);
        document.table(caption, &["Kind", "Complaints"], rows.collect());
        let days = or_dash(complaints.median_days_to_close);
        document.paragraph(format!("Median days to close: {days}."));
    }
}

fn lift_row(purpose: &OfPurpose, measured: &Measured) -> Vec<Text> {
    let name = Text::code(purpose.purpose.as_str());
    let Some(lift) = &purpose.lift else {
        let few = format!("blank: fewer than {} in a group", measured.least);
        let blanks = std::iter::repeat_n("-", 5).map(Text::from);
        return std::iter::once(name).chain(blanks).chain([few.into()]).collect();
    };
    let Lift { treated, held_out, converted_treated, converted_held_out, relative, low, high } =
        *lift;
    let interval = low.zip(high).map(|(low, high)| format!("{} to {}", signed(low), signed(high)));
    vec![
        name,
        treated.into(),
        of_group(converted_treated, treated).into(),
        held_out.into(),
        of_group(converted_held_out, held_out).into(),
        relative.map_or("-".to_owned(), signed).into(),
        interval.unwrap_or_else(|| "-".to_owned()).into(),
    ]
}

fn of_group(converted: u64, all: u64) -> String {
    format!("{converted} ({:.1} %)", converted as f64 / all as f64 * 100.0)
}

/// `+12.5 %`.
fn signed(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// `None`: nobody was asked.
fn rate(of: Of) -> Option<f64> {
    (of.asked > 0).then(|| of.granted as f64 / of.asked as f64)
}

/// Age bands by age, in words.
const BANDS: [(&str, &str); 5] = [
    ("UNDER_13", "under 13"),
    ("FROM_13_TO_15", "13 to 15"),
    ("FROM_16_TO_17", "16 to 17"),
    ("FROM_18", "18 or older"),
    ("UNKNOWN", "unknown"),
];

fn capture_rows(purpose: &OfPurpose) -> Vec<Vec<Text>> {
    let row = |band: &str, of: Of| {
        vec![
            Text::code(purpose.purpose.as_str()),
            band.into(),
            of.asked.into(),
            of.granted.into(),
            rate(of).map_or_else(|| "-".into(), |rate| format!("{:.1} %", rate * 100.0).into()),
            of.never_asked.into(),
        ]
    };
    let band = |(symbol, words): &(&str, &'static str)| {
        let of = purpose.capture.by_age_band.get(symbol).copied();
        row(words, of.unwrap_or_default())
    };
    let bands = BANDS.iter().map(band);
    std::iter::once(row("all", purpose.capture.all)).chain(bands).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::lift::{Groups, Measured};
    use super::super::{Totals, people::Captured};
    use crate::form::{Report, html, markdown};
    use crate::period::Period;
    use assent_contract::domain::audit::access::AuditCommand;
    use assent_contract::domain::consent::AgeBand;
    use serde_json::json;

    fn measured(held_out: u64) -> Measured {
        let groups =
            Groups { treated: 900, held_out, converted_treated: 45, converted_held_out: 4 };
        let (counted, within) = ("purchases".to_owned(), "14 days".to_owned());
        Measured { groups, least: 100, counted, within }
    }

    fn kpi() -> super::Kpi {
        let mut totals = Totals::of(vec!["ads".to_owned(), "few".to_owned()]);
        totals.measured[1] = Some(measured(99));
        let captured = Captured { asked: 4, granted: 3, never_asked: 2 };
        totals.captured[0].insert(AgeBand::Under13, captured);
        totals.opt_outs[0].count = 2;
        totals.opt_outs[0].took_ms = vec![1_500, 500];
        totals.opt_outs[0].within_15_business_days = 2;
        totals.queries = BTreeMap::from([(AuditCommand::Query, 7)]);
        totals.measured[0] = Some(measured(100));
        totals.finish(
            "2026-11".into(),
            Period::month("2026-11").unwrap(),
            None,
            vec!["a note".into()],
        )
    }

    #[test]
    fn the_json_is_that_of_the_contract() {
        let whole = serde_json::to_value(kpi()).unwrap();
        let found = &whole["purposes"][0]["lift"];
        let zero = json!({"asked": 0, "granted": 0, "never_asked": 0});
        let expected = json!({
            "month": "2026-11", "from": 1_793_491_200_000_i64, "to": 1_796_083_200_000_i64,
            "purposes": [{
                "purpose": "ads",
                "capture": {"asked": 4, "granted": 3, "never_asked": 2, "by_age_band": {
                    "FROM_13_TO_15": zero, "FROM_16_TO_17": zero, "FROM_18": zero,
                    "UNDER_13": {"asked": 4, "granted": 3, "never_asked": 2}, "UNKNOWN": zero,
                }},
                "opt_outs": {"count": 2, "median_s": 1.0, "p99_s": 1.5, "max_s": 1.5,
                    "within_15_business_days": 2},
                "lift": {"treated": 900, "held_out": 100, "converted_treated": 45,
                    "converted_held_out": 4, "relative": 0.25, "low": found["low"], "high": found["high"]},
            }, {
                "purpose": "few",
                "capture": {"asked": 0, "granted": 0, "never_asked": 0, "by_age_band": {
                    "FROM_13_TO_15": zero, "FROM_16_TO_17": zero, "FROM_18": zero, "UNDER_13": zero, "UNKNOWN": zero,
                }},
                "opt_outs": {"count": 0, "median_s": null, "p99_s": null, "max_s": null,
                    "within_15_business_days": 0},
                "lift": null,
            }],
            "audit_queries": {"count": 7, "by_kind": {"AFFECTED": 0, "EXPLAIN": 0, "EXPORT": 0,
                "OTHER": 0, "QUERY": 7, "SUBJECT_REPORT": 0}},
            "complaints": null,
        });
        assert_eq!(whole, expected);
    }

    #[test]
    fn each_picture_has_its_table_below_it() {
        let page = html(&kpi().document());
        assert_eq!(page.matches("<figure>").count(), 3, "{page}");
        assert_eq!(page.matches("role=\"img\" aria-label=").count(), 3);
        for after in page.split("</figure>").skip(1) {
            assert!(after.trim_start().starts_with("<div class=\"wide\""), "{after}");
        }
        let text = markdown(&kpi().document());
        assert!(text.contains("| `ads` | under 13 | 4 | 3 | 75.0 % | 2 |"), "{text}");
        assert!(text.contains("| `ads` | 2 | 1.000 s | 1.500 s | 1.500 s | 2 |"), "{text}");
        assert!(text.contains("- a note") && !text.contains("<svg"));
        let row =
            "| `ads` | 900 | 45 (5.0 %) | 100 | 4 (4.0 %) | \\+25.0 % | \\-54.1 % to +240.3 % |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains(r"| `few` | \- | \- | \- | \- | \- | blank: fewer than 100 in a group |"),
            "{text}"
        );
    }
}
