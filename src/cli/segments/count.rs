//! `assent segments count`: how many are in each segment now.

use std::collections::HashMap;

use serde_json::json;

use super::super::{stderr, stdout};
use super::latest::{Assigned, Latest};
use super::{chosen, in_words};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::Result;
use assent_contract::rulebook::{Purpose, Rulebook};

/// Count the members of each segment of the rulebook, those without members too
///
/// A count under the minimum audience of its purpose (`min_members`) is null in JSON, and - otherwise.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments count --purpose personalized-offers --json")]
pub struct Args {
    /// Count only the segments of this purpose
    #[arg(long)]
    purpose: Option<String>,
}

/// A segment of a purpose.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Count {
    purpose: String,
    segment: String,
    /// `None`: under the minimum audience of its purpose.
    members: Option<u64>,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let purposes = chosen(args.purpose.as_ref(), rulebook)?;
    let latest = Latest::read(config, &purposes)?;
    let now = SystemClock.now();
    let chosen = rulebook.purposes.iter().filter(|purpose| purposes.contains(&purpose.id));
    let mut counts = Vec::new();
    for purpose in chosen {
        let place = purposes.iter().position(|id| *id == purpose.id).unwrap_or_default();
        let (of_purpose, others) = counted(purpose, &latest.counts(place, now));
        counts.extend(of_purpose);
        if others > 0 {
            stderr::warning(&format!(
                "{} assignments for {} have a segment that this rulebook lacks; `assent run` \
                 ends them once it runs with this rulebook",
                in_words(purpose, others),
                purpose.id
            ));
        }
    }
    print(&counts, is_json)
}

/// Each declared segment, and how many assignments name one that is not declared.
fn counted(purpose: &Purpose, sets: &HashMap<&Assigned, u64>) -> (Vec<Count>, u64) {
    let declared: Vec<&str> = purpose.segments.iter().map(|rule| rule.id.as_str()).collect();
    let members = |segment: &str| {
        let having = sets.iter().filter(|(set, _)| set.segments.iter().any(|id| id == segment));
        having.map(|(_, count)| count).sum()
    };
    let count = |segment: &&str| Count {
        purpose: purpose.id.clone(),
        segment: (*segment).to_owned(),
        members: purpose.shown(members(segment)),
    };
    let is_other = |set: &Assigned| set.segments.iter().any(|id| !declared.contains(&id.as_str()));
    let others = sets.iter().filter(|(set, _)| is_other(set)).map(|(_, count)| count).sum();
    (declared.iter().map(count).collect(), others)
}

fn print(counts: &[Count], is_json: bool) -> Result<()> {
    if is_json {
        return stdout::json(&json!({ "counts": counts }));
    }
    for Count { purpose, segment, members } in counts {
        let members = members.map_or("-".to_owned(), |members| members.to_string());
        stdout::line(&format!("{purpose}  {segment}  {members}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::outcome::Basis;

    #[test]
    fn every_declared_segment_is_counted_and_no_other() {
        let set = |segments: &[&str], basis| Assigned {
            segments: segments.iter().map(|&id| id.to_owned()).collect(),
            basis,
        };
        let sets = [
            set(&["a", "b"], Basis::OptIn),
            set(&["a"], Basis::OptIn),
            set(&["a"], Basis::GuardianOptIn),
            set(&["b", "gone"], Basis::OptIn),
        ];
        let sets: HashMap<&Assigned, u64> = sets.iter().zip([1, 10, 100, 1_000]).collect();
        let check = |least: &str, expected: [Option<u64>; 3]| {
            let (counts, others) = counted(&purpose(least), &sets);
            let members: Vec<_> =
                counts.iter().map(|it| (it.segment.as_str(), it.members)).collect();
            assert_eq!(members, [("a", expected[0]), ("b", expected[1]), ("c", expected[2])]);
            assert_eq!(others, 1_000);
        };
        check("", [Some(111), Some(1_001), Some(0)]);
        check("min_members: 111,", [Some(111), Some(1_001), None]);
        check("min_members: 112,", [None, Some(1_001), None]);
    }

    /// With segments a, b and c.
    fn purpose(least: &str) -> Purpose {
        let segment = |id: &str| {
            format!(
                "  - {{id: {id}, why: w, owner: o, approach: demographic, purpose: offers, when: \
                 {{age_band: {{in: [FROM_18]}}}}}}\n"
            )
        };
        let rulebook = format!(
            "rulebook: r\ndefault_segment: d\npurposes:\n  - {{id: offers, {least} sale_or_share: \
             false, requires_opt_in: true, retention: 1d}}\nsegments:\n{}{}{}",
            segment("a"),
            segment("b"),
            segment("c")
        );
        let compiled = assent_contract::rulebook::compile(rulebook.as_bytes());
        compiled.expect("a sound rulebook").purposes.remove(0)
    }
}
