//! The totals of those held out and of the others, from the state.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use super::super::records::each_record;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::rulebook::{Purpose, Rulebook};
use assent_core::engine::lift::{Lift, Month};
use assent_core::engine::store::lift_of;
use assent_report::kpi::lift::{GROUP_MIN, Groups, Measured};

/// What the rulebook measures of each purpose; nothing is counted yet.
pub fn measured(rulebook: &Rulebook) -> Vec<Option<Measured>> {
    rulebook.declared().map(of_purpose).collect()
}

fn of_purpose(purpose: &Purpose) -> Option<Measured> {
    let holdout = purpose.measure.as_ref()?;
    Some(Measured {
        groups: Groups::default(),
        least: least(purpose),
        counted: holdout.counted(),
        within: holdout.window(),
    })
}

/// Of fewer in a group, nothing is said.
fn least(purpose: &Purpose) -> u64 {
    purpose.min_members.map_or(GROUP_MIN, |least| GROUP_MIN.max(least.into()))
}

/// Adds what the state of a partition has of the month. Returns how many records can't be read.
pub fn read(
    config: &Config,
    ends: &Ends<'_>,
    partition: i32,
    month: Month,
    bar: &ProgressBar,
) -> Result<(BTreeMap<String, Groups>, u64)> {
    let at = (config.topics.state.as_str(), partition);
    let low = ends.low(at.0, partition)?;
    let mut latest = BTreeMap::new();
    let damaged = each_record(config, ends, at, low, bar, |record| {
        let of = record.key.as_deref().and_then(lift_of).filter(|of| of.0 == month);
        let Some((_, purpose)) = of else { return true };
        match record.value.as_deref().map(Lift::unpack) {
            Some(Ok(lift)) => _ = latest.insert(purpose, groups(lift)),
            Some(Err(_)) => return false,
            None => _ = latest.remove(&purpose),
        }
        true
    })?;
    Ok((latest, damaged))
}

fn groups(lift: Lift) -> Groups {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Groups {
        treated: count(lift.treated),
        held_out: count(lift.held_out),
        converted_treated: count(lift.converted_treated),
        converted_held_out: count(lift.converted_held_out),
    }
}
