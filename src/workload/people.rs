//! The families of the workload: who they are and what they decide. A subject is a number; all of
//! its traits follow from the seed and that number.

use super::random::Random;
use super::shop::{CATEGORIES, REGIONS};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent_contract::domain::time::{Span, Timestamp};

/// Weighted: a family shop whose profiles are mostly parents' and children's.
const AGE_BANDS: [(AgeBand, u64); 5] = [
    (AgeBand::Under13, 30),
    (AgeBand::From18, 45),
    (AgeBand::From13To15, 10),
    (AgeBand::From16To17, 8),
    (AgeBand::Unknown, 7),
];

/// What those who don't grant say instead, weighted.
const REFUSALS: [(ConsentStatus, u64); 3] =
    [(ConsentStatus::Denied, 6), (ConsentStatus::NotAsked, 3), (ConsentStatus::Withdrawn, 1)];

/// How long grants have stood when the workload begins: every click of it comes later.
const GRANTED_BEFORE: Span = Span::MINUTE;

/// How much of the workload's people agree, in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    pub granted: u64,
    pub gpc: u64,
}

/// What does not change about a subject.
#[derive(Clone, Debug)]
pub struct Person {
    pub age_band: AgeBand,
    /// Index into [`CATEGORIES`].
    pub favorite: usize,
    pub region: &'static str,
    /// Their browser sends Sec-GPC.
    pub sends_gpc: bool,
    decides: Random,
}

/// The subject's raw identifier, as a shop would have it.
pub fn subject_id(subject: u64) -> String {
    format!("family-{subject:06}")
}

impl Person {
    pub fn new(seed: u64, subject: u64, shares: Shares) -> Self {
        let mut random = Random::stream(seed, subject);
        Self {
            age_band: *random.weighted(&AGE_BANDS),
            favorite: random.below(CATEGORIES.len() as u64) as usize,
            region: *random.weighted(&REGIONS),
            sends_gpc: random.chance(shares.gpc),
            decides: random,
        }
    }

    /// What this person decided before the workload begins.
    pub fn first_record(
        &self,
        subject: u64,
        purposes: &[String],
        shares: Shares,
        version: i64,
        now: Timestamp,
    ) -> ConsentRecord {
        let mut random = self.decides.clone();
        let since = now - GRANTED_BEFORE;
        let decisions = purposes
            .iter()
            .map(|purpose| (purpose.clone(), first_decision(&mut random, shares, since)))
            .collect();
        let mut record = ConsentRecord {
            subject_id: subject_id(subject),
            version,
            recorded_at: since,
            age_band: self.age_band,
            decisions,
            guardian: None,
            double_opt_in_at: None,
            opt_out_signal_at: None,
            source: "preference-center".to_owned(),
            receipt_id: Some(random.uuid()),
        };
        if has_grant(&record) {
            self.confirm(&mut random, &mut record, since);
        }
        record
    }

    /// The second step of an opt-in, or the guardian's, most of the time.
    fn confirm(&self, random: &mut Random, record: &mut ConsentRecord, at: Timestamp) {
        match self.age_band {
            AgeBand::Under13 | AgeBand::Unknown => {
                let with_partners = random.chance(700);
                record.guardian = random.chance(900).then(|| guardian(at, with_partners));
            }
            AgeBand::From13To15 => record.double_opt_in_at = random.chance(800).then_some(at),
            AgeBand::From16To17 | AgeBand::From18 => {}
        }
    }
}

fn first_decision(random: &mut Random, shares: Shares, since: Timestamp) -> Decision {
    let status = if random.chance(shares.granted) {
        ConsentStatus::Granted
    } else {
        *random.weighted(&REFUSALS)
    };
    Decision { status, since, expires_at: None, notice_version: Some("2026-09".to_owned()) }
}

/// A verified parent who allows collection and use, and what goes to partners or not.
pub fn guardian(verified_at: Timestamp, with_partners: bool) -> Guardian {
    Guardian {
        verified_at,
        method: Some("payment-card".to_owned()),
        coppa_consent: true,
        coppa_disclosure: with_partners,
        ccpa_authorization: with_partners,
    }
}

pub fn has_grant(record: &ConsentRecord) -> bool {
    record.decisions.values().any(|decision| decision.status == ConsentStatus::Granted)
}

/// Everything to one status, since this moment; a grant also confirms anew.
pub fn decide_all(record: &mut ConsentRecord, status: ConsentStatus, version: i64, at: Timestamp) {
    record.version = version;
    record.recorded_at = at;
    for decision in record.decisions.values_mut() {
        *decision = Decision { status, since: at, ..decision.clone() };
    }
    if status == ConsentStatus::Granted {
        match record.age_band {
            AgeBand::Under13 | AgeBand::Unknown => record.guardian = Some(guardian(at, true)),
            AgeBand::From13To15 => record.double_opt_in_at = Some(at),
            AgeBand::From16To17 | AgeBand::From18 => {}
        }
    }
}
