//! Complaints, which nobody but the shop knows: rows of a CSV file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::numbers::median;
use crate::period::{Day, Period};

/// The first line of the file.
pub const HEADER: [&str; 3] = ["date", "kind", "days_to_close"];

/// Kinds are the shop's own words.
const KIND_CHARACTERS_MAX: usize = 64;
const KINDS_MAX: usize = 100;
const DAYS_MAX: i64 = 36_500;

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Complaints {
    pub count: u64,
    pub by_kind: BTreeMap<String, u64>,
    /// `None`: none is closed.
    pub median_days_to_close: Option<f64>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub what: &'static str,
}

impl Complaints {
    /// Of this month; `rows`: the number of each line, and its fields.
    pub fn of(month: Period, rows: Vec<(usize, Vec<String>)>) -> Result<Self, Fault> {
        let mut rows = rows.into_iter();
        if rows.next().is_none_or(|(_, fields)| fields != HEADER) {
            return Err(Fault { line: 1, what: "the first line must be date,kind,days_to_close" });
        }
        let (mut count, mut by_kind, mut days) = (0, BTreeMap::new(), Vec::new());
        for (line, fields) in rows {
            let row = row(fields).map_err(|what| Fault { line, what })?;
            if !month.contains(row.date.begins_at()) {
                continue;
            }
            count += 1;
            *by_kind.entry(row.kind).or_default() += 1;
            days.extend(row.days_to_close);
            if by_kind.len() > KINDS_MAX {
                return Err(Fault { line, what: "there are more than 100 kinds" });
            }
        }
        days.sort_unstable();
        Ok(Self { count, by_kind, median_days_to_close: median(&days) })
    }
}

struct Row {
    date: Day,
    kind: String,
    /// `None`: it is open.
    days_to_close: Option<i64>,
}

fn row(fields: Vec<String>) -> Result<Row, &'static str> {
    let [date, kind, days] =
        <[String; 3]>::try_from(fields).map_err(|_| "a line has three fields")?;
    let date = Day::parse(date.trim()).ok_or("the date must be a day as YYYY-MM-DD")?;
    let kind = kind.trim();
    let is_kind = !kind.is_empty()
        && kind.chars().count() <= KIND_CHARACTERS_MAX
        && !kind.chars().any(char::is_control);
    if !is_kind {
        return Err("the kind must have 1 to 64 characters, and no control character");
    }
    let days_to_close =
        match days.trim() {
            "" => None,
            days => {
                let days: Option<i64> = days.parse().ok();
                let days = days.filter(|days| (0..=DAYS_MAX).contains(days));
                Some(days.ok_or(
                    "the days to close must be a whole number, or nothing while it is open",
                )?)
            }
        };
    Ok(Row { date, kind: kind.to_owned(), days_to_close })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Result<Complaints, Fault> {
        let rows = lines.iter().map(|line| line.split(',').map(str::to_owned).collect());
        Complaints::of(Period::month("2026-11").unwrap(), (1..).zip(rows).collect())
    }

    #[test]
    fn those_of_the_month_are_counted() {
        let found = of(&[
            "date,kind,days_to_close",
            "2026-11-01,sharing,3",
            "2026-11-30, sharing ,",
            "2026-11-30,other,6",
            "2026-10-31,sharing,90",
            "2026-12-01,sharing,90",
        ])
        .unwrap();
        assert_eq!((found.count, found.median_days_to_close), (3, Some(4.5)));
        assert_eq!(found.by_kind, BTreeMap::from([("other".into(), 1), ("sharing".into(), 2)]));
        let none = of(&["date,kind,days_to_close"]).unwrap();
        assert_eq!((none.count, none.median_days_to_close), (0, None));
    }

    #[test]
    fn a_fault_names_its_line() {
        for (line, word) in [
            ("2026-11-31,a,1", "YYYY-MM-DD"),
            ("2026-11-30,,1", "kind"),
            ("2026-11-30,a\u{1b},1", "kind"),
            ("2026-11-30,a,-1", "days"),
            ("2026-11-30,a,1.5", "days"),
            ("2026-11-30,a", "three"),
        ] {
            let fault = of(&["date,kind,days_to_close", "2026-11-01,a,1", line]).unwrap_err();
            assert!(fault.line == 3 && fault.what.contains(word), "{line}: {fault:?}");
        }
        assert_eq!(of(&["2026-11-01,a,1"]).unwrap_err().line, 1);
        assert_eq!(of(&[]).unwrap_err().line, 1);
    }
}
