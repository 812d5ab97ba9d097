//! `assent segments count` and `export`, and `get` by subject, on topics that hold what readers have to expect.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Finished, Message, Plan, Shop, now_ms, pseudonym, pseudonym_under};

const OFFERS: &str = "personalized-offers";
const SHARED: &str = "partner-advertising";
/// 2100-01-01.
const NEVER: i64 = 4_102_444_800_000;

const SECOND_SECRET: [u8; 32] = [9; 32];

/// Keys of version 1, whose secret is every shop's, and of version 2, which is active.
fn rotate(shop: &Shop<'_>) {
    use base64::Engine as _;
    let text = |secret: &[u8]| base64::engine::general_purpose::STANDARD.encode(secret);
    let keyset = json!({"keys": [
        {"version": 1, "status": "retiring", "secret": text(&crate::support::secret())},
        {"version": 2, "status": "active", "secret": text(&SECOND_SECRET)},
    ]});
    std::fs::write(shop.folder().join("keyset.json"), keyset.to_string()).expect("written");
}

/// Kim is live under the old key, Lee under the new one; nobody else is in the segment for offers.
fn fill(shop: &Shop<'_>) {
    let put =
        |id: &str, expires| shop.assignment(OFFERS, &pseudonym(OFFERS, id), &["lookers"], expires);
    let lee = pseudonym_under(2, &SECOND_SECRET, OFFERS, "lee");
    let left = pseudonym(OFFERS, "left");
    shop.kafka.produce([
        put("kim", NEVER),
        shop.assignment(OFFERS, &lee, &["lookers"], NEVER),
        put("over", now_ms() - 1),
        put("left", NEVER),
        Message::new(shop.segments(OFFERS)).key(left),
        put("odd", NEVER),
        put("odd", NEVER).value("no Avro"),
        shop.assignment(SHARED, &pseudonym(SHARED, "over"), &["shown", "gone"], NEVER),
    ]);
}

fn shop(kafka: &crate::support::Kafka) -> Shop<'_> {
    let shop = Shop::open_with(kafka, &Plan::of_lookers("lists-1", 1));
    rotate(&shop);
    fill(&shop);
    shop
}

#[test]
fn each_segment_is_counted_with_who_may_be_used_now() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let count = |purpose: &str, segment: &str, members: u64| json!({"purpose": purpose, "segment": segment, "members": members});
    let all = shop.run(&["segments", "count", "--json"]).ok();
    let expected = json!({"counts": [count(SHARED, "shown", 1), count(OFFERS, "lookers", 2)]});
    assert_eq!(all.json(), expected);
    assert!(all.stderr.contains("1 assignments for partner-advertising have a segment"), "{all:?}");
    let one = shop.run(&["segments", "count", "--purpose", OFFERS]).ok();
    assert_eq!(one.stdout, "personalized-offers  lookers  2\n");
    assert_eq!(shop.run(&["segments", "count", "--purpose", "ofers"]).code, Some(64));

    let empty = Shop::open_with(kafka, &Plan::of_lookers("lists-2", 1));
    let none = empty.run(&["segments", "count", "--purpose", OFFERS, "--json"]).ok();
    assert_eq!(none.json(), json!({"counts": [count(OFFERS, "lookers", 0)]}));
}

#[test]
fn ids_become_rows_under_each_live_key_and_everyone_else_is_the_default() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let list = "kim\r\nlee\n\nover\nleft\nodd\n\"a, b\"\nkim";
    std::fs::write(shop.folder().join("ids.txt"), list).expect("written");
    let export = ["segments", "export", "--purpose", OFFERS, "--ids"];
    let csv = shop.run(&[&export[..], &["ids.txt"]].concat()).ok();
    let expected = format!(
        "id,segments,basis,expires_at\nkim,lookers,OPT_IN,{NEVER}\nlee,lookers,OPT_IN,{NEVER}\n\
         over,everybody,,\nleft,everybody,,\nodd,everybody,,\n\"\"\"a, b\"\"\",everybody,,\nkim,lookers,OPT_IN,{NEVER}\n"
    );
    assert_eq!(csv.stdout, expected);

    let mut command = shop.command(&[&export[..], &["-", "--format", "jsonl"]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("stdin").write_all(b"lee\nnobody\n").expect("written");
    let output = child.wait_with_output().expect("its output");
    let rows: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let default =
        json!({"id": "nobody", "segments": ["everybody"], "basis": null, "expires_at": null});
    let lee = json!({"id": "lee", "segments": ["lookers"], "basis": "OPT_IN", "expires_at": NEVER});
    assert_eq!(rows, [lee, default]);
}

#[test]
fn a_list_of_many_ids_keeps_its_order() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let ids: Vec<String> = (0..2_500).map(|number| format!("id-{number}")).collect();
    std::fs::write(shop.folder().join("ids.txt"), ids.join("\n")).expect("written");
    let export = ["segments", "export", "--purpose", OFFERS, "--ids", "ids.txt"];
    let csv = shop.run(&export).ok().stdout;
    let found: Vec<&str> =
        csv.lines().skip(1).map(|row| row.split(',').next().expect("an id")).collect();
    assert_eq!(found, ids);
}

#[test]
fn a_mistake_is_told_and_no_id_is_repeated() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let export = |purpose: &str, file: &str| {
        shop.run(&["segments", "export", "--purpose", purpose, "--ids", file])
    };
    let told = |finished: &Finished, code, text: &str| {
        assert_eq!(finished.code, Some(code), "{finished:?}");
        assert!(finished.stderr.contains(text), "{finished:?}");
        assert_eq!(finished.stderr.lines().last().map(|it| it.contains("secret")), Some(false));
    };
    std::fs::write(shop.folder().join("ids.txt"), "kim\n__assent_secret\nlee\n").expect("written");
    told(&export("ofers", "ids.txt"), 64, "--purpose ofers");
    told(&export(OFFERS, "absent.txt"), 65, "absent.txt: can't be read");
    let faulty = export(OFFERS, "ids.txt");
    told(&faulty, 65, "ids.txt:2: the id must have 1 to 512 bytes");
    assert_eq!(faulty.stdout.lines().count(), 2, "the rows before it: {faulty:?}");
}

#[test]
fn a_subject_is_found_under_each_live_key() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let get =
        |id: &str| shop.run(&["segments", "get", "--subject", id, "--purpose", OFFERS, "--json"]);
    for id in ["kim", "lee"] {
        assert_eq!(get(id).ok().json()["segments"], json!(["lookers"]), "{id}");
    }
    for id in ["left", "odd", "over"] {
        assert_eq!(get(id).code, Some(1), "{id}");
    }
}
