//! The month of now, filled by people of an invented shop while two instances decide: what `report kpi` says of it,
//! the holdout among it, is counted once more here from the topics, by another way.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kpi::{Dice, Month, Recount, await_audited, this_month};
use super::{ADS, OFFERS, json, look_at, reported_shop};
use crate::support::{
    Plan, Service, Shop, consent, decode, holdout_number, latest, now_ms, pseudonym, view, with,
};

const PEOPLE: u64 = 420;
const HELD_OUT_PERCENT: u64 = 40;
const WITHIN_MS: i64 = 14 * 86_400_000;

/// They agree and look; some withdraw, refuse, or are erased, some agree again; then they look and buy, and some
/// browsers send a signal.
fn live_through(shop: &Shop<'_>) {
    let mut dice = Dice(3);
    let people: Vec<String> = (0..PEOPLE).map(|at| format!("guest-{at}")).collect();
    let record = |person: &str, version: i64, status: &str| {
        with(consent(person, version, status, &[OFFERS, ADS]), json!({"recorded_at": now_ms()}))
    };
    let bands = ["UNDER_13", "FROM_16_TO_17", "FROM_18", "FROM_18", "FROM_18", "FROM_18"];
    let first: Vec<Value> = people
        .iter()
        .map(|person| {
            let status =
                ["GRANTED", "GRANTED", "GRANTED", "GRANTED", "DENIED"][dice.below(5) as usize];
            let band = bands[dice.below(6) as usize];
            with(record(person, 1, status), json!({"age_band": band}))
        })
        .collect();
    shop.kafka.produce(first.iter().map(|record| shop.consent(record)));
    await_audited(shop, "CONSENT", first.len());
    let mut decided = 0;
    decided += click(shop, people.iter().filter(|_| dice.below(4) > 0), |_| json!({}));
    await_audited(shop, "CLICK", decided);

    let mut records = Vec::new();
    for (at, person) in people.iter().enumerate().filter(|(at, _)| at % 3 == 0) {
        let (version, way) = (2, dice.below(4));
        records.push(match way {
            0 => shop.consent(&record(person, version, "WITHDRAWN")),
            1 => shop.consent(&record(person, version, "DENIED")),
            2 if at % 2 == 0 => shop.erasure(person),
            _ => shop.consent(&record(person, version, "GRANTED")),
        });
    }
    let changed = records.len();
    shop.kafka.produce(records);
    await_audited(shop, "CONSENT", first.len() + changed);
    let again: Vec<&String> = people.iter().filter(|_| dice.below(9) == 0).collect();
    shop.kafka.produce(again.iter().map(|person| shop.consent(&record(person, 3, "GRANTED"))));
    await_audited(shop, "CONSENT", first.len() + changed + again.len());

    let buys = |dice: &mut Dice| {
        let kind = ["PRODUCT_VIEW", "PURCHASE", "PURCHASE"][dice.below(3) as usize];
        json!({"kind": kind, "gpc": dice.below(9) == 0})
    };
    for _ in 0..2 {
        let who: Vec<&String> = people.iter().filter(|_| dice.below(3) > 0).collect();
        decided += click(shop, who.into_iter(), |_| buys(&mut dice));
    }
    await_audited(shop, "CLICK", decided);
}

fn click<'p>(
    shop: &Shop<'_>,
    people: impl Iterator<Item = &'p String>,
    mut fields: impl FnMut(&str) -> Value,
) -> usize {
    let clicks: Vec<Value> = people.map(|person| with(view(person), fields(person))).collect();
    shop.kafka.produce(clicks.iter().map(|click| shop.click(click)));
    clicks.len()
}

fn is_held_out(subject: &str) -> bool {
    u128::from(holdout_number(OFFERS, subject)) * 100 < u128::from(HELD_OUT_PERCENT) << 64
}

/// Whoever looks once is in the segment from then on, until the gate withholds.
#[derive(Default)]
struct Groups {
    /// Treated and held out.
    came: [u64; 2],
    converted: [u64; 2],
}

fn recount(shop: &Shop<'_>) -> Groups {
    let mut keys: BTreeMap<(&str, i32, i64), (String, Value)> = BTreeMap::new();
    for (input, topic) in [("CLICK", "clickstream"), ("CONSENT", "consent-changelog")] {
        for record in shop.committed(topic) {
            let value = record.value.as_deref().filter(|_| input == "CLICK");
            let click = value.map_or(Value::Null, |value| decode("click_event", value));
            keys.insert(
                (input, record.partition, record.offset),
                (record.key_text().to_owned(), click),
            );
        }
    }
    let mut groups = Groups::default();
    for (partition, batches) in crate::audit::batches(shop) {
        // When they came, and whether they have converted.
        let mut inside: BTreeMap<String, (i64, bool)> = BTreeMap::new();
        for batch in &batches {
            let decided_at = batch["decided_at"].as_i64().unwrap();
            let purposes = batch["purposes"].as_array().unwrap();
            let place = purposes.iter().position(|it| it == OFFERS).unwrap();
            for entry in batch["entries"].as_array().unwrap() {
                let Some(offset) = entry["offset"].as_i64() else { continue };
                let input = if entry["input"] == "CLICK" { "CLICK" } else { "CONSENT" };
                let (subject, click) = &keys[&(input, partition, offset)];
                let Some(verdict) = entry["verdicts"].get(place) else { continue };
                let allows = ["OPT_IN", "GUARDIAN_OPT_IN", "NOT_OPTED_OUT"]
                    .contains(&verdict.as_str().unwrap());
                if input == "CONSENT" && !allows {
                    inside.remove(subject);
                }
                if input == "CONSENT" || !allows {
                    continue;
                }
                let group = usize::from(is_held_out(subject));
                let Some((since, has_converted)) = inside.get_mut(subject) else {
                    inside.insert(subject.clone(), (decided_at, false));
                    groups.came[group] += 1;
                    continue;
                };
                let t = click["occurred_at"].as_i64().unwrap().min(decided_at);
                let follows = t > *since && t < *since + WITHIN_MS;
                if click["kind"] == "PURCHASE" && follows && !*has_converted {
                    *has_converted = true;
                    groups.converted[group] += 1;
                }
            }
        }
    }
    groups
}

impl Groups {
    fn assert_is(&self, lift: &Value) {
        let names = ["treated", "held_out", "converted_treated", "converted_held_out"];
        let found = names.map(|name| lift[name].as_u64().unwrap());
        let expected = [self.came[0], self.came[1], self.converted[0], self.converted[1]];
        assert_eq!(found, expected, "{lift}");
        assert!(
            found[..2].iter().all(|count| *count >= 100)
                && found[2..].iter().all(|count| *count > 10),
            "{lift}"
        );
        let [treated, held_out, bought, bought_held_out] = expected.map(|count| count as f64);
        let quotient = (bought / treated) / (bought_held_out / held_out);
        let deviation =
            (1.0 / bought - 1.0 / treated + 1.0 / bought_held_out - 1.0 / held_out).sqrt();
        let bound = |sign: f64| (quotient.ln() + sign * 1.959_964 * deviation).exp() - 1.0;
        for (name, expected) in
            [("relative", quotient - 1.0), ("low", bound(-1.0)), ("high", bound(1.0))]
        {
            let found = lift[name].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-5, "{name}: {found}, not {expected}");
        }
    }
}

/// Nobody who is held out has a key; the others who stayed have one.
fn assert_nobody_held_out_is_live(shop: &Shop<'_>) {
    let live = latest(&shop.committed(&format!("segments.{OFFERS}")));
    let is_live = |subject: &str| live.contains_key(pseudonym(OFFERS, subject).as_bytes());
    let people: Vec<String> = (0..PEOPLE).map(|at| format!("guest-{at}")).collect();
    assert!(people.iter().filter(|it| is_held_out(it)).all(|it| !is_live(it)));
    assert!(people.iter().filter(|it| is_live(it)).count() > 100);
    let written = shop.committed(&format!("segments.{OFFERS}"));
    for subject in people.iter().filter(|it| is_held_out(it)) {
        let key = pseudonym(OFFERS, subject);
        assert!(
            written.iter().all(|record| record.key.as_deref() != Some(key.as_bytes())),
            "{subject}"
        );
    }
}

#[test]
fn a_month_with_a_holdout_is_as_the_topics_say() {
    let kafka = kafka_or_skip!();
    let lookers = Plan::of_lookers("1", 1);
    let measure = format!(
        "requires_opt_in: true, retention: 30d, measure: {{holdout: {HELD_OUT_PERCENT}%, of: PURCHASE, within: 14d}}}}"
    );
    let rulebook = lookers
        .rulebook
        .map(|it| it.replacen("requires_opt_in: true, retention: 30d}", &measure, 1));
    let shop = reported_shop(kafka, &Plan { rulebook, ..lookers });
    let month = this_month();
    let services = ["a", "b"].map(|instance| Service::start(&shop, instance));
    services.iter().for_each(Service::await_ready);
    live_through(&shop);
    services.into_iter().for_each(Service::stop);
    shop.run(&["audit", "query", "--limit", "1"]).ok();
    let complaints = format!(
        "date,kind,days_to_close\n{0}-01,sharing,4\n{0}-01,mail,\n{0}-01,mail,10\n1999-01-01,old,1\n",
        month.text
    );
    std::fs::write(shop.folder().join("complaints.csv"), complaints).unwrap();

    let of_month = ["kpi", "--month", &month.text, "--complaints", "complaints.csv"];
    let report = json(&shop, &of_month, 0);
    assert_is_of_topics(&shop, &month, &report);
    let complaints =
        json!({"count": 3, "by_kind": {"mail": 2, "sharing": 1}, "median_days_to_close": 7.0});
    assert_eq!(report["complaints"], complaints);
    assert_eq!(report["audit_queries"]["by_kind"]["QUERY"], 1);
    assert_nobody_held_out_is_live(&shop);
    let verified = shop.run(&["verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified:#}");

    let told = shop.run(&[&["--json", "report"], &of_month[..]].concat()).ok().stderr;
    assert!(told.contains("Conversions still come: the lift is final on"), "{told}");
    let page = shop.folder().join("kpi.html");
    shop.run(&[&["report"], &of_month[..], &["--html", page.to_str().unwrap()]].concat()).ok();
    look_at(&page);
}

fn assert_is_of_topics(shop: &Shop<'_>, month: &Month, report: &Value) {
    for purpose in [OFFERS, ADS] {
        Recount::of(shop, month, purpose).assert_is(report, purpose);
    }
    let lift = |purpose: &str| {
        let all = report["purposes"].as_array().unwrap().iter();
        all.filter(|it| it["purpose"] == purpose).map(|it| it["lift"].clone()).next().unwrap()
    };
    recount(shop).assert_is(&lift(OFFERS));
    assert_eq!(lift(ADS), Value::Null, "it is not measured");
}
