//! The month's figures: consent capture, opt-outs, lift, questions to the audit, complaints.

pub mod complaints;
mod document;
pub mod lift;
pub mod opt_outs;
pub mod people;

use std::collections::BTreeMap;

use serde::Serialize;

use self::complaints::Complaints;
use self::lift::{Lift, Measured};
use self::opt_outs::OptOuts;
use self::people::Captured;
use crate::numbers::Seconds;
use crate::period::Period;
use assent_contract::domain::audit::access::AuditCommand;
use assent_contract::domain::consent::AgeBand;
use assent_contract::domain::time::Timestamp;

/// Purposes that can be told apart here ([`crate::signals::Purposes`]).
pub const PURPOSES_MAX: usize = 128;

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Kpi {
    pub month: String,
    /// What of the month the data reach.
    pub from: Timestamp,
    pub to: Timestamp,
    pub purposes: Vec<OfPurpose>,
    pub audit_queries: AuditQueries,
    pub complaints: Option<Complaints>,
    /// What the numbers lack.
    #[serde(skip)]
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct OfPurpose {
    pub purpose: String,
    pub capture: Capture,
    pub opt_outs: Times,
    /// `None`: not measured, or of too few.
    pub lift: Option<Lift>,
    /// `None`: the rulebook holds nobody out.
    #[serde(skip)]
    pub measured: Option<Measured>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Capture {
    #[serde(flatten)]
    pub all: Of,
    pub by_age_band: BTreeMap<&'static str, Of>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Of {
    pub asked: u64,
    pub granted: u64,
    pub never_asked: u64,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Times {
    pub count: u64,
    pub median_s: Option<Seconds>,
    pub p99_s: Option<Seconds>,
    pub max_s: Option<Seconds>,
    pub within_15_business_days: u64,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct AuditQueries {
    pub count: u64,
    pub by_kind: BTreeMap<&'static str, u64>,
}

/// What is added up over the partitions.
pub struct Totals {
    purposes: Vec<String>,
    pub captured: Vec<BTreeMap<AgeBand, Captured>>,
    pub opt_outs: Vec<OptOuts>,
    pub queries: BTreeMap<AuditCommand, u64>,
    pub measured: Vec<Option<Measured>>,
}

impl Totals {
    pub fn of(purposes: Vec<String>) -> Self {
        let captured = vec![BTreeMap::new(); purposes.len()];
        let opt_outs = vec![OptOuts::default(); purposes.len()];
        let measured = vec![None; purposes.len()];
        Self { purposes, captured, opt_outs, queries: BTreeMap::new(), measured }
    }

    /// `reach`: what of the month the topics still hold.
    pub fn finish(
        self,
        month: String,
        reach: Period,
        complaints: Option<Complaints>,
        mut notes: Vec<String>,
    ) -> Kpi {
        let Self { purposes, captured, opt_outs, queries, measured } = self;
        notes.extend(untold(&opt_outs));
        let purposes = purposes.into_iter().zip(captured).zip(opt_outs).zip(measured);
        let purposes = purposes.map(|(((purpose, captured), opt_outs), measured)| OfPurpose {
            purpose,
            capture: capture(&captured),
            opt_outs: times(opt_outs),
            lift: measured.as_ref().and_then(Measured::lift),
            measured,
        });
        let of =
            |kind: AuditCommand| (kind.symbol(), queries.get(&kind).copied().unwrap_or_default());
        let by_kind = AuditCommand::ALL.map(of).into();
        Kpi {
            month,
            from: reach.from,
            to: reach.to,
            purposes: purposes.collect(),
            audit_queries: AuditQueries { count: queries.values().sum(), by_kind },
            complaints,
            notes,
        }
    }
}

fn capture(captured: &BTreeMap<AgeBand, Captured>) -> Capture {
    let of = |band: AgeBand| {
        let Captured { asked, granted, never_asked } =
            captured.get(&band).copied().unwrap_or_default();
        Of { asked, granted, never_asked }
    };
    let by_age_band: BTreeMap<&'static str, Of> =
        AgeBand::ALL.map(|band| (band.symbol(), of(band))).into();
    let all = by_age_band.values().fold(Of::default(), |all, it| Of {
        asked: all.asked + it.asked,
        granted: all.granted + it.granted,
        never_asked: all.never_asked + it.never_asked,
    });
    Capture { all, by_age_band }
}

fn times(mut opt_outs: OptOuts) -> Times {
    let found = opt_outs.quantiles();
    Times {
        count: opt_outs.count,
        median_s: found.map(|it| it.median),
        p99_s: found.map(|it| it.p99),
        max_s: found.map(|it| it.max),
        within_15_business_days: opt_outs.within_15_business_days,
    }
}

fn untold(opt_outs: &[OptOuts]) -> Vec<String> {
    let mut notes = Vec::new();
    let untimed: u64 = opt_outs.iter().map(|it| it.untimed).sum();
    if untimed > 0 {
        notes.push(format!(
            "{untimed} opt-outs are counted without a time: their record or click is not on its topic any more."
        ));
    }
    let unanswered: u64 = opt_outs.iter().map(|it| it.unanswered).sum();
    if unanswered > 0 {
        notes.push(format!(
            "{unanswered} opt-outs are counted without a time: they are not decided yet, or the part of the audit \
             that has their decision is gone."
        ));
    }
    notes
}
