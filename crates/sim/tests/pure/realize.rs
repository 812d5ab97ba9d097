//! Plans become moments, in order, and the moments become the edges that later ones cling to.
//!
//! The edges are the ends and beginnings of grants, windows, leases, signals, erasures and their
//! residue.

use std::collections::{BTreeMap, BTreeSet};

use assent_contract::domain::consent::{ConsentRecord, Decision, Guardian};
use assent_contract::domain::event::{Click, SignalSource};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Measure, Rulebook, compile};

use crate::histories::{Batch, Body, Consent, History, SUBJECTS};
use crate::plans::{BatchPlan, ClickPlan, DAY, HOUR, MINUTE, Op, RecordPlan, Step, When};
use crate::rulebooks::{AGE_RANGES, CATEGORIES, PRODUCTS, PURPOSES, REGIONS};

pub const SESSIONS: [&str; 2] = ["visit-1", "visit-2"];

struct Realizer {
    now: i64,
    lease: i64,
    windows: BTreeSet<i64>,
    edges: BTreeSet<i64>,
    records: BTreeMap<usize, ConsentRecord>,
    append_time: i64,
    next_click: i64,
    next_consent: i64,
}

pub fn realize(
    text: String,
    (lease, signals_max): (Span, usize),
    start: i64,
    plans: &[BatchPlan],
) -> History {
    let rulebook = compile(text.as_bytes()).unwrap_or_else(|errors| {
        panic!("the generator made a faulty rulebook: {errors:?}\n{text}")
    });
    let mut realizer = Realizer {
        now: start,
        lease: lease.0,
        windows: windows(&rulebook),
        edges: BTreeSet::new(),
        records: BTreeMap::new(),
        append_time: start,
        next_click: 7,
        next_consent: 3,
    };
    let batches = plans.iter().map(|plan| realizer.batch(plan)).collect();
    History { text, rulebook, lease, signals_max, batches }
}

fn windows(rulebook: &Rulebook) -> BTreeSet<i64> {
    let slots = rulebook.purposes.iter().flat_map(|purpose| &purpose.slots);
    let of_slots = slots.filter_map(|slot| match slot.measure {
        Measure::Count { within, .. }
        | Measure::Distinct { within, .. }
        | Measure::Sum { within, .. }
        | Measure::LastWithin { within } => Some(within.0),
        Measure::LastNotWithin { not_within } => Some(not_within.0),
        Measure::Region => None,
    });
    let retentions = rulebook.purposes.iter().map(|purpose| purpose.retention.0);
    of_slots.chain(retentions).collect()
}

impl Realizer {
    fn batch(&mut self, plan: &BatchPlan) -> Batch {
        let wall = self.step(&plan.step);
        self.edges.extend([self.now + self.lease / 2, self.now + self.lease]);
        let (mut consent, mut clicks) = (Vec::new(), Vec::new());
        for op in &plan.ops {
            let click = match op {
                Op::Click(plan) => Some(self.click(plan)),
                Op::BadClick => None,
                other => {
                    consent.push(self.consent(other));
                    continue;
                }
            };
            clicks.push((self.next_click, click));
            self.next_click += 1;
        }
        // Now and then the tail is control records.
        self.next_click += self.now % 2;
        let (click_to, consent_to) = (self.next_click, self.next_consent);
        let (gate_open, is_restart) = (plan.gate_open, plan.is_restart);
        Batch { wall, gate_open, is_restart, consent, clicks, click_to, consent_to }
    }

    fn step(&mut self, step: &Step) -> Timestamp {
        match step {
            Step::Forward(by) => self.now += by,
            Step::Back(by) => return Timestamp(self.now - by),
            Step::Edge(at, nudge) => {
                let ahead = self.edges.range(self.now + 1..).take(at + 1).last();
                self.now = ahead.map_or(self.now, |edge| (edge + nudge).max(self.now));
            }
        }
        Timestamp(self.now)
    }

    fn when(&self, when: &When) -> Timestamp {
        match when {
            When::By(by) => Timestamp(self.now + by),
            When::Edge(at, nudge) => {
                let mut near: Vec<i64> = self.edges.iter().copied().collect();
                near.sort_by_key(|edge| (edge - self.now).abs());
                let edge = near.get(at % near.len().max(1));
                Timestamp(edge.map_or(self.now, |edge| edge + nudge))
            }
        }
    }

    fn maybe_when(&self, when: Option<&When>) -> Option<Timestamp> {
        when.map(|when| self.when(when))
    }

    fn click(&mut self, plan: &ClickPlan) -> Click<'static> {
        let occurred_at = self.when(&plan.at);
        let t = occurred_at.0.min(self.now);
        for window in &self.windows {
            let starts = [t.div_euclid(1_000) * 1_000, t.div_euclid(HOUR) * HOUR];
            self.edges.extend(starts.map(|start| start + window));
        }
        if plan.signal {
            let binding = (t / MINUTE + 1) * MINUTE;
            self.edges.extend([binding, binding + 731 * DAY]);
        }
        let pick = |pool: &[&'static str], at: usize| pool.get(at).copied();
        Click {
            subject_id: plan.subject.map(|at| SUBJECTS[at]),
            session_id: SESSIONS[plan.session],
            occurred_at,
            kind: plan.kind,
            category: pick(&CATEGORIES, plan.fields[0]),
            product_id: pick(&PRODUCTS, plan.fields[1]),
            product_age_range: pick(&AGE_RANGES, plan.fields[2]),
            value_cents: plan.cents,
            region: pick(&REGIONS, plan.fields[3]),
            gpc: plan.signal.then_some(true),
            opt_out_signal: plan.signal.then_some(SignalSource::Gpc),
        }
    }

    fn consent(&mut self, op: &Op) -> Consent {
        // The broker's clock runs a little late, and now and then ahead.
        let skew = if self.next_consent % 5 == 0 { 50 } else { -40 };
        self.append_time = self.append_time.max(self.now + skew);
        let (subject, body) = match op {
            Op::Record(subject, plan) => (*subject, Body::Record(self.record(*subject, plan))),
            Op::Again(subject) => {
                let last = self.records.get(subject).cloned();
                (*subject, last.map_or(Body::Heartbeat, Body::Record))
            }
            Op::Erasure(subject) => {
                self.edges.extend([self.append_time, self.append_time + 731 * DAY]);
                (*subject, Body::Erasure)
            }
            Op::Unreadable(subject) => (*subject, Body::Unreadable),
            Op::DeadLettered => (0, Body::DeadLettered),
            _ => (0, Body::Heartbeat),
        };
        let offset = self.next_consent;
        self.next_consent += 1;
        let append_time = Timestamp(self.append_time);
        Consent { offset, append_time, subject: SUBJECTS[subject], body }
    }

    fn record(&mut self, subject: usize, plan: &RecordPlan) -> ConsentRecord {
        let version = self.records.get(&subject).map_or(5, |last| last.version) + plan.version;
        let guardian = plan.guardian.as_ref().map(|(verified_at, flags)| Guardian {
            verified_at: self.when(verified_at),
            method: None,
            coppa_consent: flags[0],
            coppa_disclosure: flags[1],
            ccpa_authorization: flags[2],
        });
        let record = ConsentRecord {
            subject_id: SUBJECTS[subject].to_owned(),
            version,
            recorded_at: self.when(&plan.recorded),
            age_band: plan.age_band,
            decisions: self.decisions(plan),
            guardian,
            double_opt_in_at: self.maybe_when(plan.second_step.as_ref()),
            opt_out_signal_at: self.maybe_when(plan.signal.as_ref()),
            source: "cmp".to_owned(),
            receipt_id: None,
        };
        let times = record.decisions.values().flat_map(|it| [Some(it.since), it.expires_at]);
        let verified_at = record.guardian.as_ref().map(|it| it.verified_at);
        self.edges.extend(times.chain([verified_at]).flatten().map(|time| time.0));
        self.records.insert(subject, record.clone());
        record
    }

    fn decisions(&self, plan: &RecordPlan) -> BTreeMap<String, Decision> {
        let named = PURPOSES.iter().zip(&plan.decisions);
        let decided = named.filter_map(|(id, decision)| Some((id, decision.as_ref()?)));
        let decision = |(id, (status, since, end)): (&&str, &(_, When, Option<When>))| {
            let (since, expires_at) = (self.when(since), self.maybe_when(end.as_ref()));
            let decision = Decision { status: *status, since, expires_at, notice_version: None };
            ((*id).to_owned(), decision)
        };
        decided.map(decision).collect()
    }
}
