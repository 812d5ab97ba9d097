//! Key rotation without a stop: every live key moves to the new version under load and across kills,
//! the old key's tombstone in the transaction that writes the new one
//! (docs/contract/pseudonyms.md#rotation; INV-4, INV-5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::audit;
use crate::pipeline::{settled, settled_within};
use crate::support::{
    Finished, Plan, Service, Shop, consent, latest, pseudonym_under, view, wait_until,
};

const WITHIN: Duration = Duration::from_secs(90);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

#[test]
fn a_rotation_under_load_moves_every_live_key_and_misses_no_opt_out() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(2));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people = granted(&shop, 600);
    assert_eq!(rotate(&shop)["version"], 2);
    let gone = under_load(&shop, &people, || {
        wait_until(WITHIN, "no live key of the old version", || {
            let old = service.metrics().sum("assent_live_keys", &[("key_version", "1")]);
            let new = service.metrics().sum("assent_live_keys", &[("key_version", "2")]);
            (old.unwrap_or(0.0) == 0.0 && new.unwrap_or(0.0) > 0.0).then_some(())
        });
    });
    settled_within(&shop, WITHIN);
    assert_live(&shop, &people, &gone, 2);
    assert_moved_in_one_transaction(&shop);

    shop.run(&["keys", "retire", "1"]).ok();
    kafka.produce([shop.consent(&consent(&people[0], 9, "DENIED", &PURPOSES))]);
    settled(&shop);
    service.stop();
    let again = Service::start(&shop, "a");
    again.await_ready();
    assert_eq!(again.metrics().sum("assent_key_version", &[]), Some(2.0));
    again.stop();
}

#[test]
fn a_version_with_live_keys_is_not_retired() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    granted(&shop, 3);
    service.stop();
    rotate(&shop);
    let refused = shop.run(&["keys", "retire", "1"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("6 live keys"), "{refused:?}");
}

/// At each death some keys are moved and some are not: nobody is lost from view, nobody is there twice.
#[cfg(feature = "crash-points")]
#[test]
fn a_rotation_that_is_killed_in_the_middle_goes_on_where_it_was() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people = granted(&shop, 2_500); // three batches of a sweep
    service.stop();
    rotate(&shop);
    let nobody = BTreeSet::new();
    let points =
        ["during_sweep", "after_produce", "after_commit", "after_send_offsets", "after_commit"];
    for point in points {
        let mut crashing = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", point)]);
        let ended = crashing.wait(WITHIN);
        assert!(ended.code().is_none(), "{point}: {ended:?}");
        let (old, new) = live_by_version(&shop, &people);
        assert_eq!(old.len() + new.len(), people.len(), "after {point}");
        assert!(old.is_disjoint(&new), "after {point}");
    }
    let (old, new) = live_by_version(&shop, &people);
    assert!(
        !old.is_empty() && !new.is_empty(),
        "killed in the middle: {} {}",
        old.len(),
        new.len()
    );
    let service = Service::start(&shop, "a");
    service.await_ready();
    wait_until(WITHIN, "all moved", || live_by_version(&shop, &people).0.is_empty().then_some(()));
    settled_within(&shop, WITHIN);
    assert_live(&shop, &people, &nobody, 2);
    assert_moved_in_one_transaction(&shop);
    service.stop();
}

#[test]
fn an_instance_whose_file_lags_waits_rather_than_misses_a_tombstone() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(2));
    let late = copy_of(&shop.folder().join("keyset.json"), "late.json");
    let late_text = late.to_str().expect("UTF-8");
    let first = Service::start(&shop, "a");
    let lagging = Service::start_with(&shop, "b", &[("ASSENT__KEYSET", late_text)]);
    let owned = |service: &Service| service.metrics().count("assent_assigned_partitions", &[]);
    wait_until(WITHIN, "a partition each", || {
        (owned(&first) == 1 && owned(&lagging) == 1).then_some(())
    });
    first.await_ready();
    lagging.await_ready();
    let people = granted(&shop, 60);
    rotate(&shop);
    wait_until(WITHIN, "the first one's keys moved", || {
        let metrics = first.metrics();
        let live = |version| metrics.sum("assent_live_keys", &[("key_version", version)]);
        (live("1").unwrap_or(0.0) == 0.0 && live("2") > Some(0.0)).then_some(())
    });
    let (old, new) = live_by_version(&shop, &people);
    assert!(!old.is_empty() && !new.is_empty() && old.is_disjoint(&new));
    assert_eq!(old.len() + new.len(), people.len(), "nobody is lost from view");
    assert_eq!(shop.run(&["keys", "retire", "1"]).code, Some(1), "the other still emits it");

    // The one with the new file leaves: the other must not decide what it can't remove.
    let moved = new.iter().next().expect("somebody").clone();
    first.stop();
    wait_until(WITHIN, "not ready", || (lagging.readyz().0 == 503).then_some(()));
    kafka.produce([shop.consent(&consent(&moved, 2, "DENIED", &PURPOSES))]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(live_by_version(&shop, &people).1.contains(&moved), "it waits");
    assert!(lagging.log().contains("key version 2 is missing"));

    std::fs::copy(shop.folder().join("keyset.json"), &late).expect("the file arrives");
    lagging.await_ready();
    wait_until(WITHIN, "all moved", || live_by_version(&shop, &people).0.is_empty().then_some(()));
    settled_within(&shop, WITHIN);
    assert_live(&shop, &people, &BTreeSet::from([moved]), 2);
    assert_moved_in_one_transaction(&shop);
    lagging.stop();
}

#[test]
fn another_secret_under_a_known_version_is_refused() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people = granted(&shop, 3);
    let keyset = shop.folder().join("keyset.json");
    let right = std::fs::read_to_string(&keyset).expect("a keyset");
    std::fs::write(&keyset, right.replace("AAEC", "AAED")).expect("written");
    wait_until(WITHIN, "the running one's refusal", || {
        service.log().contains("has a different secret").then_some(())
    });
    kafka.produce([shop.consent(&consent(&people[0], 2, "DENIED", &PURPOSES))]);
    settled(&shop);
    assert_live(&shop, &people, &BTreeSet::from([people[0].clone()]), 1);
    service.stop();
    let refused = shop.run(&["run"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("version 1 has a different secret"), "{refused:?}");
    for command in [&["state", "accept-loss"][..], &["run"]] {
        let Finished { code, .. } = shop.run(command);
        assert_eq!(code, Some(78), "{command:?}");
    }
}

/// Their records were deleted from the changelog: a new pseudonym can't be computed of whom nobody names.
#[test]
fn whom_the_changelog_names_no_longer_ends_with_the_old_key_and_begins_anew() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people = granted(&shop, 5);
    settled(&shop);
    forget_consent(&shop);
    kafka.produce([shop.consent(&consent(&people[0], 2, "GRANTED", &PURPOSES))]);
    let nobody = BTreeSet::new();
    assert_live(&shop, &people, &nobody, 1);
    rotate(&shop);
    let named = people[..1].iter().cloned().collect::<BTreeSet<_>>();
    let left = |version: usize| {
        let (old, new) = live_by_version(&shop, &people);
        (old.is_empty() && new.len() == version).then_some(new)
    };
    assert_eq!(wait_until(WITHIN, "no live key of the old version", || left(1)), named);
    let (finished, found) = crate::verify::verify(&shop, &[]);
    assert_eq!((finished.code, &found["ok"]), (Some(0), &true.into()), "{found}");
    kafka.produce(people.iter().map(|who| shop.click(&view(who))));
    wait_until(WITHIN, "everybody again", || left(people.len()));
    assert_live(&shop, &people, &nobody, 2);
    shop.run(&["keys", "retire", "1"]).ok();
    service.stop();
}

/// What a cleanup policy of `delete` does to what was read of the consent changelog.
fn forget_consent(shop: &Shop<'_>) {
    let mut plans = shop.topic_plans(&PURPOSES);
    let consent = plans.iter_mut().find(|it| it.name.ends_with("consent-changelog"));
    let consent = consent.expect("consent's plan");
    consent.config.retain(|(key, _)| *key != "cleanup.policy");
    consent.config.push(("cleanup.policy", "compact,delete".to_owned()));
    consent.config.push(("retention.ms", "-1".to_owned()));
    shop.kafka.configure(consent);
    shop.kafka.delete_records(&consent.name, &shop.kafka.ends(&consent.name));
    assert!(shop.committed("consent-changelog").is_empty());
}

fn plan(partitions: i32) -> Plan {
    Plan { partitions, ..Plan::of_lookers("rotation-1", 1) }
}

fn rotate(shop: &Shop<'_>) -> Value {
    shop.run(&["keys", "rotate", "--json"]).ok().json()
}

/// So many people who are live for both purposes.
fn granted(shop: &Shop<'_>, count: usize) -> Vec<String> {
    let people: Vec<String> = (0..count).map(|i| format!("kid-{i}")).collect();
    let grant = |who: &String| shop.consent(&consent(who, 1, "GRANTED", &PURPOSES));
    shop.kafka.produce(people.iter().map(grant));
    shop.kafka.produce(people.iter().map(|who| shop.click(&view(who))));
    wait_until(WITHIN, "everybody live", || {
        (live(shop, PURPOSES[1]).len() == count && live(shop, PURPOSES[0]).len() == count)
            .then_some(())
    });
    people
}

/// Clicks of all and denials of some while `wait` lasts; returns who denied.
fn under_load(shop: &Shop<'_>, people: &[String], wait: impl FnOnce()) -> BTreeSet<String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut gone = BTreeSet::new();
            let mut next = people.iter().step_by(7);
            while !over.load(Ordering::Relaxed) || gone.is_empty() {
                shop.kafka.produce(people.iter().take(100).map(|who| shop.click(&view(who))));
                if let Some(who) = next.next() {
                    let denial = consent(who, 2, "DENIED", &PURPOSES);
                    shop.kafka.produce([shop.consent(&denial), shop.click(&view(who))]);
                    gone.insert(who.clone());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            gone
        });
        wait();
        over.store(true, Ordering::Relaxed);
        load.join().expect("the load")
    })
}

fn live(shop: &Shop<'_>, purpose: &str) -> BTreeSet<String> {
    let records = latest(&shop.committed(&format!("segments.{purpose}")));
    records.into_keys().map(|key| String::from_utf8(key).expect("text")).collect()
}

/// The secrets of a keyset, by version.
pub fn secrets(path: &Path) -> BTreeMap<u8, Vec<u8>> {
    use base64::Engine as _;
    let text = std::fs::read_to_string(path).expect("a keyset");
    let keyset: Value = serde_json::from_str(&text).expect("JSON");
    let keys = keyset["keys"].as_array().expect("keys");
    let secret = |key: &Value| {
        let text = key["secret"].as_str().expect("a secret");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        (key["version"].as_u64().expect("a version") as u8, bytes)
    };
    keys.iter().map(secret).collect()
}

/// Who is live under version 1, and who under 2: the same in both purposes.
fn live_by_version(shop: &Shop<'_>, people: &[String]) -> (BTreeSet<String>, BTreeSet<String>) {
    let secrets = secrets(&shop.folder().join("keyset.json"));
    let of = |purpose: &str, version: u8| -> BTreeSet<String> {
        let live = live(shop, purpose);
        let is_live = |who: &&String| {
            live.contains(&pseudonym_under(version, &secrets[&version], purpose, who))
        };
        people.iter().filter(is_live).cloned().collect()
    };
    (of(PURPOSES[1], 1), of(PURPOSES[1], 2))
}

/// Everybody but `gone` is live once for each purpose, under this version, and nobody else is.
fn assert_live(shop: &Shop<'_>, people: &[String], gone: &BTreeSet<String>, version: u8) {
    let secret = match version {
        1 => crate::support::secret(), // the file may hold another by now
        _ => secrets(&shop.folder().join("keyset.json"))[&version].clone(),
    };
    for purpose in PURPOSES {
        let stay = people.iter().filter(|who| !gone.contains(*who));
        let expected: BTreeSet<String> =
            stay.map(|who| pseudonym_under(version, &secret, purpose, who)).collect();
        assert_eq!(live(shop, purpose), expected, "{purpose}");
    }
}

/// One audit entry, and so one transaction, holds an old key's tombstone and the new assignment.
fn assert_moved_in_one_transaction(shop: &Shop<'_>) {
    let batches = audit::batches(shop);
    let mut moved = 0;
    for batch in batches.values().flatten() {
        for entry in batch["entries"].as_array().expect("entries") {
            let effects = entry["effects"].as_array().expect("effects");
            for (at, effect) in effects.iter().enumerate() {
                if effect["reason"] != "key_retired" {
                    continue;
                }
                moved += 1;
                let is_new = |other: &Value| {
                    other["purpose"] == effect["purpose"]
                        && !other["value_sha256"].is_null()
                        && other["key_version"].as_i64() > effect["key_version"].as_i64()
                };
                assert!(effects[..at].iter().any(is_new), "{entry}");
            }
        }
    }
    let tombstones = PURPOSES.iter().flat_map(|of| shop.committed(&format!("segments.{of}")));
    let retired = tombstones.filter(|record| record.header("reason") == Some("key_retired"));
    assert_eq!(moved, retired.count(), "each has its tombstone");
    assert!(moved > 0);
}

fn copy_of(path: &Path, name: &str) -> PathBuf {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).expect("copied");
    std::fs::set_permissions(&copy, Permissions::from_mode(0o600)).expect("mode");
    copy
}
