//! What merging keeps to, case by case and for any two decisions.

use proptest::prelude::*;

use super::*;
use crate::source::{Heard, Says};
use assent_contract::domain::consent::Guardian;
use assent_contract::domain::gate::{PurposeTerms, decide_click};
use assent_contract::domain::merge::{PurposeNames, SubjectConsent};
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp(1_000);

fn purposes() -> Vec<Terms> {
    [("own", false), ("sold", true)]
        .map(|(id, sale_or_share)| Terms { id: id.to_owned(), sale_or_share })
        .into()
}

fn decision(status: ConsentStatus, since: i64) -> Decision {
    Decision { status, since: Timestamp(since), expires_at: None, notice_version: None }
}

fn record(decisions: &[(&str, Decision)]) -> ConsentRecord {
    let decisions = decisions.iter().map(|(id, decision)| ((*id).to_owned(), decision.clone()));
    ConsentRecord {
        subject_id: "s".to_owned(),
        version: 4,
        recorded_at: Timestamp(1),
        age_band: AgeBand::From18,
        decisions: decisions.collect(),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: "onetrust".to_owned(),
        receipt_id: None,
    }
}

fn merged(current: Option<ConsentRecord>, change: Change) -> ConsentRecord {
    let highest = current.as_ref().map_or(0, |record| record.version);
    let command = Command {
        request_id: "r".to_owned(),
        subject_id: "s".to_owned(),
        source: "api".to_owned(),
        received_at: NOW,
        change,
    };
    match merge(&CurrentConsent { record: current, highest }, &command, &purposes()) {
        Ok(Merged::Record(record)) => *record,
        _ => panic!("a record"),
    }
}

fn statement(decisions: &[(&str, Decision)]) -> Statement {
    let age_band = AgeBand::From18;
    Statement { age_band, decisions: record(decisions).decisions, ..Statement::default() }
}

#[test]
fn an_opt_out_withdraws_what_it_covers_and_keeps_the_rest() {
    let granted = || decision(ConsentStatus::Granted, 5);
    let current = || Some(record(&[("own", granted()), ("sold", granted()), ("old", granted())]));
    let check = |scope: &str, expect: &[&str], signal: bool| {
        let scope = Scope::try_from(scope.to_owned()).unwrap();
        let after = merged(current(), Change::OptOut(scope));
        let ended = after.decisions.iter().filter(|(_, it)| it.status == ConsentStatus::Withdrawn);
        assert_eq!(ended.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), expect);
        assert_eq!(after.opt_out_signal_at.is_some(), signal);
        assert_eq!((after.version, after.recorded_at), (5, NOW));
        assert_eq!(after.age_band, AgeBand::From18);
    };
    check("sale_or_share", &["sold"], true);
    check("all", &["old", "own", "sold"], true);
    check("own", &["own"], false);
    check("unheard-of", &["unheard-of"], false);
}

#[test]
fn of_a_stranger_an_opt_out_is_kept_all_the_same() {
    let after = merged(None, Change::OptOut(Scope::SaleOrShare));
    assert_eq!((after.version, after.age_band), (1, AgeBand::Unknown));
    assert_eq!(after.decisions.keys().collect::<Vec<_>>(), ["sold"]);
}

#[test]
fn no_clock_of_another_producer_outlives_an_opt_out() {
    let ahead = record(&[("own", decision(ConsentStatus::Granted, 9_000))]);
    let after = merged(Some(ahead), Change::OptOut(Scope::All));
    assert!(after.decisions["own"] == decision(ConsentStatus::Withdrawn, 9_000));
    let again = Change::Put(statement(&[("own", decision(ConsentStatus::Granted, 9_001))]));
    let after = merged(Some(after), again);
    assert_eq!(after.decisions["own"].status, ConsentStatus::Withdrawn);
}

#[test]
fn what_is_not_said_again_ends_but_for_decisions_and_signals() {
    let mut current = record(&[("own", decision(ConsentStatus::Granted, 5))]);
    current.double_opt_in_at = Some(Timestamp(6));
    current.opt_out_signal_at = Some(Timestamp(7));
    let after = merged(Some(current), Change::Put(statement(&[])));
    assert_eq!(after.double_opt_in_at, None);
    assert_eq!(after.opt_out_signal_at, Some(Timestamp(7)));
    assert_eq!(after.decisions.len(), 1);
}

#[test]
fn times_later_than_the_receipt_are_the_receipts() {
    let mut said = statement(&[("own", decision(ConsentStatus::Granted, 5_000))]);
    said.double_opt_in_at = Some(Timestamp(5_000));
    let after = merged(None, Change::Put(said));
    assert_eq!((after.decisions["own"].since, after.double_opt_in_at), (NOW, Some(NOW)));
}

#[test]
fn the_last_version_is_no_ground_for_another() {
    let mut current = record(&[]);
    current.version = i64::MAX;
    let command = Command {
        request_id: String::new(),
        subject_id: "s".to_owned(),
        source: String::new(),
        received_at: NOW,
        change: Change::OptOut(Scope::All),
    };
    let current = CurrentConsent { highest: current.version, record: Some(current) };
    assert_eq!(merge(&current, &command, &[]).err(), Some(Refusal::NoVersionLeft));
}

fn decisions() -> impl Strategy<Value = Decision> {
    let status = prop::sample::select(vec![
        ConsentStatus::NotAsked,
        ConsentStatus::Granted,
        ConsentStatus::Denied,
        ConsentStatus::Withdrawn,
    ]);
    let end = prop::option::of(0..4i64).prop_map(|end| end.map(Timestamp));
    (status, 0..4i64, end).prop_map(|(status, since, expires_at)| Decision {
        status,
        since: Timestamp(since),
        expires_at,
        notice_version: None,
    })
}

proptest! {
    /// In whatever order two statements come, the same decision stands: duplicates and late deliveries
    /// change nothing.
    #[test]
    fn the_order_of_deliveries_is_of_no_account(one in decisions(), other in decisions()) {
        let put = |decision: &Decision| Change::Put(statement(&[("own", decision.clone())]));
        let forth = merged(Some(merged(None, put(&one))), put(&other));
        let back = merged(Some(merged(None, put(&other))), put(&one));
        prop_assert!(forth.decisions == back.decisions);
        let again = merged(Some(forth.clone()), put(&one));
        prop_assert!(again.decisions == forth.decisions);
        prop_assert!(again.version > forth.version);
    }

    /// Whatever stood, nothing that an opt-out covers is granted after it.
    #[test]
    fn an_opt_out_never_loses(stood in decisions(), later in decisions()) {
        let after = merged(Some(record(&[("own", stood)])), Change::OptOut(Scope::All));
        prop_assert_eq!(after.decisions["own"].status, ConsentStatus::Withdrawn);
        let late = merged(Some(after), Change::Put(statement(&[("own", later)])));
        prop_assert_eq!(late.decisions["own"].status, ConsentStatus::Withdrawn);
    }
}

fn heard_at(heard: &Heard, current: Option<ConsentRecord>) -> Option<ConsentRecord> {
    let highest = current.as_ref().map_or(0, |record| record.version);
    let command = Command {
        request_id: "r".to_owned(),
        subject_id: "s".to_owned(),
        source: "onetrust".to_owned(),
        received_at: NOW,
        change: Change::Heard(heard.clone()),
    };
    match merge(&CurrentConsent { record: current, highest }, &command, &purposes()) {
        Ok(Merged::Record(record)) => Some(*record),
        Ok(Merged::Unchanged) => None,
        _ => panic!("a record, or nothing"),
    }
}

fn choice(says: Says, since: Option<i64>, expires: Option<i64>) -> Heard {
    let (since, expires_at) = (since.map(Timestamp), expires.map(Timestamp));
    let choices = BTreeMap::from([("own".to_owned(), Choice { says, since, expires_at })]);
    Heard { choices, ..Heard::default() }
}

#[test]
fn what_a_platform_says_again_changes_nothing() {
    let heard = choice(Says::Granted, Some(5), None);
    let first = heard_at(&heard, None).unwrap();
    assert_eq!((first.version, first.source.as_str()), (1, "onetrust"));
    assert!(first.decisions["own"] == decision(ConsentStatus::Granted, 5));
    assert!(heard_at(&heard, Some(first.clone())).is_none());
    let earlier = choice(Says::Denied, Some(4), None);
    assert!(heard_at(&earlier, Some(first.clone())).is_none(), "it came late");
    let tie = heard_at(&choice(Says::Withdrawn, Some(5), None), Some(first.clone())).unwrap();
    assert_eq!(tie.decisions["own"].status, ConsentStatus::Withdrawn);
    assert!(heard_at(&heard, Some(tie)).is_none(), "whichever comes last");
    let ahead = heard_at(&choice(Says::Granted, Some(9_000), None), Some(first)).unwrap();
    assert_eq!(ahead.decisions["own"].since, NOW);
    assert!(heard_at(&Heard::default(), None).is_none());
}

#[test]
fn an_extension_keeps_a_grant_and_is_none_by_itself() {
    let extend = |since, expires| choice(Says::Extended, Some(since), expires);
    assert!(heard_at(&extend(5, Some(50)), None).is_none());
    let stands = |status, expires: Option<i64>| {
        let expires_at = expires.map(Timestamp);
        Some(record(&[("own", Decision { expires_at, ..decision(status, 5) })]))
    };
    for refused in [ConsentStatus::Denied, ConsentStatus::Withdrawn, ConsentStatus::NotAsked] {
        assert!(heard_at(&extend(9, Some(50)), stands(refused, None)).is_none());
    }
    let end = |heard: &Heard, expires| {
        let after = heard_at(heard, stands(ConsentStatus::Granted, expires));
        after.map(|after| (after.decisions["own"].since.0, after.decisions["own"].expires_at))
    };
    assert_eq!(end(&extend(9, Some(50)), Some(10)), Some((5, Some(Timestamp(50)))));
    assert_eq!(end(&extend(9, Some(50)), None), Some((5, Some(Timestamp(50)))));
    assert_eq!(end(&extend(9, Some(8)), Some(10)), None, "an extension shortens nothing");
    assert_eq!(end(&extend(10, Some(50)), Some(10)), None, "the grant had ended");
    assert_eq!(end(&extend(4, Some(50)), Some(10)), None, "it is older than the grant");
    assert_eq!(end(&extend(9, None), Some(10)), None);
}

#[test]
fn that_nobody_asked_ends_no_decision() {
    for status in [ConsentStatus::Denied, ConsentStatus::Withdrawn, ConsentStatus::Granted] {
        let stands = Some(record(&[("own", decision(status, 5))]));
        assert!(heard_at(&choice(Says::NotAsked, Some(9), None), stands).is_none());
    }
    let asked = heard_at(&choice(Says::NotAsked, Some(9), None), Some(record(&[]))).unwrap();
    assert!(asked.decisions["own"] == decision(ConsentStatus::NotAsked, 9));
}

#[test]
fn a_guardian_of_a_platform_is_news_or_nothing() {
    let guardian = |at| Guardian {
        verified_at: Timestamp(at),
        method: Some("card".to_owned()),
        coppa_consent: true,
        coppa_disclosure: false,
        ccpa_authorization: false,
    };
    let heard = |at| Heard { guardian: Some(guardian(at)), ..Heard::default() };
    let of_shop = |at| {
        let mut stands = record(&[]);
        stands.source = "api".to_owned();
        stands.recorded_at = Timestamp(at);
        Some(stands)
    };
    assert!(heard_at(&heard(9), of_shop(8)).unwrap().guardian == Some(guardian(9)));
    assert!(heard_at(&heard(8), of_shop(8)).is_none(), "the shop wrote later that there is none");
    assert!(heard_at(&heard(8), Some(record(&[]))).unwrap().guardian == Some(guardian(8)));
    let mut stands = record(&[]);
    stands.guardian = Some(Guardian { coppa_disclosure: true, ..guardian(3) });
    assert!(heard_at(&heard(9), Some(stands.clone())).is_none(), "nothing is added");
    stands.guardian =
        Some(Guardian { coppa_consent: false, ccpa_authorization: true, ..guardian(3) });
    let after = heard_at(&heard(9), Some(stands)).unwrap().guardian.unwrap();
    assert!(after == Guardian { ccpa_authorization: true, ..guardian(9) });
}

prop_compose! {
    fn any_decision()(status in 0..4_usize, since in 0..20_i64, end in proptest::option::of(0..40_i64))
        -> Decision
    {
        let status = [
            ConsentStatus::NotAsked, ConsentStatus::Granted, ConsentStatus::Denied, ConsentStatus::Withdrawn,
        ][status];
        Decision { expires_at: end.map(Timestamp), ..decision(status, since) }
    }
}

/// Of a person who is made up, so it may be shown.
struct Any(ConsentRecord);

impl std::fmt::Debug for Any {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).unwrap())
    }
}

prop_compose! {
    fn any_record()(
        own in proptest::option::of(any_decision()), sold in proptest::option::of(any_decision()),
        band in 0..5_usize, flags in proptest::option::of(0..8_u8),
        double in proptest::option::of(0..20_i64), signal in proptest::option::of(0..20_i64),
    ) -> Any {
        let both = [("own", own), ("sold", sold)];
        let mut any = record(&[]);
        any.decisions = both.into_iter()
            .filter_map(|(id, decision)| Some((id.to_owned(), decision?)))
            .collect();
        any.age_band = BANDS[band];
        any.guardian = flags.map(|flags| Guardian {
            verified_at: Timestamp(2),
            method: None,
            coppa_consent: flags & 1 > 0,
            coppa_disclosure: flags & 2 > 0,
            ccpa_authorization: flags & 4 > 0,
        });
        any.double_opt_in_at = double.map(Timestamp);
        any.opt_out_signal_at = signal.map(Timestamp);
        Any(any)
    }
}

const BANDS: [AgeBand; 5] =
    [AgeBand::Unknown, AgeBand::Under13, AgeBand::From13To15, AgeBand::From16To17, AgeBand::From18];

/// What the gate allows of each purpose, asked of clicks of many moments.
fn allowed(record: &ConsentRecord) -> Vec<bool> {
    let mut answers = Vec::new();
    for purpose in purposes() {
        for requires_opt_in in [false, true] {
            for at in [1, 4, 8, 12, 16, 25, 35] {
                answers.push(is_allowed(record, &purpose, requires_opt_in, Timestamp(at)));
            }
        }
    }
    answers
}

fn is_allowed(
    record: &ConsentRecord,
    purpose: &Terms,
    requires_opt_in: bool,
    at: Timestamp,
) -> bool {
    let mut names = PurposeNames::default();
    let token: &dyn Fn(&str) -> u128 = &|_| 0;
    let name = names.declare(&purpose.id, token).unwrap();
    let mut consent = SubjectConsent::default();
    consent.apply(record, NOW, &names, token, &[name]);
    let sale_or_share = purpose.sale_or_share;
    let terms = PurposeTerms { name, sale_or_share, requires_opt_in, suspended: false };
    decide_click(false, Some(&consent), terms, at, NOW).allows()
}

proptest! {
    /// A survey says nothing that lets more be done than before.
    #[test]
    fn a_lower_age_never_raises_what_may_be_done(Any(stands) in any_record(), band in 1..5_usize) {
        let heard = Heard { age_band: Some(BANDS[band]), ..Heard::default() };
        let before = allowed(&stands);
        if let Some(after) = heard_at(&heard, Some(stands)) {
            for (before, after) in before.into_iter().zip(allowed(&after)) {
                prop_assert!(before || !after);
            }
        }
    }

    /// Nor does a refusal, or that nobody was asked.
    #[test]
    fn only_a_grant_raises_what_may_be_done(
        Any(stands) in any_record(), says in 2..5_usize, since in proptest::option::of(0..20_i64),
    ) {
        let says = [Says::Extended, Says::Granted, Says::NotAsked, Says::Denied, Says::Withdrawn][says];
        let before = allowed(&stands);
        let was_unset = !stands.decisions.contains_key("own");
        if let Some(after) = heard_at(&choice(says, since, None), Some(stands)) {
            for (before, after) in before.into_iter().zip(allowed(&after)) {
                prop_assert!(before || !after || was_unset);
            }
        }
    }

    /// Deliveries come in any order, and twice: what stands in the end is the same.
    #[test]
    fn the_order_of_deliveries_does_not_matter(
        mut all in proptest::collection::vec((1..5_usize, 0..6_i64), 1..6), seed in 0..1_000_usize,
    ) {
        all.retain(|(says, _)| *says != 2);
        let words = [Says::Extended, Says::Granted, Says::NotAsked, Says::Denied, Says::Withdrawn];
        let end = |order: &[(usize, i64)]| {
            let mut stands: Option<ConsentRecord> = None;
            for (says, since) in order.iter().chain(order) {
                let heard = choice(words[*says], Some(*since), None);
                stands = heard_at(&heard, stands.clone()).or(stands);
            }
            stands.and_then(|stands| stands.decisions.get("own").cloned())
        };
        let mut other = all.clone();
        let middle = seed % all.len().max(1);
        other.rotate_left(middle);
        other.reverse();
        prop_assert!(end(&all) == end(&other));
    }
}
