//! What docs/contract/rulebook.md#measure counts, from a list of all that was seen of everybody: folded anew for each
//! question.

use std::collections::BTreeMap;

use assent_contract::domain::time::{Span, Timestamp};

/// What was seen of a subject and a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The gate withholds.
    Withheld,
    /// Allowed, and in no segment.
    Outside,
    /// In a segment; `assignable`: the gate is open.
    Inside { assignable: bool },
    /// An allowed click of a kind that is counted, and its t.
    Converting(Timestamp),
}

/// When, whose, and what.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub subject: String,
    pub purpose: String,
    /// `within` of the measure.
    pub within: Span,
    pub is_held_out: bool,
    pub sight: Sight,
}

/// By month and purpose: treated, held out, and of each how many did what is counted.
pub type Totals = BTreeMap<(String, String), [i64; 4]>;

struct Counted {
    since: Timestamp,
    is_inside: bool,
    has_converted: bool,
}

/// Months of which the totals are kept, besides the one at hand.
const KEPT: i64 = 25;

/// Of the whole past, in its order.
pub fn totals(past: &[Seen]) -> Totals {
    let mut totals: BTreeMap<(i64, String), [i64; 4]> = BTreeMap::new();
    let mut counted: BTreeMap<(&str, &str), Counted> = BTreeMap::new();
    for seen in past {
        let who = (seen.subject.as_str(), seen.purpose.as_str());
        let mut count = |since, place: usize| {
            let place = place + usize::from(seen.is_held_out);
            totals.entry((month(since), seen.purpose.clone())).or_default()[place] += 1;
            totals.retain(|(of, _), _| *of >= month(seen.at) - KEPT);
        };
        let known = counted.get_mut(&who);
        match (seen.sight, known) {
            (Sight::Withheld, _) => _ = counted.remove(&who),
            (Sight::Outside, Some(known)) => {
                known.is_inside = false;
                let kept = seen.within.max(Span(31 * Span::DAY.0));
                if seen.at >= known.since + kept {
                    counted.remove(&who);
                }
            }
            (Sight::Inside { .. }, Some(known)) if known.is_inside => {}
            (Sight::Inside { assignable: true }, Some(known))
                if month(known.since) == month(seen.at) || seen.at < known.since + seen.within =>
            {
                known.is_inside = true;
            }
            (Sight::Inside { assignable: true }, _) => {
                count(seen.at, 0);
                let new = Counted { since: seen.at, is_inside: true, has_converted: false };
                counted.insert(who, new);
            }
            (Sight::Converting(t), Some(known)) => {
                let follows = known.since < t && t < known.since + seen.within;
                if follows && !known.has_converted {
                    known.has_converted = true;
                    count(known.since, 2);
                }
            }
            (Sight::Outside | Sight::Inside { .. } | Sight::Converting(_), _) => {}
        }
    }
    let text = |month: i64| format!("{}-{:02}", 1970 + month / 12, month % 12 + 1);
    totals.into_iter().map(|((month, purpose), of)| ((text(month), purpose), of)).collect()
}

/// Counts months up from January 1970.
fn month(at: Timestamp) -> i64 {
    let mut left = at.0.div_euclid(Span::DAY.0);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |month: i64| match month % 12 {
        1 => 28 + i64::from(is_leap(1970 + month / 12)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    let mut month = 0;
    while left >= length(month) {
        left -= length(month);
        month += 1;
    }
    month
}
