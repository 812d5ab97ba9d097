//! What merging keeps to, case by case and for any two decisions.

use proptest::prelude::*;

use super::*;

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
