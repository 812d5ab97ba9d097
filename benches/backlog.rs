//! Writes the second workload of `scripts/bench`: a shop that works off six days of clicks.
//!
//! 100,000 subjects by default: 80 % granted everything, 10 % denied it, 10 % have no record. Clicks in Zipf's
//! order with exponent 0.8, 146 bytes a value on average, at times spread evenly over the six days before now;
//! 45 % PRODUCT_VIEW (half of them in one of two counted categories), 25 % PAGE_VIEW, 15 % ADD_TO_CART, 10 %
//! PURCHASE, 5 % SEARCH. Each click carries Sec-GPC with a chance of 1 %, whoever it is of, so that a busy
//! subject is soon bound. The rulebook beside it is benches/backlog.yaml.
//!
//! `backlog CONFIG CLICKS SUBJECTS` writes to the input topics of that configuration, and prints
//! `{"consent", "clicks", "seconds", "value_bytes"}`.

use std::collections::BTreeMap;
use std::path::Path;

use assent::clock::{Clock, SystemClock};
use assent::config::Config;
use assent::failure::Result;
use assent::kafka::inputs::InputWriter;
use assent::workload::Random;
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::click_body;

const SEED: u64 = 1;
const PURPOSES: [&str; 2] = ["personalized-offers", "partner-advertising"];
const ZIPF_EXPONENT: f64 = 0.8;
const DAYS: Span = Span(6 * 86_400_000);

/// Every click was made after this: grants reach back to before the first one.
const GRANTED_BEFORE: Span = Span(8 * 86_400_000);

const KINDS: [(EventKind, u64); 5] = [
    (EventKind::ProductView, 45),
    (EventKind::PageView, 25),
    (EventKind::AddToCart, 15),
    (EventKind::Purchase, 10),
    (EventKind::Search, 5),
];
const COUNTED: [&str; 2] = ["board-games", "building-sets"];
const OTHERS: [&str; 4] = ["baby-care", "books", "outdoor-toys", "school-supplies"];
const PRODUCTS: u64 = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` and `cargo bench` start every bench: without arguments, nothing.
    let [config, clicks, subjects] = arguments.as_slice() else { return };
    let clicks = clicks.parse().expect("CLICKS is a number");
    let subjects = subjects.parse().expect("SUBJECTS is a number");
    let config =
        assent::config::load(Some(Path::new(config)), &BTreeMap::new()).expect("a configuration");
    if let Err(failure) = write(&config, clicks, subjects) {
        eprintln!("backlog: {}", failure.message);
        std::process::exit(1);
    }
}

fn write(config: &Config, clicks: u64, subjects: u64) -> Result<()> {
    let (writer, started, now) =
        (InputWriter::open(config)?, SystemClock.instant(), SystemClock.now());
    let mut consent = 0;
    for record in (0..subjects).filter_map(|subject| record_of(subject, now)) {
        writer.send_consent(&record)?;
        consent += 1;
    }
    writer.flush()?;
    let mut backlog = Backlog::new(clicks, subjects, now);
    for at in 0..clicks {
        let click = backlog.click(at);
        backlog.value_bytes += click_body(&click).len() as u64;
        writer.send_click(&click)?;
    }
    writer.flush()?;
    println!(
        "{{\"consent\": {consent}, \"clicks\": {clicks}, \"seconds\": {:.1}, \"value_bytes\": {:.1}}}",
        started.elapsed().as_secs_f64(),
        backlog.value_bytes as f64 / clicks.max(1) as f64
    );
    Ok(())
}

/// `None`: nobody knows this subject.
fn record_of(subject: u64, now: Timestamp) -> Option<ConsentRecord> {
    let status = match subject % 10 {
        0 => return None,
        1 => ConsentStatus::Denied,
        _ => ConsentStatus::Granted,
    };
    let since = now - GRANTED_BEFORE;
    let decision = Decision { status, since, expires_at: None, notice_version: None };
    let decisions: BTreeMap<String, Decision> =
        PURPOSES.map(|purpose| (purpose.to_owned(), decision.clone())).into();
    Some(ConsentRecord {
        subject_id: subject_id(subject),
        version: 1,
        recorded_at: since,
        age_band: AgeBand::From18,
        decisions,
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: "preference-center".to_owned(),
        receipt_id: None,
    })
}

fn subject_id(subject: u64) -> String {
    format!("household-{subject:08}")
}

struct Backlog {
    random: Random,
    /// By rank: the share of the clicks of all up to it.
    up_to: Vec<f64>,
    clicks: u64,
    now: Timestamp,
    value_bytes: u64,
}

impl Backlog {
    fn new(clicks: u64, subjects: u64, now: Timestamp) -> Self {
        let mut sum = 0.0;
        let weights = (1..=subjects).map(|rank| {
            sum += (rank as f64).powf(-ZIPF_EXPONENT);
            sum
        });
        let mut up_to: Vec<f64> = weights.collect();
        for share in &mut up_to {
            *share /= sum;
        }
        Self { random: Random::new(SEED), up_to, clicks, now, value_bytes: 0 }
    }

    fn click(&mut self, at: u64) -> ClickEvent {
        let share = self.random.next_u64() as f64 / u64::MAX as f64;
        let subject = self.up_to.partition_point(|it| *it < share).min(self.up_to.len() - 1);
        let kind = *self.random.weighted(&KINDS);
        let is_counted = self.random.chance(500);
        let category =
            *if is_counted { self.random.pick(&COUNTED) } else { self.random.pick(&OTHERS) };
        let has_category = kind != EventKind::Search;
        let is_product = has_category && kind != EventKind::PageView;
        let back = DAYS.0 - (DAYS.0 as f64 * at as f64 / self.clicks as f64) as i64;
        ClickEvent {
            event_id: self.random.uuid(),
            subject_id: Some(subject_id(subject as u64)),
            session_id: format!("session-{:016x}", self.random.next_u64()),
            occurred_at: self.now - Span(back),
            kind,
            category: has_category.then(|| category.to_owned()),
            product_id: is_product
                .then(|| format!("{category}-{:05}", self.random.below(PRODUCTS))),
            product_age_range: is_product.then(|| "6-8".to_owned()),
            value_cents: is_product.then(|| 500 + self.random.below(9_500) as i64),
            region: Some("US-CA".to_owned()),
            gpc: Some(self.random.chance(10)),
            gpp: None,
        }
    }
}
