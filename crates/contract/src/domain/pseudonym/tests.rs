//! Keys and tokens against the contract's vectors, and what a keyset refuses.

use serde_json::Value;

use super::*;
use crate::domain::time::Timestamp;

fn vectors() -> Value {
    let mut vectors: Value =
        serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json")).unwrap();
    vectors["keyset"].as_object_mut().unwrap().remove("about");
    vectors
}

fn keyset(vectors: &Value, active: u8) -> Keyset {
    let mut file = vectors["keyset"].clone();
    for key in file["keys"].as_array_mut().unwrap() {
        let status = if key["version"] == active { "active" } else { "retiring" };
        key["status"] = status.into();
    }
    Keyset::parse(&file.to_string()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn pseudonyms_are_those_of_the_contract() {
    let vectors = vectors();
    let purposes = ["personalized-offers".to_owned(), "partner-advertising".to_owned()];
    for case in vectors["pseudonyms"]["cases"].as_array().unwrap() {
        let version = case["version"].as_u64().unwrap() as u8;
        let ring = KeyRing::new(&keyset(&vectors, version), &purposes);
        let subject = text(&case["subject_id"]).as_bytes();
        let pseudonym = match purposes.iter().position(|p| p == text(&case["purpose"])) {
            Some(index) => {
                let other = KeyRing::new(&keyset(&vectors, 3 - version), &purposes);
                let active = ring.pseudonym(index, subject);
                assert_eq!(other.pseudonym_under(version, index, subject), Some(active));
                active
            }
            None => Pseudonym(ring.audit_token(subject)),
        };
        assert_eq!(pseudonym.text(), text(&case["pseudonym"]));
        assert_eq!(Pseudonym::parse(text(&case["pseudonym"])), Some(pseudonym));
        assert_eq!(pseudonym.version(), version);
        let bytes = u128::from_be_bytes(*pseudonym.0.last_chunk().unwrap());
        assert_eq!(format!("{version:02x}{bytes:032x}"), text(&case["bytes"]));
    }
}

#[test]
fn session_tokens_are_those_of_the_contract() {
    let vectors = vectors();
    let cases = vectors["session_tokens"]["cases"].as_array().unwrap();
    let mut days = SessionKeys::default();
    let rings = [1, 2].map(|version| KeyRing::new(&keyset(&vectors, version), &[]));
    for case in cases.iter().chain(cases.iter().rev()) {
        let ring = &rings[case["version"].as_u64().unwrap() as usize - 1];
        let occurred_at = Timestamp(case["occurred_at"].as_i64().unwrap());
        let token = ring.session_token(&mut days, text(&case["session_id"]), occurred_at);
        assert_eq!(token.text(), text(&case["token"]));
    }
}

#[test]
fn many_days_of_sessions_stay_right_when_the_cache_is_full() {
    let (ring, mut days) = (KeyRing::new(&Keyset::first([7; 32]), &[]), SessionKeys::default());
    let day = |n: i64| Timestamp(n * 86_400_000);
    let first: Vec<_> = (0..10).map(|n| ring.session_token(&mut days, "s", day(n))).collect();
    let again: Vec<_> = (0..10).map(|n| ring.session_token(&mut days, "s", day(n))).collect();
    assert_eq!(first, again);
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 10);
}

#[test]
fn the_state_is_keyed_under_the_lowest_version_for_ever() {
    let vectors = vectors();
    let [first, rotated] = [1, 2].map(|active| KeyRing::new(&keyset(&vectors, active), &[]));
    assert_eq!(first.state_token(b"subject-1"), rotated.state_token(b"subject-1"));
    assert_ne!(first.state_token(b"subject-1"), first.state_token(b"subject-2"));
    assert_eq!((first.active(), rotated.active()), (1, 2));

    // `state` is a purpose like any other: HMAC under its own derived key, without the version.
    let as_purpose = KeyRing::new(&keyset(&vectors, 1), &["state".to_owned()]);
    let expected = as_purpose.pseudonym(0, b"subject-1");
    assert_eq!(first.state_token(b"subject-1").to_be_bytes(), expected.0[1..]);
}

#[test]
fn who_is_held_out_is_as_the_contract_says_whatever_key_is_active() {
    let vectors = vectors();
    let purposes = ["personalized-offers".to_owned(), "partner-advertising".to_owned()];
    let rings = [1, 2].map(|active| KeyRing::new(&keyset(&vectors, active), &purposes));
    for case in vectors["holdout"]["cases"].as_array().unwrap() {
        let index = purposes.iter().position(|p| p == text(&case["purpose"])).unwrap();
        for ring in &rings {
            let token = ring.state_token(text(&case["subject_id"]).as_bytes());
            let number = ring.holdout_number(index, token);
            assert_eq!(format!("{number:016x}"), text(&case["number"]));
        }
    }
}

#[test]
fn a_pseudonym_is_read_strictly() {
    let text = Pseudonym([9; 17]).text();
    assert_eq!(text.len(), TEXT_LEN);
    assert_eq!(Pseudonym::parse(&text), Some(Pseudonym([9; 17])));
    assert_eq!(Pseudonym([9; 17]).to_string(), text);
    let refused = [
        String::new(),
        text[..22].to_owned(),
        format!("{text}="),
        format!("{text}A"),
        text.replace('C', "+"),
        Pseudonym([0; 17]).text(),
    ];
    for text in refused {
        assert_eq!(Pseudonym::parse(&text), None, "{text}");
    }
}

const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn file(keys: &[(i64, &str, &str)]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(version, status, secret)| {
            format!(r#"{{"version":{version},"status":"{status}","secret":"{secret}"}}"#)
        })
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn refused(json: &str) -> KeysetError {
    Keyset::parse(json).err().expect("is refused")
}

#[test]
fn a_keyset_survives_being_written_and_read() {
    let json = file(&[(1, "retired", ONES), (2, "retired", ""), (9, "active", ONES)]);
    let keyset = Keyset::parse(&json).ok().unwrap();
    let again = Keyset::parse(&keyset.to_json()).ok().unwrap();
    assert_eq!(keyset.to_json(), again.to_json());
    assert_eq!(
        again.versions().collect::<Vec<_>>(),
        [(1, Status::Retired), (2, Status::Retired), (9, Status::Active)]
    );
    let ring = KeyRing::new(&again, &["p".to_owned()]);
    assert_eq!(ring.fingerprints().keys().copied().collect::<Vec<_>>(), [1, 9]);
    assert_eq!(ring.pseudonym_under(1, 0, b"a"), None, "a retired key makes no pseudonym");
    assert_eq!(Keyset::first([1; 32]).to_json().as_str(), {
        format!(
            "{{\"keys\": [\n  {{\"version\": 1, \"status\": \"active\", \"secret\": \"{ONES}\"}}\n]}}\n"
        )
    });
}

#[test]
fn another_secret_has_another_fingerprint() {
    let of = |secret| *KeyRing::new(&Keyset::first(secret), &[]).fingerprints().get(&1).unwrap();
    assert_eq!(of([1; 32]), of([1; 32]));
    assert_ne!(of([1; 32]), of([2; 32]));
    assert_ne!(of([1; 32]), [1; 32]);
}

#[test]
fn a_keyset_is_refused_for_what_is_wrong_with_it() {
    use KeysetError::{
        ActiveKeys, BadSecret, DuplicateVersion, LowestEmptied, MissingSecret, NoKeys,
        VersionOutOfRange,
    };
    let short = "AQEBAQ==";
    for (keys, expected) in [
        (&[][..], NoKeys),
        (&[(0, "active", ONES)], VersionOutOfRange(0)),
        (&[(256, "active", ONES)], VersionOutOfRange(256)),
        (&[(1, "active", ONES), (1, "retiring", ONES)], DuplicateVersion(1)),
        (&[(1, "retiring", ONES)], ActiveKeys(0)),
        (&[(1, "active", ONES), (2, "active", ONES)], ActiveKeys(2)),
        (&[(1, "active", short)], BadSecret(1)),
        (&[(1, "active", "not base64")], BadSecret(1)),
        (&[(1, "active", ONES.trim_end_matches('='))], BadSecret(1)),
        (&[(1, "active", "")], MissingSecret(1, Status::Active)),
        (&[(1, "active", ONES), (2, "retiring", "")], MissingSecret(2, Status::Retiring)),
        (&[(1, "retired", ""), (2, "active", ONES)], LowestEmptied(1)),
    ] {
        assert_eq!(refused(&file(keys)), expected);
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = format!("\u{feff}{}\r\n", file(&[(1, "active", ONES)]));
    assert_eq!(Keyset::parse(&text).ok().map(|keyset| keyset.active()), Some(1));
}

#[test]
fn a_malformed_keyset_is_named_by_its_place_and_never_quoted() {
    for (json, is_json) in [
        ("{\"keys\":", false),
        ("", false),
        (r#"{"keys":[],"TOPSECRET":1}"#, true),
        (r#"{"keys":[{"version":"TOPSECRET","status":"active","secret":""}]}"#, true),
        (r#"{"keys":[{"version":1,"status":"TOPSECRET","secret":""}]}"#, true),
        (r#"{"keys":[{"version":1,"status":"active"}]}"#, true),
        (r#"{"keys":[{"version":1,"status":"active","secret":null}]}"#, true),
        (r#"{"keys":[{"version":1,"status":"active","secret":"TOPSECRET"}]}"#, true),
        (r#"{"keys":[{"version":1,"version":2,"status":"active","secret":"TOPSECRET"}]}"#, true),
        (r#"{"keys":[{"version":1,"status":"retiring","secret":"","status":"active"}]}"#, true),
        (r#"{"keys":[],"keys":[{"version":1,"status":"active","secret":"TOPSECRET"}]}"#, true),
    ] {
        let error = refused(json);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("TOPSECRET"), "{shown}");
        if let KeysetError::Malformed { is_json: found, .. } = error {
            assert_eq!(found, is_json, "{json}");
        }
    }
}
