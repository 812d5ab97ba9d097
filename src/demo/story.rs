//! Three people whose consent the demo follows, one after the other, round and round.
//!
//! Each round is somebody new, so that nothing rests on what an earlier round left. Every line says
//! what was done or what was read back; a wait that is not fulfilled is told as such.

use std::time::{Duration, Instant};

use crate::workload::people::{decide_all, guardian};
use crate::workload::shop::{CATEGORIES, Visit};
use crate::workload::{Random, click_of};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::time::Timestamp;

/// How long a wait lasts before it is told that nothing came.
pub const PATIENCE: Duration = Duration::from_secs(10);

const OFFERS: &str = "personalized-offers";
const PARTNERS: &str = "partner-advertising";

/// What happens next.
pub enum Act {
    Say(&'static str),
    /// Write the record that this makes of the last one.
    Consent(fn(&mut ConsentRecord, Timestamp)),
    /// The same, and whatever is live of the person must end.
    OptOut(fn(&mut ConsentRecord, Timestamp)),
    /// The subject does something with this category's product: kind, category, product.
    Click(EventKind, usize, u64),
    /// The same from a browser that sends Sec-GPC: whatever is live for partners must end.
    ClickWithGpc(EventKind, usize, u64),
    /// The person asks to be forgotten.
    Erase,
    AwaitLive(&'static str),
    AwaitGone(&'static str),
    /// Nothing may be live for the purpose after this long.
    StaysGone(&'static str, Duration),
    Pause(Duration),
}

/// Somebody, and what is still to happen.
pub struct Story {
    pub name: &'static str,
    pub subject: String,
    pub record: ConsentRecord,
    acts: std::vec::IntoIter<Act>,
    /// The act at hand and since when.
    pub current: Option<(Act, Instant)>,
    random: Random,
    session: String,
}

impl Story {
    /// The story of this number; the first three are different.
    pub fn new(number: u64, now: Timestamp) -> Self {
        let (name, age_band, acts) = match number % 3 {
            0 => ("Maya", AgeBand::Under13, mother_opts_out()),
            1 => ("Noah", AgeBand::From13To15, browser_says_no()),
            _ => ("Grace", AgeBand::From18, asks_to_be_forgotten()),
        };
        let subject = format!("{}-{number}", name.to_lowercase());
        let mut random = Random::stream(number, 0);
        let session = format!("visit-{:016x}", random.next_u64());
        let record = ConsentRecord {
            subject_id: subject.clone(),
            version: 0,
            recorded_at: now,
            age_band,
            decisions: std::collections::BTreeMap::new(),
            guardian: None,
            double_opt_in_at: None,
            opt_out_signal_at: None,
            source: "preference-center".to_owned(),
            receipt_id: None,
        };
        Self { name, subject, record, acts: acts.into_iter(), current: None, random, session }
    }

    /// Goes on to the next act; false: the story is over.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.current = self.acts.next().map(|act| (act, now));
        self.current.is_some()
    }

    /// The record after this change, with its version counted on.
    pub fn decide(
        &mut self,
        change: fn(&mut ConsentRecord, Timestamp),
        now: Timestamp,
    ) -> &ConsentRecord {
        self.record.version += 1;
        self.record.recorded_at = now;
        change(&mut self.record, now);
        &self.record
    }

    pub fn click(
        &mut self,
        kind: EventKind,
        category: usize,
        product: u64,
        gpc: bool,
        now: Timestamp,
    ) -> ClickEvent {
        let visit = Visit::of_product(kind, &CATEGORIES[category], product);
        ClickEvent {
            subject_id: Some(self.subject.clone()),
            region: Some("US-CA".to_owned()),
            gpc: Some(gpc),
            ..click_of(visit, self.random.uuid(), self.session.clone(), now)
        }
    }
}

/// 0 is preschool-toys.
const PRESCHOOL: usize = 0;

fn mother_opts_out() -> Vec<Act> {
    use Act::{AwaitGone, AwaitLive, Click, Consent, OptOut, Pause, Say, StaysGone};
    use EventKind::ProductView;
    vec![
        Say("Rosa, a verified parent, allows offers for her child Maya (under 13)"),
        Consent(|record, now| {
            record.guardian = Some(guardian(now, false));
            grant(record, OFFERS, now);
        }),
        Pause(Duration::from_millis(500)),
        Say("Maya looks at three preschool toys"),
        Click(ProductView, PRESCHOOL, 1),
        Click(ProductView, PRESCHOOL, 2),
        Click(ProductView, PRESCHOOL, 3),
        AwaitLive(OFFERS),
        Pause(Duration::from_millis(1_500)),
        Say("Rosa opts out"),
        OptOut(withdraw),
        AwaitGone(OFFERS),
        Say("Maya looks at another toy"),
        Click(ProductView, PRESCHOOL, 4),
        StaysGone(OFFERS, Duration::from_secs(1)),
        Pause(Duration::from_secs(1)),
    ]
}

fn browser_says_no() -> Vec<Act> {
    use Act::{AwaitGone, AwaitLive, ClickWithGpc, Consent, Pause, Say};
    vec![
        Say("Noah (14) opts in to partner advertising and confirms it in a second step"),
        Consent(|record, now| {
            record.double_opt_in_at = Some(now);
            grant(record, PARTNERS, now);
        }),
        AwaitLive(PARTNERS),
        Pause(Duration::from_millis(1_500)),
        Say("Noah's new browser sends Global Privacy Control with a click"),
        ClickWithGpc(EventKind::PageView, PRESCHOOL, 0),
        AwaitGone(PARTNERS),
        Pause(Duration::from_secs(1)),
    ]
}

fn asks_to_be_forgotten() -> Vec<Act> {
    use Act::{AwaitGone, AwaitLive, Click, Consent, Erase, Pause, Say};
    vec![
        Say("Grace, an adult, allows offers"),
        Consent(|record, now| grant(record, OFFERS, now)),
        Pause(Duration::from_millis(500)),
        Say("Grace adds a building set to the cart"),
        Click(EventKind::AddToCart, 2, 1),
        AwaitLive(OFFERS),
        Pause(Duration::from_millis(1_500)),
        Say("Grace asks to be forgotten"),
        Erase,
        AwaitGone(OFFERS),
        Pause(Duration::from_secs(1)),
    ]
}

fn grant(record: &mut ConsentRecord, purpose: &str, now: Timestamp) {
    let decision = Decision {
        status: ConsentStatus::Granted,
        since: now,
        expires_at: None,
        notice_version: Some("2026-09".to_owned()),
    };
    record.decisions.insert(purpose.to_owned(), decision);
}

fn withdraw(record: &mut ConsentRecord, now: Timestamp) {
    decide_all(record, ConsentStatus::Withdrawn, record.version, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[test]
    fn every_story_ends_and_its_records_count_on() {
        for number in 0..3 {
            let mut story = Story::new(number, Timestamp(0));
            let mut versions = Vec::new();
            while story.advance(SystemClock.instant()) {
                if let Some((Act::Consent(change) | Act::OptOut(change), _)) = story.current {
                    versions.push(story.decide(change, Timestamp(1)).version);
                }
            }
            assert!(!versions.is_empty());
            assert!(versions.iter().copied().eq(1..=versions.len() as i64), "{versions:?}");
        }
    }
}
