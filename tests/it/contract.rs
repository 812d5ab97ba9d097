//! The gate (docs/contract/gate.md) on a real Kafka, line by line: what a person said, what a click
//! then gives, and which tombstone the topics have for it (INV-1, INV-4). Line 1 is in `pipeline.rs`
//! and below.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::{self, Audit};
use crate::support::{
    Message, Plan, Record, Service, Shop, consent, now_ms, pseudonym, view, wait_until, with,
};

pub const WITHIN: Duration = Duration::from_secs(30);

const SILENCE: Duration = Duration::from_secs(3);

/// Sorted, as the audit has them.
pub const PURPOSES: [&str; 4] = ["offers", "open", "partners", "paused"];

/// Any click gives a segment for every purpose.
pub const RULEBOOK: &str = r"
rulebook: contract-1
default_segment: all-visitors
purposes:
  - {id: offers, title: Own offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
  - {id: open, title: Own statistics, sale_or_share: false, requires_opt_in: false, retention: 30d}
  - {id: partners, title: Partners, sale_or_share: true, requires_opt_in: true, retention: 30d}
  - {id: paused, title: Paused, sale_or_share: false, requires_opt_in: false, retention: 30d, suspended: true}
segments:
  - {id: at-offers, title: Was here, why: To show offers, owner: shop@shop.example, approach: behavioral, purpose: offers, when: {last: {within: 30d}}}
  - {id: at-open, title: Was here, why: To count, owner: shop@shop.example, approach: behavioral, purpose: open, when: {last: {within: 30d}}}
  - {id: at-partners, title: Was here, why: To let partners know, owner: shop@shop.example, approach: behavioral, purpose: partners, when: {last: {within: 30d}}}
  - {id: at-paused, title: Was here, why: Nothing yet, owner: shop@shop.example, approach: behavioral, purpose: paused, when: {last: {within: 30d}}}
";

const IN: &str = "OPT_IN";
const GUARDIAN: &str = "GUARDIAN_OPT_IN";
const FREE: &str = "NOT_OPTED_OUT";
const NONE: &str = "NO_CONSENT_RECORD";
const UNREADABLE: &str = "CONSENT_UNREADABLE";
const PAUSED: &str = "PURPOSE_SUSPENDED";
const OUT: &str = "OPTED_OUT";
const SIGNAL: &str = "OPT_OUT_SIGNAL";
const CHILD: &str = "GUARDIAN_CONSENT_MISSING";
const TEEN: &str = "OWN_OPT_IN_MISSING";
const ASK: &str = "OPT_IN_MISSING";
const EXPIRED: &str = "CONSENT_EXPIRED";
const BEFORE: &str = "COLLECTED_BEFORE_CONSENT";

pub fn plan(settings: Value) -> Plan {
    Plan {
        rulebook: Some(RULEBOOK.to_owned()),
        purposes: PURPOSES.to_vec(),
        settings,
        ..Plan::default()
    }
}

/// A person who granted everything, was assigned, and then said or did something else.
struct Case {
    subject: &'static str,
    /// What they say next; `None`: nothing.
    consent: Option<Message>,
    /// What they then do.
    click: Value,
    /// The verdicts of that click, by purpose.
    verdicts: [&'static str; 4],
    /// The reason of the tombstones where the click is withheld for another one than its verdict.
    reason: Option<&'static str>,
    /// The consent version that stands in the end; `None`: there is no record.
    version: Option<i64>,
}

#[test]
fn every_line_of_the_gate_decides_and_removes() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let cases = cases(&shop);

    kafka.produce(
        cases.iter().map(|it| shop.consent(&consent(it.subject, 1, "GRANTED", &PURPOSES))),
    );
    kafka.produce(cases.iter().map(|it| shop.click(&view(it.subject))));
    for purpose in &PURPOSES[..3] {
        wait_until(WITHIN, "everybody assigned", || {
            (keys(&shop, purpose).len() == cases.len()).then_some(())
        });
    }
    let said: Vec<_> =
        cases.iter().map(|it| it.consent.clone().map(|it| kafka.produce([it])[0])).collect();
    let done = kafka.produce(cases.iter().map(|it| shop.click(&it.click)));
    let audit = audited(&shop, &done);

    let topics: Vec<_> = PURPOSES.iter().map(|purpose| keys(&shop, purpose)).collect();
    for (at, case) in cases.iter().enumerate() {
        let decided = &audit.clicks[&done[at]];
        let verdicts = PURPOSES.map(|purpose| decided.verdicts[purpose].as_str());
        assert_eq!(verdicts, case.verdicts, "{}", case.subject);
        assert_eq!(decided.consent_version, case.version, "{}", case.subject);
        let moved_at = said[at].map_or(decided.decided_at, |it| audit.consents[&it].decided_at);
        for (purpose, topic) in PURPOSES.iter().zip(&topics).take(3) {
            let last = topic[&pseudonym(purpose, case.subject)].last().expect("a record");
            case.assert_last(purpose, decided.verdicts[*purpose].as_str(), moved_at, last);
        }
        assert!(!topics[3].contains_key(&pseudonym("paused", case.subject)));
    }
    audit.assert_whole(&shop);
    audit.assert_effects(&shop, &PURPOSES);
    service.stop();
}

impl Case {
    fn assert_last(&self, purpose: &str, verdict: &str, moved_at: i64, last: &Record) {
        let place = format!("{} for {purpose}", self.subject);
        let late = verdict == BEFORE && self.consent.is_none();
        if [IN, GUARDIAN, FREE].contains(&verdict) || late {
            let value = last.value.as_deref().unwrap_or_else(|| panic!("{place} is gone"));
            let value = crate::support::decode("segment_assignment", value);
            assert!(late || value["basis"] == verdict, "{place}: {value}");
            return;
        }
        assert!(last.value.is_none(), "{place} is still there");
        let reason = self.reason.map_or(verdict.to_lowercase(), str::to_owned);
        assert_eq!(last.header("reason"), Some(reason.as_str()), "{place}");
        assert_eq!(last.header("decided_at"), Some(moved_at.to_string().as_str()), "{place}");
        assert_eq!(last.headers.len(), 2, "{place}: {:?}", last.headers);
    }
}

#[rustfmt::skip] // a table
fn cases(shop: &Shop<'_>) -> Vec<Case> {
    let minute_ago = now_ms() - 60_000;
    let says = |subject: &'static str, fields: Value, verdicts| Case {
        subject, verdicts, reason: None, version: Some(2), click: view(subject),
        consent: Some(shop.consent(&with(consent(subject, 2, "GRANTED", &PURPOSES), fields))),
    };
    let status = |subject: &'static str, status: &str, fields: Value, verdicts| Case {
        consent: Some(shop.consent(&with(consent(subject, 2, status, &PURPOSES), fields))),
        ..says(subject, json!({}), verdicts)
    };
    let does = |subject: &'static str, fields: Value, verdicts| Case {
        consent: None, version: Some(1), click: with(view(subject), fields),
        ..says(subject, json!({}), verdicts)
    };
    let guardian = |disclosure: bool, authorization: bool| json!({
        "verified_at": minute_ago, "method": "payment-card", "coppa_consent": true,
        "coppa_disclosure": disclosure, "ccpa_authorization": authorization});
    let each = |field: &str, value: i64| {
        let one = json!({field: value});
        json!({"decisions": {"offers": one, "open": one, "partners": one, "paused": one}})
    };
    let undecodable = shop.consent(&consent("2-undecodable", 2, "GRANTED", &PURPOSES)).value("{}");
    vec![
        Case { consent: Some(undecodable), version: Some(1), ..says("2-undecodable", json!({}), [UNREADABLE; 4]) },
        says("2-contradicted", json!({"version": 1, "age_band": "UNDER_13"}), [UNREADABLE; 4]).version(1),
        Case { consent: Some(shop.erasure("3-erased")), version: None, reason: Some("erasure"),
            ..says("3-erased", json!({}), [NONE; 4]) },
        says("4-suspended", json!({}), [IN, IN, IN, PAUSED]),
        status("5-denied", "DENIED", json!({}), [OUT, OUT, OUT, PAUSED]),
        status("5-withdrawn", "WITHDRAWN", json!({}), [OUT, OUT, OUT, PAUSED]),
        says("6-signal-on-record", json!({"opt_out_signal_at": now_ms()}), [IN, IN, SIGNAL, PAUSED]),
        does("6-gpc-click", json!({"gpc": true}), [IN, IN, SIGNAL, PAUSED]),
        does("6-gpp-click", json!({"gpp": "no GPP string"}), [IN, IN, SIGNAL, PAUSED]),
        says("6-signal-lifted", json!({"opt_out_signal_at": minute_ago - 3_600_000}), [IN, IN, IN, PAUSED]),
        says("7-no-guardian", json!({"age_band": "UNDER_13"}), [CHILD, CHILD, CHILD, PAUSED]),
        says("7-unknown-age", json!({"age_band": "UNKNOWN"}), [CHILD, CHILD, CHILD, PAUSED]),
        says("7-no-disclosure", json!({"age_band": "UNDER_13", "guardian": guardian(false, true)}),
            [GUARDIAN, GUARDIAN, CHILD, PAUSED]),
        says("7-no-authorization", json!({"age_band": "UNDER_13", "guardian": guardian(true, false)}),
            [GUARDIAN, GUARDIAN, CHILD, PAUSED]),
        status("7-not-asked", "NOT_ASKED", json!({"age_band": "UNDER_13", "guardian": guardian(true, true)}),
            [CHILD, CHILD, CHILD, PAUSED]),
        status("8-not-asked", "NOT_ASKED", json!({"age_band": "FROM_13_TO_15"}), [TEEN, TEEN, TEEN, PAUSED]),
        says("8-one-step", json!({"age_band": "FROM_13_TO_15", "double_opt_in_at": null}), [IN, IN, TEEN, PAUSED]),
        status("9-not-asked-at-16", "NOT_ASKED", json!({"age_band": "FROM_16_TO_17"}), [ASK, FREE, ASK, PAUSED]),
        status("9-not-asked", "NOT_ASKED", json!({}), [ASK, FREE, ASK, PAUSED]),
        says("10-expired", each("expires_at", now_ms() - 1), [EXPIRED, EXPIRED, EXPIRED, PAUSED]),
        says("11-grant-to-come", each("since", now_ms() + 3_600_000), [BEFORE, BEFORE, BEFORE, PAUSED]),
        does("11-older-click", json!({"occurred_at": minute_ago - 60_000}), [BEFORE, BEFORE, BEFORE, PAUSED]),
        says("12-guardian", json!({"age_band": "UNDER_13", "guardian": guardian(true, true)}),
            [GUARDIAN, GUARDIAN, GUARDIAN, PAUSED]),
        says("12-teen", json!({"age_band": "FROM_13_TO_15"}), [IN, IN, IN, PAUSED]),
    ]
}

impl Case {
    fn version(self, version: i64) -> Self {
        Self { version: Some(version), ..self }
    }
}

#[test]
fn a_click_of_nobody_known_is_decided_and_leaves_nothing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let anonymous = with(view("anybody"), json!({"subject_id": null}));
    let done = kafka.produce([shop.click(&view("never-asked")), shop.click(&anonymous)]);
    let audit = audited(&shop, &done);
    for place in done {
        assert_eq!(PURPOSES.map(|it| audit.clicks[&place].verdicts[it].as_str()), [NONE; 4]);
    }
    for purpose in PURPOSES {
        assert!(keys(&shop, purpose).is_empty());
    }
    service.stop();
}

#[test]
fn a_silent_source_closes_the_gate_and_its_heartbeat_opens_it() {
    let kafka = kafka_or_skip!();
    let silence = format!("{}s", SILENCE.as_secs());
    let sources = json!({"cmp": {"max_silence": silence, "on_silence": "close"}});
    let settings = json!({"consent": {"sources": sources}});
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..plan(settings) });
    let beat = || {
        let beat = Message::new(shop.topic("consent-changelog")).key("__assent_heartbeat_0");
        kafka.produce([beat.partition(0).header("source", "cmp")]);
    };
    let service = Service::start(&shop, "a");
    service.await_ready();
    std::thread::sleep(SILENCE + Duration::from_millis(500)); // it counts from the assignment
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    let gate = |open: f64| {
        wait_until(WITHIN, "the gate as it should be", || {
            (service.metrics().sum("assent_consent_gate_open", &[]) == Some(open)).then_some(())
        });
    };
    gate(0.0);
    shop.run(&["heartbeat"]).ok(); // vouches for nobody else
    let stale = kafka.produce([shop.click(&view("kim"))]);
    let audit = audited(&shop, &stale);
    let verdicts = &audit.clicks[&stale[0]].verdicts;
    assert_eq!(PURPOSES.map(|it| verdicts[it].as_str()), ["CONSENT_STALE"; 4]);
    assert!(keys(&shop, "offers").is_empty());

    beat();
    gate(1.0);
    let open = kafka.produce([shop.click(&view("kim"))]);
    let audit = wait_until(WITHIN, "the click audited", || {
        beat();
        let audit = audit::read(&shop);
        audit.clicks.contains_key(&open[0]).then_some(audit)
    });
    let verdicts = &audit.clicks[&open[0]].verdicts;
    assert_eq!(PURPOSES.map(|it| verdicts[it].as_str()), [IN, IN, IN, PAUSED]);
    service.stop();
}

/// The audit, once these clicks are in it.
fn audited(shop: &Shop<'_>, clicks: &[(i32, i64)]) -> Audit {
    wait_until(WITHIN, "every click audited", || {
        let audit = audit::read(shop);
        clicks.iter().all(|place| audit.clicks.contains_key(place)).then_some(audit)
    })
}

/// Every record of a segment topic by its key, in order.
pub fn keys(shop: &Shop<'_>, purpose: &str) -> BTreeMap<String, Vec<Record>> {
    let mut keys: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in shop.committed(&format!("segments.{purpose}")) {
        keys.entry(record.key_text().to_owned()).or_default().push(record);
    }
    keys
}
