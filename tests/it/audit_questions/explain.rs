//! `audit explain`: the decision in plain words, and what it says where something is gone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ADS, OFFERS, ask, asked_shop, await_entries, become_assigned, recorded, started};
use crate::audit::Audit;
use crate::support::{Finished, Shop, consent, view, wait_until};

const SUBJECT: &str = "the-one-who-asks-why";
const NOBODY: &str = "somebody-who-never-agreed";

/// By purpose.
fn purposes(explained: &Value) -> BTreeMap<String, Value> {
    let all = explained["purposes"].as_array().expect("purposes").iter();
    all.map(|it| (it["purpose"].as_str().unwrap().to_owned(), it.clone())).collect()
}

fn of(shop: &Shop<'_>, topic: &str, place: (i32, i64)) -> String {
    format!("{}/{}/{}", shop.topic(topic), place.0, place.1)
}

#[test]
fn a_decision_is_explained_while_all_is_there_and_after_it_is_gone() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "explain-1");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    kafka.produce([shop.click(&view(NOBODY))]);
    kafka.produce([shop.consent(&consent(SUBJECT, 2, "WITHDRAWN", &[ADS]))]);
    await_entries(&shop, SUBJECT, 4);
    let audit = wait_until(std::time::Duration::from_secs(30), "all", || {
        let audit = crate::audit::read(&shop);
        audit.is_whole(&shop).then_some(audit)
    });
    service.stop();

    let mut clicks = audit.clicks.iter().filter(|it| it.1.verdicts[ADS] == "OPT_IN");
    let place = *clicks.next_back().expect("a click").0;
    let second = of(&shop, "clickstream", place);
    let told = explain(&shop, &second);
    assert_eq!(
        (&told["follows"], &told["not_reconstructed"]),
        (&json!(true), &json!([])),
        "{told:#}"
    );
    assert_eq!(told["known"]["record"]["version"], 1);
    let both = purposes(&told);
    for (purpose, segment) in [(ADS, "shown"), (OFFERS, "lookers")] {
        let it = &both[purpose];
        assert_eq!(
            (&it["verdict"], &it["line"], &it["allowed"]),
            (&json!("OPT_IN"), &json!(12), &json!(true))
        );
        assert_eq!(it["reconstruction"], "agrees");
        assert_eq!(it["assignment"]["segments"], json!([segment]), "{it:#}");
        assert_eq!(it["assignment"]["by_this_entry"], true);
        assert_eq!(
            (&it["segments"][0]["is_in"], &it["segments"][0]["why"]),
            (&json!(true), &json!("To test"))
        );
    }

    withdrawn(&shop, &audit);
    let stranger = stranger(&shop, &audit);
    assert_eq!(recorded(&shop).iter().filter(|it| it["command"] == "EXPLAIN").count(), 4);

    gone(&shop, &second, &stranger);
    another_rulebook(&shop, &second);
}

fn explain(shop: &Shop<'_>, record: &str) -> Value {
    ask(shop, &["audit", "explain", record, "--json"]).ok().json()
}

/// Why the key was removed, and what is in force now.
fn withdrawn(shop: &Shop<'_>, audit: &Audit) {
    let withdrawn = audit.consents.iter().find(|it| it.1.consent_version == Some(2));
    let withdrawn = of(shop, "consent-changelog", *withdrawn.expect("a withdrawal").0);
    let both = purposes(&explain(shop, &withdrawn));
    assert_eq!((&both[ADS]["verdict"], &both[ADS]["line"]), (&json!("OPTED_OUT"), &json!(5)));
    assert_eq!(both[ADS]["cite"], "Civ. Code 1798.120, .135(c)(4)");
    assert_eq!(both[ADS]["assignment"]["reason"], "opted_out");
    assert_eq!(
        (&both[OFFERS]["verdict"], &both[OFFERS]["line"]),
        (&json!("OPT_IN_MISSING"), &json!(9))
    );

    let text = ask(shop, &["audit", "explain", "--subject", SUBJECT, "--purpose", ADS]).ok().stdout;
    assert!(text.contains("OPTED_OUT (withheld"), "{text}");
    assert!(
        text.contains("ground: Civ. Code 1798.120") && text.contains("WITHDRAWN since"),
        "{text}"
    );
    assert!(!text.contains(SUBJECT), "{text}");
}

/// The audit names nobody, the click does.
fn stranger(shop: &Shop<'_>, audit: &Audit) -> String {
    let mut clicks = audit.clicks.iter();
    let place = clicks.find(|it| it.1.verdicts[ADS] == "NO_CONSENT_RECORD").expect("a click").0;
    let stranger = of(shop, "clickstream", *place);
    let told = explain(shop, &stranger);
    assert_eq!((&purposes(&told)[ADS]["line"], &told["subject"]), (&json!(3), &Value::Null));
    assert_eq!(told["not_reconstructed"], json!([]), "the click is still there: {told:#}");
    stranger
}

/// Retention took the clicks.
fn gone(shop: &Shop<'_>, second: &str, stranger: &str) {
    let clicks = shop.topic("clickstream");
    shop.kafka.delete_records(&clicks, &shop.kafka.ends(&clicks));
    let told = ask(shop, &["audit", "explain", second, "--json"]).ok().json();
    let both = purposes(&told);
    assert_eq!((&both[ADS]["verdict"], &both[ADS]["line"]), (&json!("OPT_IN"), &json!(12)));
    assert!(told["not_reconstructed"].to_string().contains("time of the click"), "{told:#}");
    assert_eq!(both[ADS]["assignment"]["segments"], json!(["shown"]), "its hash still proves it");
    let told = ask(shop, &["audit", "explain", stranger, "--json"]).ok().json();
    assert_eq!(purposes(&told)[OFFERS]["verdict"], "NO_CONSENT_RECORD");
    assert!(told["not_reconstructed"].to_string().contains("whose click it was"), "{told:#}");
}

/// The rulebook was changed since, and this user may not see the state.
fn another_rulebook(shop: &Shop<'_>, second: &str) {
    let (old, new) = (shop.folder().join("old.yaml"), shop.folder().join("rulebook.yaml"));
    std::fs::copy(&new, &old).unwrap();
    let text = std::fs::read_to_string(&new).unwrap().replace("explain-1", "explain-2");
    std::fs::write(&new, text).unwrap();
    let explain = |state: &str, more: &[&str]| {
        let mut command = shop.command(&[&["audit", "explain", second, "--json"], more].concat());
        command.env("ASSENT__TOPICS__AUDIT_ACCESS", shop.topic(super::ACCESS));
        command.env("ASSENT__AUDIT__OPERATOR", "auditor@shop.example");
        command.env("ASSENT__TOPICS__STATE", state);
        Finished::of(&mut command).ok().json()
    };
    let state = shop.topic("assent-state");
    let kept = explain(&state, &[]);
    assert_eq!(purposes(&kept)[ADS]["reconstruction"], "agrees", "the state keeps it");
    let unknown = explain("no-such-topic", &[]);
    assert_eq!(purposes(&unknown)[ADS]["reconstruction"], "unknown", "{unknown:#}");
    assert!(unknown["not_reconstructed"].to_string().contains("--rulebook"), "{unknown:#}");
    assert_eq!(
        (&purposes(&unknown)[ADS]["verdict"], &unknown["follows"]),
        (&json!("OPT_IN"), &json!(true))
    );
    let given = explain("no-such-topic", &["--rulebook", old.to_str().unwrap()]);
    assert_eq!(purposes(&given)[ADS]["reconstruction"], "agrees", "{given:#}");
}

#[test]
fn a_mistake_is_one_message() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "explain-3");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    service.stop();
    let nowhere = format!("{}/0/99999", shop.topic("clickstream"));
    for (arguments, code, says) in [
        (vec!["elsewhere/0/1"], 64, "TOPIC/PARTITION/OFFSET"),
        (vec![], 64, "required"),
        (vec![nowhere.as_str()], 1, "no entry is about"),
        (vec!["--subject", SUBJECT, "--purpose", "no-purpose"], 64, "no such purpose"),
        (vec!["--subject", "nobody", "--purpose", ADS], 1, "nothing was ever decided"),
        (vec![nowhere.as_str(), "--rulebook", "absent.yaml"], 65, "absent.yaml"),
    ] {
        let refused = ask(&shop, &[vec!["audit", "explain"], arguments.clone()].concat());
        assert_eq!(
            (refused.code, refused.stdout.as_str()),
            (Some(code), ""),
            "{arguments:?} {refused:?}"
        );
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    assert_eq!(recorded(&shop).len(), 0, "nothing was answered");
}
