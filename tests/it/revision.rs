//! A new rulebook with a rolling restart of two instances under load: what it ends goes with its
//! reason, what it leaves alone keeps its counters, in bounded transactions
//! (docs/contract/rulebook.md#a-change-of-rulebook; INV-4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::audit::{self, Audit};
use crate::support::{Plan, Service, Shop, consent, latest, pseudonym, view, wait_until, with};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(90);
const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";
const NEWS: &str = "newsletter";
const PURPOSES: [&str; 3] = [ADS, NEWS, OFFERS];

/// Most subjects that one batch of a sweep revises; each has two live keys here at most.
const SWEPT_PER_BATCH_MAX: usize = 1_000;

const FIRST: &str = "
rulebook: revision-1
default_segment: everybody
purposes:
  - {id: personalized-offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
  - {id: partner-advertising, title: Advertising, sale_or_share: true, requires_opt_in: true, retention: 30d, suspended: false}
  - {id: newsletter, title: Letters, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: lookers, title: Lookers, why: Offers, owner: o@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 3}}}
  - {id: seekers, title: Seekers, why: Offers, owner: o@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: SEARCH, within: 7d, at_least: 1}}}
  - {id: shown, title: Shown, why: Ads, owner: o@shop.example, approach: behavioral, purpose: partner-advertising,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}
  - {id: readers, title: Readers, why: Letters, owner: o@shop.example, approach: behavioral, purpose: newsletter,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}
";

/// Without the seekers and the newsletter; advertising is suspended.
fn second() -> String {
    let without = |text: String, id: &str| -> String {
        let mut lines = text.lines().peekable();
        let mut kept = String::new();
        while let Some(line) = lines.next() {
            if line.contains(&format!("id: {id},")) {
                if lines.peek().is_some_and(|next| next.trim_start().starts_with("when:")) {
                    lines.next();
                }
                continue;
            }
            kept += line;
            kept.push('\n');
        }
        kept
    };
    let next =
        FIRST.replace("revision-1", "revision-2").replace("suspended: false", "suspended: true");
    without(without(without(next, "seekers"), "newsletter"), "readers")
}

#[test]
fn a_rolling_restart_under_load_ends_what_the_new_rulebook_ends() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka, 2);
    let (first, second_one) = (Service::start(&shop, "a"), Service::start(&shop, "b"));
    first.await_ready();
    second_one.await_ready();
    let people = Crowd::of(&shop, 400);
    write_rulebook(&shop, &second());
    let gone = under_load(&shop, &people, || {
        first.stop();
        let first = Service::start(&shop, "a");
        first.await_ready();
        second_one.stop();
        let second_one = Service::start(&shop, "b");
        second_one.await_ready();
        await_swept(&shop);
        first.stop();
        second_one
    });
    let (service, gone) = gone;
    whole(&shop);
    assert_ended(&shop, &people, &gone);

    // The third look of those who had looked twice before: the unchanged condition kept its counter.
    kafka.produce(people.twice.iter().map(|who| shop.click(&view(who))));
    whole(&shop).assert_effects(&shop, &PURPOSES);
    let offers = live(&shop, OFFERS);
    for who in people.twice.iter().filter(|who| !gone.contains(*who)) {
        assert!(offers.contains(&pseudonym(OFFERS, who)), "{who}");
    }
    service.stop();
}

#[test]
fn a_rulebook_that_was_left_or_changed_is_refused() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka, 1);
    for text in [FIRST, &second()] {
        write_rulebook(&shop, text);
        let service = Service::start(&shop, "a");
        service.await_ready();
        let click = shop.kafka.produce([shop.click(&view("kim"))]);
        wait_until(WITHIN, "decided", || audit::read(&shop).clicks.get(&click[0]).cloned());
        service.stop();
    }
    let refused = |text: &str, why: &str| {
        write_rulebook(&shop, text);
        let refused = shop.run(&["run"]);
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    };
    refused(FIRST, "\"revision-1\" was replaced by \"revision-2\"");
    refused(
        &second().replace("30d", "31d"),
        "\"revision-2\" was used before with different content",
    );
    refused(&FIRST.replace("30d", "31d"), "\"revision-1\" was used before with different content");
    write_rulebook(&shop, &FIRST.replace("revision-1", "revision-3"));
    let back = Service::start(&shop, "a");
    back.await_ready();
    back.stop();
}

/// Those of strangers: they fill no table, and a purpose that is declared later is read from what was said before.
#[test]
fn undeclared_purposes_cost_their_record_alone_and_block_no_new_one() {
    const RECORDS: usize = 20;
    let kafka = kafka_or_skip!();
    let shop = opened(kafka, 1);
    write_rulebook(&shop, &second());
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce((0..RECORDS).map(|record| {
        let mut purposes: Vec<String> = (0..250).map(|at| format!("p-{record}-{at}")).collect();
        purposes.push(NEWS.to_owned());
        let purposes: Vec<&str> = purposes.iter().map(String::as_str).collect();
        shop.consent(&consent(&format!("kid-{record}"), 1, "GRANTED", &purposes))
    }));
    wait_until(WITHIN, "every record applied", || {
        let applied = [("outcome", "applied")];
        (service.metrics().count("assent_outcomes_total", &applied) == RECORDS as u64).then_some(())
    });
    let state = shop.committed("assent-state");
    let meta = state.iter().filter(|record| record.key.as_deref() == Some(b"meta"));
    let largest = meta.filter_map(|record| Some(record.value.as_ref()?.len())).max();
    assert!(largest.is_some_and(|bytes| bytes < 2_000), "{largest:?} bytes in every transaction");
    service.stop();

    write_rulebook(&shop, &FIRST.replace("revision-1", "revision-3"));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce((0..RECORDS).map(|record| shop.click(&view(&format!("kid-{record}")))));
    wait_until(WITHIN, "the new purpose's segment", || {
        (live(&shop, NEWS).len() == RECORDS).then_some(())
    });
    service.stop();
    let verified = shop.run(&["verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified:#}");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_sweep_that_is_killed_in_the_middle_ends_what_is_left() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka, 1);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people = Crowd::of(&shop, 2_500);
    service.stop();
    write_rulebook(&shop, &second());
    for point in ["after_produce", "after_commit"] {
        let mut crashing = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", point)]);
        let ended = crashing.wait(WITHIN);
        assert!(ended.code().is_none(), "{point}: {ended:?}");
    }
    let left = live(&shop, ADS).len();
    assert!(left > 0 && left < people.all.len(), "killed in the middle: {left} left");
    let service = Service::start(&shop, "a");
    service.await_ready();
    await_swept(&shop);
    whole(&shop).assert_effects(&shop, &PURPOSES);
    assert_ended(&shop, &people, &BTreeSet::new());
    let most = audit::batches(&shop).into_values().flatten().map(|batch| {
        let entries = batch["entries"].as_array().expect("entries");
        entries.iter().filter(|entry| entry["input"] == "UPKEEP").count()
    });
    let most = most.max().expect("a batch");
    assert!(most <= SWEPT_PER_BATCH_MAX && most > SWEPT_PER_BATCH_MAX / 2, "{most} in one batch");
    service.stop();
}

fn opened(kafka: &'static crate::support::Kafka, partitions: i32) -> Shop<'static> {
    let (rulebook, purposes) = (Some(FIRST.to_owned()), PURPOSES.to_vec());
    Shop::open_with(kafka, &Plan { partitions, rulebook, purposes, ..Plan::default() })
}

fn write_rulebook(shop: &Shop<'_>, text: &str) {
    std::fs::write(shop.folder().join("rulebook.yaml"), text).expect("written");
}

/// People of three kinds, all of whom are shown ads and read letters.
struct Crowd {
    all: Vec<String>,
    /// In `lookers`.
    thrice: Vec<String>,
    /// In nothing of offers yet, one look short.
    twice: Vec<String>,
    /// In `seekers` alone.
    searching: Vec<String>,
}

impl Crowd {
    fn of(shop: &Shop<'_>, count: usize) -> Self {
        let all: Vec<String> = (0..count).map(|i| format!("kid-{i}")).collect();
        let every = |from: usize| all.iter().skip(from).step_by(3).cloned().collect::<Vec<_>>();
        let (thrice, twice, searching) = (every(0), every(1), every(2));
        let kafka = shop.kafka;
        kafka.produce(all.iter().map(|who| shop.consent(&consent(who, 1, "GRANTED", &PURPOSES))));
        let looks = thrice.iter().flat_map(|who| vec![who; 3]);
        let looks = looks.chain(twice.iter().flat_map(|who| vec![who; 2])).chain(&searching);
        kafka.produce(looks.map(|who| shop.click(&view(who))));
        let search = |who: &String| shop.click(&with(view(who), json!({"kind": "SEARCH"})));
        kafka.produce(searching.iter().map(search));
        wait_until(WITHIN, "everybody live", || {
            let offered = thrice.len() + searching.len();
            let counts = [(ADS, count), (NEWS, count), (OFFERS, offered)];
            counts.iter().all(|(of, count)| live(shop, of).len() == *count).then_some(())
        });
        Self { all, thrice, twice, searching }
    }
}

/// Searches and a few denials while `act` lasts; returns what it gave, and who denied.
fn under_load<T>(
    shop: &Shop<'_>,
    people: &Crowd,
    act: impl FnOnce() -> T,
) -> (T, BTreeSet<String>) {
    let over = AtomicBool::new(false);
    let wave = |who: &String| shop.click(&with(view(who), json!({"kind": "ADD_TO_CART"})));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut gone = BTreeSet::new();
            let mut next = people.all.iter().step_by(11).take(20);
            while !over.load(Ordering::Relaxed) {
                shop.kafka.produce(people.all.iter().take(50).map(wave));
                if let Some(who) = next.next() {
                    shop.kafka.produce([shop.consent(&consent(who, 2, "DENIED", &PURPOSES))]);
                    gone.insert(who.clone());
                }
                if gone.len() == 20 {
                    break; // else there would be no end to settle at
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            gone
        });
        let given = act();
        over.store(true, Ordering::Relaxed);
        (given, load.join().expect("the load"))
    })
}

fn await_swept(shop: &Shop<'_>) {
    wait_until(WITHIN, "what the rulebook ends is gone", || {
        (live(shop, ADS).is_empty() && live(shop, NEWS).is_empty()).then_some(())
    });
}

/// Each with the reason that is its own.
fn assert_ended(shop: &Shop<'_>, people: &Crowd, gone: &BTreeSet<String>) {
    let stay = |who: &&String| !gone.contains(*who);
    for (purpose, reason) in [(ADS, "purpose_suspended"), (NEWS, "rulebook_changed")] {
        assert_eq!(live(shop, purpose), BTreeSet::new(), "{purpose}");
        let reasons = last_reasons(shop, purpose);
        for who in people.all.iter().filter(stay) {
            assert_eq!(reasons[&pseudonym(purpose, who)].as_deref(), Some(reason), "{who}");
        }
    }
    let offers: BTreeSet<String> =
        people.thrice.iter().filter(stay).map(|who| pseudonym(OFFERS, who)).collect();
    assert_eq!(live(shop, OFFERS), offers);
    let reasons = last_reasons(shop, OFFERS);
    for who in people.searching.iter().filter(stay) {
        let reason = reasons[&pseudonym(OFFERS, who)].as_deref();
        assert_eq!(reason, Some("rulebook_changed"), "{who}");
    }
}

/// The audit, once every input has its outcome.
fn whole(shop: &Shop<'_>) -> Audit {
    wait_until(WITHIN, "every input audited", || {
        Some(audit::read(shop)).filter(|audit| audit.is_whole(shop))
    })
}

fn live(shop: &Shop<'_>, purpose: &str) -> BTreeSet<String> {
    let records = latest(&shop.committed(&format!("segments.{purpose}")));
    records.into_keys().map(|key| String::from_utf8(key).expect("text")).collect()
}

/// By key: why its last record is a tombstone; `None`: it is live.
fn last_reasons(shop: &Shop<'_>, purpose: &str) -> BTreeMap<String, Option<String>> {
    let records = shop.committed(&format!("segments.{purpose}"));
    let reason = |record: &crate::support::Record| {
        let reason = record.header("reason").map(str::to_owned);
        (record.key_text().to_owned(), reason.filter(|_| record.value.is_none()))
    };
    records.iter().map(reason).collect()
}
