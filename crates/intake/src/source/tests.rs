//! Each platform's documented shape, and what is made of it. The samples are made up.

use std::collections::BTreeMap;

use super::*;
use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::time::Timestamp;

const AT: i64 = 1_785_777_669_000;

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../samples/", $name, ".json"))
    };
}

fn mapping(purposes: &[(&str, &str)], statuses: &[(&str, ConsentStatus)]) -> Mapping {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let statuses = statuses.iter().map(|(word, status)| ((*word).to_owned(), *status)).collect();
    let ages = BTreeMap::from([
        ("6 to 9".to_owned(), AgeBand::Under13),
        ("14".to_owned(), AgeBand::From13To15),
    ]);
    let questions = BTreeMap::from([("child-age".to_owned(), ages)]);
    Mapping::new("email".to_owned(), owned(purposes), statuses, questions, None).unwrap()
}

fn onetrust() -> Mapping {
    mapping(
        &[
            ("ed2b82e3-db0b-4481-a55e-4a3d0cc57891", "ads"),
            ("0f5d4c1e-77aa-4d25-9a30-1f3f2f1f0a11", "offers"),
        ],
        &[],
    )
}

/// The one statement of a delivery.
#[track_caller]
fn said(source: Source, body: &str, mapping: &Mapping) -> (Said, Notes) {
    let Ok(mut delivery) = source.read(body.as_bytes(), mapping) else { panic!("refused: {body}") };
    assert_eq!(delivery.said.len(), 1, "{:?}", delivery.notes);
    (delivery.said.remove(0), delivery.notes)
}

#[track_caller]
fn refused(source: Source, body: &str, mapping: &Mapping) -> Refused {
    match source.read(body.as_bytes(), mapping) {
        Err(refused) => refused,
        Ok(_) => panic!("taken: {body}"),
    }
}

fn choice(says: Says, since: i64) -> Choice {
    Choice { says, since: Some(Timestamp(since)), expires_at: None }
}

/// One purpose of a receipt.
#[track_caller]
fn word(word: &str) -> Option<Says> {
    let body = format!(
        r#"{{"identifier": "a@b.c", "INTERACTIONDATE": "1785777669", "Purposes": [
        {{"ID": "ed2b82e3-db0b-4481-a55e-4a3d0cc57891", "transactiontype": "{word}"}}]}}"#
    );
    let said = said(Source::OneTrust, &body, &onetrust()).0;
    said.heard.choices.get("ads").map(|choice| choice.says)
}

#[test]
fn a_receipt_is_read_whatever_the_case_of_its_names() {
    let (said, notes) = said(Source::OneTrust, sample!("onetrust-receipt"), &onetrust());
    assert_eq!(said.identifier.text, "guardian-4711@example.com");
    let granted =
        Choice { expires_at: Some(Timestamp(1_817_313_669_000)), ..choice(Says::Granted, AT) };
    assert_eq!(said.heard.choices["offers"], granted);
    assert_eq!(said.heard.choices["ads"], choice(Says::Withdrawn, AT));
    assert_eq!(said.heard.choices.len(), 2);
    assert_eq!(notes, Notes { purposes: 1, ..Notes::default() });
    assert_eq!(said.heard.signal, Some(Dated { at: Some(Timestamp(AT)) }));
    assert_eq!(said.heard.guardian, None, "flags alone say nothing of a guardian");
}

#[test]
fn a_guardian_counts_where_the_mapping_says_how_they_are_verified() {
    let terms = GuardianTerms {
        method: "payment-card".to_owned(),
        coppa_consent: true,
        ..GuardianTerms::default()
    };
    let mut with = onetrust();
    with.guardian = Some(terms);
    let body = sample!("onetrust-receipt");
    let guardian = said(Source::OneTrust, body, &with).0.heard.guardian.unwrap();
    assert_eq!(guardian.verified_at, Timestamp(AT));
    assert_eq!(guardian.method.as_deref(), Some("payment-card"));
    assert!(guardian.coppa_consent && !guardian.coppa_disclosure && !guardian.ccpa_authorization);
    for (from, to) in [
        (r#""ConsentGivenBy":true"#, r#""ConsentGivenBy":false"#),
        (r#""ConsentGivenBy":true"#, r#""ConsentGivenBy":true,"ParentTestDataSubject":true"#),
        ("2026-08-03T17:21:09Z", "some day"),
        (r#""ParentIdentifier":"guardian-4711@example.com""#, r#""ParentIdentifier":"""#),
    ] {
        let body = body.replacen(from, to, 1);
        assert_eq!(said(Source::OneTrust, &body, &with).0.heard.guardian, None, "{to}");
    }
}

#[test]
fn words_of_onetrust_are_a_no_unless_they_are_known() {
    for (text, says) in [
        ("CONFIRMED", Says::Granted),
        ("ACTIVE", Says::Granted),
        ("EXTEND", Says::Extended),
        ("NOT_OPTED_OUT", Says::NotAsked),
        ("NO_CHOICE", Says::NotAsked),
        ("OPT_OUT", Says::Withdrawn),
        ("HARD_OPT_OUT", Says::Withdrawn),
        ("WITHDRAWN", Says::Withdrawn),
        ("PENDING", Says::Denied),
        ("IMPLICIT", Says::Denied),
        ("EXPIRED", Says::Denied),
        ("confirmed", Says::Denied),
        ("SOMETHING_NEW", Says::Denied),
        ("", Says::Denied),
    ] {
        assert_eq!(word(text), Some(says), "{text}");
    }
}

#[test]
fn a_mapping_outdoes_a_default() {
    let mapped = mapping(&[("p", "ads")], &[("CONFIRMED", ConsentStatus::Denied)]);
    let body = r#"{"identifier": "a", "interactionDate": 1785777669,
        "purposes": [{"Id": "P", "TransactionType": "CONFIRMED"}]}"#;
    assert_eq!(said(Source::OneTrust, body, &mapped).0.heard.choices["ads"].says, Says::Denied);
}

#[test]
fn an_event_is_read_without_what_it_holds_of_a_person() {
    let (said, notes) = said(Source::OneTrust, sample!("onetrust-3010"), &onetrust());
    assert_eq!(
        said.heard.choices,
        BTreeMap::from([("ads".to_owned(), choice(Says::Withdrawn, AT))])
    );
    assert_eq!(notes, Notes::default());
    let other = sample!("onetrust-3010").replacen("\"3010\"", "\"3011\"", 1);
    refused(Source::OneTrust, &other, &onetrust());
}

#[test]
fn a_topic_that_is_mapped_is_granted_only_within_its_purpose() {
    let topics = mapping(
        &[
            ("ed2b82e3-db0b-4481-a55e-4a3d0cc57891", "ads"),
            ("0f5d4c1e-77aa-4d25-9a30-1f3f2f1f0a11", "offers"),
            ("6ed69adf-51a3-4452-ab8b-6280d58dafe8", "news"),
        ],
        &[],
    );
    let news = |source, body: &str| said(source, body, &topics).0.heard.choices["news"].says;
    let receipt = sample!("onetrust-receipt");
    assert_eq!(news(Source::OneTrust, receipt), Says::Granted);
    let out = receipt.replacen("OPT_IN", "OPT_OUT", 1);
    assert_eq!(news(Source::OneTrust, &out), Says::Withdrawn);
    let pending = receipt.replacen("CONFIRMED", "PENDING", 1);
    assert_eq!(news(Source::OneTrust, &pending), Says::Denied);
    let event = sample!("onetrust-3010");
    assert_eq!(news(Source::OneTrust, event), Says::Withdrawn);
    let on = event.replacen("\"value\":false", "\"value\":true", 1);
    assert_eq!(news(Source::OneTrust, &on), Says::Withdrawn, "the purpose was withdrawn");
}

#[test]
fn a_test_nobody_and_what_is_not_mapped_say_nothing() {
    let nothing = |body: &str, mapping: &Mapping| {
        let Ok(delivery) = Source::OneTrust.read(body.as_bytes(), mapping) else {
            panic!("{body}")
        };
        assert!(delivery.said.is_empty());
        delivery.notes
    };
    let receipt = sample!("onetrust-receipt");
    let test = receipt.replacen("\"test\":false", "\"test\":true", 1);
    assert_eq!(nothing(&test, &onetrust()), Notes { tests: 1, ..Notes::default() });
    let nobody = receipt.replacen(" Guardian-4711@Example.com", "  ", 1);
    assert_eq!(nothing(&nobody, &onetrust()).nameless, 1);
    let plain = receipt.replacen("GPP", "TCF_EU", 1);
    assert_eq!(nothing(&plain, &mapping(&[], &[])).purposes, 3);
}

#[test]
fn a_grant_without_a_time_counts_for_nothing_and_a_refusal_counts_at_once() {
    let (said, notes) = said(
        Source::OneTrust,
        &sample!("onetrust-receipt").replacen("2026-08-03T17:21:09Z", "soon", 1),
        &onetrust(),
    );
    assert_eq!(notes.undated, 1);
    let refusal = Choice { says: Says::Withdrawn, since: None, expires_at: None };
    assert_eq!(said.heard.choices, BTreeMap::from([("ads".to_owned(), refusal)]));
    assert_eq!(said.heard.signal, Some(Dated { at: None }));
}

#[test]
fn of_two_purposes_that_are_one_of_ours_the_stricter_counts() {
    let both = mapping(
        &[
            ("ed2b82e3-db0b-4481-a55e-4a3d0cc57891", "one"),
            ("0f5d4c1e-77aa-4d25-9a30-1f3f2f1f0a11", "one"),
        ],
        &[],
    );
    let said = said(Source::OneTrust, sample!("onetrust-receipt"), &both).0;
    assert_eq!(said.heard.choices["one"], choice(Says::Withdrawn, AT));
}

#[test]
fn a_page_of_onetrust_says_how_to_go_on() {
    let page = onetrust_page(sample!("onetrust-page").as_bytes(), &onetrust()).ok().unwrap();
    assert_eq!(
        page.continuation.as_deref(),
        Some(r#"{"compositeToken":"jmxpAKZxe9nZkAoAAAAAAA=="}"#)
    );
    let texts: Vec<&str> =
        page.delivery.said.iter().map(|it| it.identifier.text.as_str()).collect();
    assert_eq!(texts, ["guardian-4711@example.com", "guardian-4712@example.com"]);
    assert_eq!(
        page.delivery.said[0].heard.choices["ads"],
        choice(Says::Withdrawn, 1_785_777_669_621)
    );
    let last = sample!("onetrust-page").replacen("\"last\":false", "\"last\":true", 1);
    let page = onetrust_page(last.as_bytes(), &onetrust()).ok().unwrap();
    assert_eq!(page.continuation, None);
}

#[test]
fn trustarc_has_no_word_of_its_own() {
    let purposes = [("Sale or Sharing", "ads"), ("d2", "offers")];
    let words = mapping(
        &purposes,
        &[("OPT_OUT", ConsentStatus::Withdrawn), ("YES", ConsentStatus::Granted)],
    );
    let body = sample!("trustarc-consents");
    let heard = said(Source::TrustArc, body, &words).0.heard;
    assert_eq!(heard.choices["ads"], choice(Says::Withdrawn, AT));
    let year = Some(Timestamp(AT + 365 * 86_400_000));
    assert_eq!(heard.choices["offers"], Choice { expires_at: year, ..choice(Says::Granted, AT) });
    let heard = said(Source::TrustArc, body, &mapping(&purposes, &[])).0.heard;
    assert!(heard.choices.values().all(|choice| choice.says == Says::Denied));
    let paged = format!(r#"{{"content": {body}, "last": true}}"#);
    assert!(said(Source::TrustArc, &paged, &words).0.heard.choices.len() == 2);
    let two =
        body.replacen(r#"{"display":"Yes","value":"YES"}"#, r#"{"value":"YES"},{"value":"NO"}"#, 1);
    assert_eq!(said(Source::TrustArc, &two, &words).0.heard.choices["offers"].says, Says::Denied);
    let none = body.replacen(r#"{"display":"Yes","value":"YES"}"#, "", 1);
    assert_eq!(said(Source::TrustArc, &none, &words).0.heard.choices["offers"].says, Says::Denied);
}

#[test]
fn a_callback_of_trustarc_is_a_hint_at_most() {
    let hint = |body: &str| trustarc_hint(body.as_bytes()).unwrap();
    let id = Some("3fa85f64-5717-4562-b3fc-2c963f66afa6".to_owned());
    assert_eq!(hint(sample!("trustarc-callback")), id);
    for nothing in ["{}", r#"{"dataSubjectId": "a&b=c"}"#, r#"{"dataSubjectId": ""}"#] {
        assert_eq!(hint(nothing), None, "{nothing}");
    }
    assert!(trustarc_hint(b"[]").is_err());
}

#[test]
fn an_answer_about_age_is_all_that_zigpoll_says() {
    let body = sample!("zigpoll-survey");
    let heard = said(Source::Zigpoll, body, &mapping(&[], &[])).0.heard;
    assert_eq!(heard, Heard { age_band: Some(AgeBand::Under13), ..Heard::default() });
    let several = body.replacen("\"6 to 9\"", "[\"14\", \"6 to 9\", \"40\"]", 1);
    let (said, notes) = said(Source::Zigpoll, &several, &mapping(&[], &[]));
    assert_eq!((said.heard.age_band, notes.answers), (Some(AgeBand::Under13), 1));
    let nothing = |body: &str| {
        Source::Zigpoll.read(body.as_bytes(), &mapping(&[], &[])).is_ok_and(|it| it.said.is_empty())
    };
    assert!(nothing(&body.replacen("child-age", "favorite-color", 1)));
    assert!(nothing(&body.replacen("6 to 9", "40", 1)));
    refused(Source::Zigpoll, &body.replacen("question_id", "question", 1), &mapping(&[], &[]));
}

#[test]
fn ketch_grants_only_what_somebody_opted_in_to() {
    let mapped =
        mapping(&[("advertising", "ads"), ("data_sales", "sale"), ("email_mktg", "mail")], &[]);
    let body = sample!("ketch-consent");
    let heard = said(Source::Ketch, body, &mapped).0.heard;
    assert_eq!(heard.choices["ads"], choice(Says::Granted, AT));
    assert_eq!(heard.choices["sale"], choice(Says::NotAsked, AT));
    assert_eq!(heard.choices["mail"], choice(Says::Denied, AT));
    let odd = body.replacen("\"advertising\":\"granted\"", "\"advertising\":\"allowed\"", 1);
    assert_eq!(said(Source::Ketch, &odd, &mapped).0.heard.choices["ads"].says, Says::Denied);
    refused(Source::Ketch, &body.replacen("consent/v1", "consent/v2", 1), &mapped);
    refused(Source::Ketch, &body.replacen("ConsentRequest", "AccessRequest", 1), &mapped);
}

#[test]
fn a_fault_names_its_field_and_a_field_stands_there_once() {
    let check = |body: &str, field: &str| {
        let refused = refused(Source::OneTrust, body, &onetrust());
        let Refused::Field { field: found, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(found, field, "{body}");
    };
    check("[]", "");
    check("{}", "purposes");
    check(r#"{"purposes": []}"#, "identifier");
    check(r#"{"purposes": {}, "identifier": "a"}"#, "purposes");
    check(r#"{"identifier": "a", "purposes": [{"Id": "p"}, {"Id": []}]}"#, "purposes[1].Id");
    check(r#"{"identifier": "a", "Identifier": "b", "purposes": []}"#, "Identifier");
    check(r#"{"identifier": "a", "purposes": [{"Id": "p", "id": "q"}]}"#, "purposes[0].id");
    check(&format!(r#"{{"identifier": "{}"}}"#, "a".repeat(5_000)), "identifier");
    check(&format!("{{\"x\": {}", "[".repeat(500_000)), "");
    for body in ["", "{", "{} {}", "{\"a\": 1,}", "nothing"] {
        assert_eq!(refused(Source::OneTrust, body, &onetrust()), Refused::Malformed, "{body}");
    }
}
