//! `audit query`: its rows, its index, and what it does where something is wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ADS, OFFERS, ask, asked_shop, await_entries, become_assigned, recorded, started};
use crate::audit::hex;
use crate::support::{self, Message, consent, view};

const SUBJECT: &str = "the-one-who-is-asked-about";

#[test]
fn a_history_is_told_recorded_and_told_again_from_the_index() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "query-1");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    become_assigned(&shop, "somebody-else");
    kafka.produce([shop.consent(&consent(SUBJECT, 2, "WITHDRAWN", &[ADS]))]);
    await_entries(&shop, SUBJECT, 4);
    service.stop();

    let query = ["audit", "query", "--subject", SUBJECT, "--reason", "REQ-7", "--json"];
    let told = ask(&shop, &query).ok();
    let rows = told.json_lines();
    assert_eq!(rows.len(), 4, "{rows:#?}");
    let token = support::pseudonym_bytes("audit", SUBJECT);
    assert!(rows.iter().all(|row| row["subject"] == hex(&token)));
    let input = |row: &Value| (row["input"].clone(), row["outcome"].clone());
    assert_eq!(input(&rows[0]), (json!("CONSENT"), json!("APPLIED")));
    assert_eq!(input(&rows[2]), (json!("CLICK"), json!("DECIDED")));
    assert_eq!(rows[2]["verdicts"], json!({ADS: "OPT_IN", OFFERS: "OPT_IN"}));
    let kinds: Vec<_> =
        rows[2]["effects"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["assigned", "assigned"]);
    assert_eq!(rows[3]["verdicts"], json!({ADS: "OPTED_OUT", OFFERS: "OPT_IN_MISSING"}));
    assert_eq!(rows[3]["effects"][0]["reason"], "opted_out");
    assert_eq!((&rows[3]["consent_version"], &rows[3]["rulebook"]), (&json!(2), &json!("query-1")));

    let access = recorded(&shop);
    assert_eq!(access.len(), 1, "{access:?}");
    assert_eq!(access[0]["subject"], json!(token.to_vec()));
    assert_eq!(
        (&access[0]["command"], &access[0]["rows"], &access[0]["reason"]),
        (&json!("QUERY"), &json!(4), &json!("REQ-7"))
    );
    let index = shop.folder().join("state/audit-index/audit.redb");
    let bytes = std::fs::read(&index).expect("an index");
    assert!(!bytes.windows(SUBJECT.len()).any(|it| it == SUBJECT.as_bytes()), "INV-6");
    assert!(bytes.windows(17).any(|it| it == token), "it is found by its token");
    let topic = shop.committed(super::ACCESS);
    let values = topic.iter().filter_map(|record| record.value.as_deref());
    assert!(values.clone().all(|it| !String::from_utf8_lossy(it).contains(SUBJECT)), "INV-6");

    // One byte of it, anywhere in an entry: it is noticed, and made anew.
    let at = bytes.windows(17).position(|it| it == token).unwrap() + 40;
    let mut damaged = bytes.clone();
    damaged[at] ^= 1;
    std::fs::write(&index, damaged).unwrap();
    let again = [ask(&shop, &query), ask(&shop, &query)];
    let right = again.iter().filter(|it| it.code == Some(0));
    assert!(right.clone().count() >= 1, "{again:?}");
    assert!(right.clone().all(|it| it.stdout == told.stdout), "{again:?}");
    let wrong = again.iter().find(|it| it.code != Some(0));
    assert!(wrong.is_none_or(|it| it.stderr.contains("damaged") && it.stdout.is_empty()));
    std::fs::remove_dir_all(index.parent().unwrap()).unwrap();
    assert_eq!(ask(&shop, &query).ok().stdout, told.stdout);
}

#[test]
fn each_condition_narrows_and_what_retention_took_is_gone() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "query-2");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    kafka.produce([shop.click(&view("nobody-who-ever-agreed"))]);
    kafka.produce([shop.consent(&consent(SUBJECT, 2, "DENIED", &[OFFERS, ADS]))]);
    await_entries(&shop, SUBJECT, 4);
    let settled = crate::support::wait_until(std::time::Duration::from_secs(30), "all", || {
        let audit = crate::audit::read(&shop);
        audit.is_whole(&shop).then_some(audit)
    });
    service.stop();

    let rows = |conditions: &[&str]| {
        let arguments = [&["audit", "query", "--json"], conditions].concat();
        ask(&shop, &arguments).ok().json_lines()
    };
    let all = rows(&[]);
    assert_eq!(all.len(), 5, "{all:#?}");
    let denied = rows(&["--verdict", "opted_out"]);
    assert_eq!(denied.len(), 1, "{denied:#?}");
    let unknown = rows(&["--verdict", "NO_CONSENT_RECORD", "--purpose", OFFERS]);
    assert_eq!((unknown.len(), &unknown[0]["subject"]), (1, &Value::Null));
    assert_eq!(rows(&["--outcome", "APPLIED"]).len(), 2);
    assert_eq!(rows(&["--limit", "2"]).len(), 2);
    let at = denied[0]["decided_at"].as_i64().unwrap();
    let (from, to) = (rows(&["--from", &at.to_string()]), rows(&["--to", &at.to_string()]));
    assert!(from.contains(&denied[0]) && !to.contains(&denied[0]));
    assert!(from.iter().all(|row| row["decided_at"].as_i64().unwrap() >= at));
    assert_eq!(from.len() + to.len(), 5);
    let (partition, offset) = *settled.consents.keys().next_back().unwrap();
    let record = format!("{}/{partition}/{offset}", shop.topic("consent-changelog"));
    assert_eq!(rows(&["--record", &record]), denied);
    let table = ask(&shop, &["audit", "query", "--verdict", "OPTED_OUT"]).ok().stdout;
    assert!(
        table.contains("partner-advertising=OPTED_OUT") && table.ends_with("1 entry\n"),
        "{table}"
    );
    assert_eq!(recorded(&shop).len(), 9);
    assert_eq!(recorded(&shop)[1]["filter"], "verdict=opted_out");

    let ends: BTreeMap<i32, i64> = kafka.ends(&shop.topic("segmentation-audit"));
    kafka.delete_records(&shop.topic("segmentation-audit"), &ends);
    assert_eq!(rows(&["--subject", SUBJECT]), [] as [Value; 0]);
    assert_eq!(rows(&[]), [] as [Value; 0]);
}

#[test]
fn a_mistake_or_damage_is_one_message_and_no_record_is_no_answer() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "query-3");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    service.stop();

    for (arguments, says) in [
        (vec!["--verdict", "NEVER"], "OPTED_OUT"),
        (vec!["--outcome", "x"], "TOO_LATE"),
        (vec!["--record", "elsewhere/0/1"], "TOPIC/PARTITION/OFFSET"),
        (vec!["--from", "yesterday"], "RFC 3339"),
        (vec!["--subject", ""], "512 bytes"),
        (vec!["--subject", SUBJECT, "--reason", SUBJECT], "leave the id out"),
    ] {
        let refused = ask(&shop, &[vec!["audit", "query"], arguments.clone()].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
    assert_eq!(recorded(&shop).len(), 0);

    let audit = shop.topic("segmentation-audit");
    kafka.produce([
        Message::new(&audit).partition(0).key("x").value(*b"no batch"),
        Message::new(&audit).partition(1).key("x").value([&[0xc3, 1][..], &[7; 9]].concat()),
    ]);
    let told = ask(&shop, &["audit", "query", "--json"]);
    assert_eq!((told.code, told.json_lines().len()), (Some(1), 3), "{told:?}");
    let named = told.stderr.lines().filter(|line| line.contains("it is no audit batch")).count();
    assert_eq!(named, 2, "{}", told.stderr);
    assert!(told.stderr.contains("2 damaged records"), "{}", told.stderr);

    // Nobody may ask unseen: without the topic there is no answer.
    let unseen = support::Finished::of(
        shop.command(&["audit", "query", "--json"])
            .env("ASSENT__TOPICS__AUDIT_ACCESS", "no-such-topic"),
    );
    assert_eq!((unseen.code, unseen.stdout.as_str()), (Some(1), ""), "{unseen:?}");
    assert!(unseen.stderr.contains("no-such-topic does not exist"), "{unseen:?}");
    let nobody = support::Finished::of(
        shop.command(&["audit", "query"]).env("ASSENT__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
    );
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(69), ""), "{nobody:?}");
}
