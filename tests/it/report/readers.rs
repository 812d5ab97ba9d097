//! `report readers`: one reader in Python and one in Java say what they have applied, one only commits, one says that it
//! is behind, and one says what can't be.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{DAY_MS, OFFERS, framed, json};
use crate::examples::python;
use crate::reader_check::java;
use crate::support::{
    Finished, Message, Plan, Service, Shop, TopicPlan, consent, latest, leave_out, now_ms,
    pseudonym, read_datum, schema_text, view, wait_until, with,
};

const WITHIN: Duration = Duration::from_mins(1);
const READERS: [&str; 5] = ["committing", "java", "lagging", "liar", "python"];

fn plan(name: &str) -> Plan {
    let plan = Plan::of_lookers("readers-2", 1);
    let reader = |id: &str| format!("{{id: {id}, kind: third_party, group_id: {name}-{id}}}");
    let readers = READERS.map(reader).join(", ");
    let declared = format!("retention: 30d, readers: [{readers}]}}");
    let rulebook = plan.rulebook.map(|it| it.replacen("retention: 30d}", &declared, 1));
    Plan { rulebook, ..plan }
}

fn acks(shop: &Shop<'_>) -> TopicPlan {
    let config = vec![("cleanup.policy", "compact".to_owned())];
    TopicPlan { name: shop.topic("reader-acks"), partitions: 1, config }
}

/// As a reader of its own writes it.
fn ack(shop: &Shop<'_>, reader: &str, partition: i32, offset: i64) -> Message {
    let key = format!("{reader}/{}/{partition}", shop.segments(OFFERS));
    let said = json!({"offset": offset, "at": now_ms()});
    Message::new(shop.topic("reader-acks")).key(key).value(framed("reader_ack", &said))
}

/// Somebody agrees and looks, and opts out with a record of this time.
fn leaves(shop: &Shop<'_>, id: &str, recorded_at: i64) {
    let topic = format!("segments.{OFFERS}");
    let key = pseudonym(OFFERS, id);
    shop.kafka.produce([shop.consent(&consent(id, 1, "GRANTED", &[OFFERS]))]);
    shop.kafka.produce([shop.click(&view(id))]);
    wait_until(WITHIN, "an assignment", || {
        latest(&shop.committed(&topic)).contains_key(key.as_bytes()).then_some(())
    });
    let withdrawn = consent(id, 2, "WITHDRAWN", &[OFFERS]);
    shop.kafka.produce([shop.consent(&with(withdrawn, json!({"recorded_at": recorded_at})))]);
    wait_until(WITHIN, "a tombstone", || {
        let gone = |it: &crate::support::Record| it.value.is_none() && it.key_text() == key;
        shop.committed(&topic).iter().any(gone).then_some(())
    });
}

fn read_in_python(shop: &Shop<'_>, python: &std::path::Path, more: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reader/segments.py");
    let mut command = Command::new(python);
    command.args([script, "follow", &shop.segments(OFFERS), "--once", "--copy", more[1]]);
    command.args(["--bootstrap", shop.kafka.bootstrap()]).args(more).current_dir(shop.folder());
    Finished::of(&mut command).ok();
}

/// Until it has said how far it is in every partition.
fn read_in_java(shop: &Shop<'_>, words: &[String]) {
    let properties = shop.folder().join("java.properties");
    std::fs::write(&properties, "").expect("written");
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([
        "follow",
        shop.kafka.bootstrap(),
        &shop.segments(OFFERS),
        "j.db",
    ]);
    command.arg(&properties).args(["java", &shop.topic("reader-acks")]);
    command.current_dir(shop.folder()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().expect("java starts");
    let ends = ends(shop);
    wait_until(WITHIN * 2, "acknowledgements of the reader in Java", || {
        let said = latest(&shop.committed("reader-acks"));
        let has_said = |(partition, end): (usize, &i64)| {
            let key = ack(shop, "java", partition as i32, 0).key.expect("a key");
            let value = said.get(&key).and_then(|it| it.value.as_deref());
            value.is_some_and(|it| {
                read_datum(&schema_text("reader_ack"), &it[10..])["offset"] == json!(end)
            })
        };
        ends.iter().enumerate().all(has_said).then_some(())
    });
    child.kill().expect("killed");
    child.wait().expect("waited for");
}

/// One past the last record of each partition, control records included.
fn ends(shop: &Shop<'_>) -> Vec<i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let client: BaseConsumer = shop.kafka.client().create().expect("a client");
    let end = |partition| client.fetch_watermarks(&shop.segments(OFFERS), partition, WITHIN);
    (0..shop.partitions).map(|partition| end(partition).expect("watermarks").1).collect()
}

fn of<'j>(report: &'j Value, reader: &str) -> &'j Value {
    let readers = report["purposes"][0]["readers"].as_array().expect("readers");
    readers.iter().find(|it| it["reader"] == reader).unwrap_or_else(|| panic!("{reader}: {report}"))
}

fn sources(reader: &Value) -> Vec<&str> {
    let partitions = reader["partitions"].as_array().expect("partitions").iter();
    partitions.map(|it| it["source"].as_str().expect("a word")).collect()
}

#[test]
fn a_reader_is_where_it_says_else_where_its_group_is_and_a_lie_counts_for_nothing() {
    let kafka = kafka_or_skip!();
    let python = match python() {
        Ok(python) => python,
        Err(why) => return leave_out(&why),
    };
    let folder = tempfile::tempdir().expect("temp dir");
    let java = match java::built(folder.path()) {
        Ok(words) => words,
        Err(why) => return leave_out(&why),
    };
    let name = format!("acks-{}", std::process::id());
    let shop = Shop::open_with(kafka, &plan(&name));
    let service = Service::start(&shop, "a");
    service.await_ready();
    leaves(&shop, "kim", now_ms() - 1_000);

    let bare = json(&shop, &["readers"], 0);
    assert!(bare["notes"].to_string().contains("There is no topic"), "{bare}");
    assert_eq!(of(&bare, "python")["unapplied_tombstones"], 1, "nobody has said anything");

    kafka.create_topics(&[acks(&shop)]);
    let topic = shop.topic("reader-acks");
    read_in_python(&shop, &python, &["--copy", "a.db", "--ack", "python", "--acks-topic", &topic]);
    read_in_python(&shop, &python, &["--copy", "c.db", "--group", &format!("{name}-committing")]);
    read_in_java(&shop, &java);
    let all = 0..shop.partitions;
    kafka.produce(all.clone().map(|partition| ack(&shop, "lagging", partition, 0)));
    kafka.produce(all.clone().map(|partition| ack(&shop, "liar", partition, 1_000_000)));
    kafka.produce([
        ack(&shop, "stranger", 0, 1),
        Message::new(&topic).key("no key of ours").value("x"),
        ack(&shop, "liar", 0, 0).value("no acknowledgement"),
    ]);

    let found = json(&shop, &["readers"], 0);
    for (reader, source, unapplied) in [
        ("python", "acknowledged", 0),
        ("java", "acknowledged", 0),
        ("committing", "committed", 0),
        ("lagging", "acknowledged", 1),
        ("liar", "unknown", 1),
    ] {
        let of_it = of(&found, reader);
        assert_eq!(of_it["unapplied_tombstones"], unapplied, "{of_it}");
        assert!(sources(of_it).contains(&source), "{of_it}");
        assert_eq!(of_it["oldest"]["overdue_business_days"].as_u64().unwrap_or_default(), 0);
    }
    assert!(!sources(of(&found, "liar")).contains(&"acknowledged"), "{found}");
    assert_eq!(found["undeclared_acks_count"], 1);
    // What the liar said last of each partition, and the key.
    assert_eq!(found["unreadable_acks_count"], shop.partitions + 1, "{found}");
    whoever_may_have_used_it_is_named(&shop, &found);
    an_old_request_is_overdue(&shop);
    service.stop();
}

fn whoever_may_have_used_it_is_named(shop: &Shop<'_>, found: &Value) {
    let key = &found["purposes"][0]["keys"][0];
    assert_eq!(key["key"], pseudonym(OFFERS, "kim"));
    assert_eq!(
        (&key["reason"], &key["written_after_request"]),
        (&json!("opted_out"), &json!(true))
    );
    assert!(key["requested_at"].as_i64() < key["removed_at"].as_i64(), "{key}");
    let told = |reader: &str| json!({"reader": reader, "has_applied": true});
    let readers = ["committing", "java", "python"].map(told);
    assert_eq!(key["readers"], json!(readers), "who had read nothing is not among them");
    let page = shop.folder().join("readers.html");
    shop.run(&["report", "readers", "--html", page.to_str().expect("UTF-8")]).ok();
    super::look_at(&page);
}

/// Of 40 days ago: 15 business days are over.
fn an_old_request_is_overdue(shop: &Shop<'_>) {
    leaves(shop, "lee", now_ms() - 40 * DAY_MS);
    let found = json(shop, &["readers"], 1);
    let oldest = &of(&found, "java")["oldest"];
    let days = oldest["overdue_business_days"].as_u64().expect("days");
    assert!((10..=16).contains(&days), "{oldest}");
    let text = shop.run(&["report", "readers"]);
    assert!(text.stdout.contains(&format!("**{days}**")), "{}", text.stdout);
    assert!(text.stderr.contains("has not applied an opt-out"), "{}", text.stderr);
}
