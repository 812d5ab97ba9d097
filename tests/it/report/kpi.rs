//! `report kpi`: a month that people of an invented shop went through, counted once more here from the topics, by
//! another way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::{ADS, DAY_MS, OFFERS, json, look_at, refused, reported_shop};
use crate::support::{
    Plan, Service, Shop, consent, decode, now_ms, pseudonym_bytes, view, wait_until, with,
};

const BANDS: [&str; 5] = ["UNKNOWN", "UNDER_13", "FROM_13_TO_15", "FROM_16_TO_17", "FROM_18"];
const STATUSES: [&str; 4] = ["NOT_ASKED", "GRANTED", "DENIED", "WITHDRAWN"];
const PEOPLE: u64 = 60;

/// The month before that of now, from its first to before its last millisecond.
pub struct Month {
    pub text: String,
    pub from: i64,
    pub to: i64,
}

/// The month of now.
pub fn this_month() -> Month {
    let is_first = |day: i64| civil(day).2 == 1;
    let today = now_ms() / DAY_MS;
    let from = (0..31).map(|back| today - back).find(|day| is_first(*day)).unwrap();
    let to = (1..32).map(|on| today + on).find(|day| is_first(*day)).unwrap();
    let (year, month, _) = civil(from);
    Month { text: format!("{year}-{month:02}"), from: from * DAY_MS, to: to * DAY_MS }
}

fn last_month() -> Month {
    let is_first = |day: i64| civil(day).2 == 1;
    let today = now_ms() / DAY_MS;
    let to = (0..31).map(|back| today - back).find(|day| is_first(*day)).unwrap();
    let from = (1..32).map(|back| to - back).find(|day| is_first(*day)).unwrap();
    let (year, month, _) = civil(from);
    Month { text: format!("{year}-{month:02}"), from: from * DAY_MS, to: to * DAY_MS }
}

/// Counts the years and months up: slow, and nobody else's.
fn civil(day: i64) -> (i64, i64, i64) {
    let (mut year, mut left) = (1970, day);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    (year, month as i64 + 1, left + 1)
}

/// Numbers that look drawn, the same in each run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What they decided in the course of the month, and some after it; then clicks, a third of them with a signal.
fn live_through(shop: &Shop<'_>, month: &Month) {
    let mut dice = Dice(7);
    let length = (month.to - month.from) as u64;
    let mut records = Vec::new();
    for person in 0..PEOPLE {
        let mut at = month.from - DAY_MS + dice.below(length / 3) as i64;
        let band = BANDS[dice.below(5) as usize];
        for version in 1..=1 + dice.below(4) as i64 {
            let mut record =
                consent(&format!("person-{person}"), version, "DENIED", &[OFFERS, ADS]);
            for purpose in [OFFERS, ADS] {
                record["decisions"][purpose]["status"] = STATUSES[dice.below(4) as usize].into();
                record["decisions"][purpose]["since"] = at.into();
            }
            record["age_band"] = band.into();
            record["recorded_at"] = at.into();
            records.push(record);
            at += DAY_MS + dice.below(length / 2) as i64;
        }
    }
    shop.kafka.produce(records.iter().map(|record| shop.consent(record)));
    shop.kafka.produce([shop.erasure("person-3"), shop.erasure("nobody-was-here")]);
    await_audited(shop, "CONSENT", records.len() + 2);
    let clicks: Vec<Value> = (0..3 * PEOPLE)
        .map(|click| {
            let gpc = dice.below(3) == 0;
            let occurred_at = month.from + dice.below(length) as i64;
            // Some are of people without a record.
            let subject = format!("person-{}", click % (PEOPLE + 9));
            with(view(&subject), json!({"gpc": gpc, "occurred_at": occurred_at}))
        })
        .collect();
    shop.kafka.produce(clicks.iter().map(|click| shop.click(click)));
    await_audited(shop, "CLICK", clicks.len());
}

pub fn await_audited(shop: &Shop<'_>, input: &str, count: usize) {
    wait_until(Duration::from_mins(1), "the audit to have it all", || {
        let batches = crate::audit::batches(shop).into_values().flatten();
        let found = batches.flat_map(|it| it["entries"].as_array().unwrap().clone());
        (found.filter(|it| it["input"] == input).count() >= count).then_some(())
    });
}

#[derive(Default)]
pub struct Counted {
    capture: BTreeMap<String, [u64; 3]>,
    took_ms: Vec<i64>,
    in_time: u64,
}

/// Once more, from the bytes on the topics.
pub struct Recount {
    month: (i64, i64),
    purpose: &'static str,
    /// When the audit decided (partition, offset) of consent, and of clicks.
    consent: BTreeMap<(i32, i64), (i64, String)>,
    clicks: BTreeMap<(i32, i64), i64>,
}

impl Recount {
    pub fn of(shop: &Shop<'_>, month: &Month, purpose: &'static str) -> Counted {
        let mut it = Self {
            month: (month.from, month.to),
            purpose,
            consent: BTreeMap::new(),
            clicks: BTreeMap::new(),
        };
        for (partition, batches) in crate::audit::batches(shop) {
            for batch in &batches {
                let decided_at = batch["decided_at"].as_i64().unwrap();
                for entry in batch["entries"].as_array().unwrap() {
                    let Some(offset) = entry["offset"].as_i64() else { continue };
                    let outcome = entry["outcome"].as_str().unwrap().to_owned();
                    if entry["input"] == "CONSENT" {
                        it.consent.insert((partition, offset), (decided_at, outcome));
                    } else {
                        it.clicks.insert((partition, offset), decided_at);
                    }
                }
            }
        }
        it.count(shop)
    }

    fn count(&self, shop: &Shop<'_>) -> Counted {
        let mut counted = Counted::default();
        let mut standing: BTreeMap<String, (String, i64)> = BTreeMap::new();
        let mut at_end: BTreeMap<String, (String, String)> = BTreeMap::new();
        for record in shop.committed("consent-changelog") {
            let subject = record.key_text().to_owned();
            let Some(value) = &record.value else {
                standing.remove(&subject);
                if record.timestamp < self.month.1 {
                    at_end.remove(&subject);
                }
                continue;
            };
            let datum = decode("consent_record", value);
            let decision = &datum["decisions"][self.purpose];
            let status = decision["status"].as_str().unwrap().to_owned();
            let since = decision["since"].as_i64().unwrap();
            let before = standing.insert(subject.clone(), (status.clone(), since)).map(|it| it.0);
            let recorded_at = datum["recorded_at"].as_i64().unwrap();
            if recorded_at < self.month.1 {
                let band = datum["age_band"].as_str().unwrap().to_owned();
                at_end.insert(subject, (band, status.clone()));
            }
            let is_opt_out = match status.as_str() {
                "WITHDRAWN" => before.as_deref() != Some("WITHDRAWN"),
                "DENIED" => before.as_deref() == Some("GRANTED"),
                _ => false,
            };
            if is_opt_out && (self.month.0..self.month.1).contains(&recorded_at) {
                let (decided_at, outcome) = &self.consent[&(record.partition, record.offset)];
                assert_eq!(outcome, "APPLIED");
                counted.note(recorded_at, *decided_at);
            }
        }
        for (band, status) in at_end.into_values() {
            let of_band = counted.capture.entry(band).or_default();
            of_band[0] += u64::from(status != "NOT_ASKED");
            of_band[1] += u64::from(status == "GRANTED");
            of_band[2] += u64::from(status == "NOT_ASKED");
        }
        if self.purpose == ADS {
            self.count_signals(shop, &standing, &mut counted);
        }
        counted
    }

    /// All consent was decided before the first click. A signal that is older than an agreement in both steps was
    /// lifted by it (11 CCR 7028(a)); the second step of everybody here is a minute old.
    fn count_signals(
        &self,
        shop: &Shop<'_>,
        standing: &BTreeMap<String, (String, i64)>,
        counted: &mut Counted,
    ) {
        const MINUTE_MS: i64 = 60_000;
        let mut bound: BTreeMap<String, i64> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for record in shop.committed("clickstream") {
            let click = decode("click_event", record.value.as_deref().unwrap());
            if click["gpc"] != true {
                continue;
            }
            let subject = record.key_text().to_owned();
            let occurred_at = click["occurred_at"].as_i64().unwrap();
            let to_the_minute = (occurred_at + MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS;
            let binds_from = bound.entry(subject.clone()).or_default();
            *binds_from = to_the_minute.max(*binds_from);
            let is_ended = match standing.get(&subject) {
                Some((status, since)) if status == "GRANTED" => since <= binds_from,
                Some((status, _)) => status == "NOT_ASKED",
                None => true,
            };
            if is_ended && ended.insert(subject) {
                counted.note(occurred_at, self.clicks[&(record.partition, record.offset)]);
            }
        }
    }
}

impl Counted {
    fn note(&mut self, from: i64, to: i64) {
        self.took_ms.push(to - from);
        let mut day = from / DAY_MS;
        let mut business_days = 0;
        while business_days < 15 {
            day += 1;
            business_days += i32::from(!matches!((day + 4) % 7, 0 | 6)); // 0: Sunday
        }
        self.in_time += u64::from(to < (day + 1) * DAY_MS);
    }

    /// But for the lift.
    pub fn assert_is(&mut self, report: &Value, purpose: &str) {
        let of = report["purposes"].as_array().unwrap().iter().find(|it| it["purpose"] == purpose);
        let of = of.unwrap();
        let mut all = [0; 3];
        for band in BANDS {
            let expected = self.capture.get(band).copied().unwrap_or_default();
            let found = &of["capture"]["by_age_band"][band];
            let found = ["asked", "granted", "never_asked"].map(|it| found[it].as_u64().unwrap());
            assert_eq!(found, expected, "{purpose} {band}");
            for at in 0..3 {
                all[at] += expected[at];
            }
        }
        let found =
            ["asked", "granted", "never_asked"].map(|it| of["capture"][it].as_u64().unwrap());
        assert_eq!(found, all, "{purpose}");
        self.took_ms.sort_unstable();
        let count = self.took_ms.len();
        assert!(count > 10, "{purpose}: the month is worth counting");
        let opt_outs = &of["opt_outs"];
        assert_eq!(opt_outs["count"], count as u64, "{purpose}: {opt_outs}");
        assert_eq!(opt_outs["within_15_business_days"], self.in_time, "{purpose}");
        let middle = (self.took_ms[(count - 1) / 2] + self.took_ms[count / 2]) as f64 / 2_000.0;
        let p99 = self.took_ms[(count as f64 * 0.99).ceil() as usize - 1] as f64 / 1_000.0;
        let worst = self.took_ms[count - 1] as f64 / 1_000.0;
        for (name, expected) in [("median_s", middle), ("p99_s", p99), ("max_s", worst)] {
            let found = opt_outs[name].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-6, "{purpose} {name}: {found}, not {expected}");
        }
    }
}

#[test]
fn a_months_figures_are_those_that_the_topics_give() {
    let kafka = kafka_or_skip!();
    let lookers = Plan::of_lookers("1", 1);
    // So that no click of the month is too late, on whatever day this runs.
    let rulebook = lookers.rulebook.map(|it| it.replace("retention: 30d", "retention: 90d"));
    let shop = reported_shop(kafka, &Plan { rulebook, ..lookers });
    let month = last_month();
    let service = Service::start(&shop, "a");
    service.await_ready();
    live_through(&shop, &month);
    let asks = ["audit", "query", "--limit", "1"];
    for _ in 0..3 {
        shop.run(&asks).ok();
    }
    shop.run(&["audit", "affected", "--from", "2020-01-01T00:00:00Z", "--to", "now"]).ok();
    let complaints = format!(
        "date,kind,days_to_close\n{0}-01,sharing,4\n{0}-28,\"ads, and \"\"more\"\"\",\n1999-01-01,old,1\n",
        month.text
    );
    std::fs::write(shop.folder().join("complaints.csv"), complaints).unwrap();
    service.stop();

    let of_month = ["kpi", "--month", &month.text, "--complaints", "complaints.csv"];
    let report = json(&shop, &of_month, 0);
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["month", "from", "to", "purposes", "audit_queries", "complaints"]);
    assert_eq!((&report["from"], &report["to"]), (&json!(month.from), &json!(month.to)));
    for purpose in [OFFERS, ADS] {
        Recount::of(&shop, &month, purpose).assert_is(&report, purpose);
    }
    assert!(report["purposes"].as_array().unwrap().iter().all(|it| it["lift"].is_null()));
    let complaints = json!({"count": 2, "by_kind": {"ads, and \"more\"": 1, "sharing": 1}, "median_days_to_close": 4.0});
    assert_eq!(report["complaints"], complaints);
    assert_eq!(report["audit_queries"]["count"], 0, "they were asked now");

    let (year, this_month, _) = civil(now_ms() / DAY_MS);
    let now = json(&shop, &["kpi", "--month", &format!("{year}-{this_month:02}")], 0);
    assert_eq!(now["audit_queries"]["by_kind"]["QUERY"], 3);
    assert_eq!((&now["audit_queries"]["count"], &now["complaints"]), (&json!(4), &Value::Null));
    assert!(now["to"].as_i64() <= Some(now_ms()), "the month is not over");

    what_is_gone_is_said(&shop, &month);
    let page = shop.folder().join("kpi.html");
    shop.run(&[&["report"], &of_month[..], &["--html", page.to_str().unwrap()]].concat()).ok();
    look_at(&page);
}

/// The first part of the audit is removed, as its retention would.
fn what_is_gone_is_said(shop: &Shop<'_>, month: &Month) {
    let audit = shop.topic("segmentation-audit");
    let below = shop.kafka.ends(&audit).into_iter().map(|(partition, end)| (partition, end.min(2)));
    shop.kafka.delete_records(&audit, &below.collect());
    let told = shop.run(&["report", "kpi", "--month", &month.text, "--json"]).ok();
    assert!(told.stderr.contains("The audit reaches back to"), "{}", told.stderr);
    assert!(told.json()["from"].as_i64() > Some(month.from));
    let text = shop.run(&["report", "kpi", "--month", &month.text]).ok().stdout;
    assert!(text.contains("- The audit reaches back to"), "{text}");
}

#[test]
fn what_is_wrong_with_an_option_or_a_file_is_one_message() {
    let kafka = kafka_or_skip!();
    let shop = reported_shop(kafka, &Plan::of_lookers("1", 1));
    let bad = "date,kind,days_to_close\n2026-11-02,sharing,4\n2026-11-31,sharing,4\n";
    std::fs::write(shop.folder().join("bad.csv"), bad).unwrap();
    for (arguments, code, says) in [
        (&["--month", "2026-13"][..], 64, "--month 2026-13: not a month"),
        (&["--month", "november"], 64, "--month november: not a month"),
        (
            &["--month", "2026-11", "--complaints", "bad.csv"],
            65,
            "bad.csv: line 3: the date must be",
        ),
        (&["--month", "2026-11", "--complaints", "no.csv"], 65, "no.csv: can't be read"),
    ] {
        refused(&shop.run(&[&["report", "kpi"], arguments].concat()), code, says);
    }
    // No id and no token of anybody is in a report.
    let subject = "somebody-of-this-shop";
    kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &[OFFERS]))]);
    let text = shop.run(&["report", "kpi", "--month", "2026-11"]).ok().stdout;
    assert!(
        !text.contains(subject)
            && !text.contains(&crate::audit::hex(&pseudonym_bytes("audit", subject)))
    );
}
