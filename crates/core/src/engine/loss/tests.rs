//! What is found lost, case by case.

use super::*;

const HEAD: Sha256Hash = [7; 32];

fn state_head() -> StateHead {
    StateHead {
        next_click: 80,
        next_consent: 20,
        next_sequence: 5,
        head: HEAD,
        topics: TopicIds { clicks: 1, consent: 2 },
        recovering: false,
        consent_synced_at: Timestamp(9),
    }
}

fn audit(next_sequence: i64, hash: Sha256Hash) -> AuditHead {
    AuditHead { next_sequence, hash, click_to: 80, consent_to: 20, decided_at: Timestamp(9) }
}

fn sound() -> View {
    View {
        state: Ok(Some(state_head())),
        group: Some(GroupMark { offset: 80, metadata: "5".to_owned() }),
        audit: Some(audit(5, HEAD)),
        unreadable_audit: None,
        topics: TopicIds { clicks: 1, consent: 2 },
        clicks: Range { start: 10, end: 100 },
        unreadable: None,
        consent: Range { start: 0, end: 30 },
        now: Timestamp(9),
        absence: Some(AbsenceBound::of_retention(Span(30 * Span::DAY.0))),
    }
}

fn check(change: impl FnOnce(&mut View)) -> Losses {
    let mut view = sound();
    change(&mut view);
    find(&view)
}

#[test]
fn a_sound_partition_goes_on_where_its_state_is() {
    let resume = Resume { next_click: 80, next_consent: 20 };
    assert_eq!(find(&sound()), Losses { resume, ..Losses::default() });
    let expired = check(|view| view.group = None);
    let no_audit_kept = check(|view| view.audit = None);
    let no_ids = check(|view| view.topics = TopicIds::default());
    assert!([expired, no_audit_kept, no_ids].iter().all(Losses::is_empty));
}

#[test]
fn consent_that_was_not_read_for_too_long_is_read_again_from_its_beginning() {
    let days = |days: i64| Span(days * Span::DAY.0);
    let after = |absence: Span| {
        check(|view| {
            view.now = Timestamp(9) + absence;
            view.consent = Range { start: 3, end: 30 };
        })
    };
    assert!(after(days(29)).is_empty());
    let losses = after(days(31));
    assert_eq!(losses.consent, Some(InputLoss::Unread { from: 20, unread_for: days(31) }));
    assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 3 });
    assert!(losses.doubts_consent() && losses.doubts_signals() && losses.clicks.is_none());
    let told = losses.consent.unwrap().to_string();
    assert_eq!(told, "consent was not read for 31 days: erasures may be gone unread");

    let forever = check(|view| (view.now, view.absence) = (Timestamp::MAX, None));
    assert!(forever.is_empty(), "erasures never go");
    let lost = check(|view| {
        (view.now, view.state) = (Timestamp::MAX, Err("torn".to_owned()));
    });
    assert_eq!((lost.consent, lost.resume.next_consent), (None, 0), "the state's loss says it all");
    let clock_behind = check(|view| view.now = Timestamp::MIN);
    assert!(clock_behind.is_empty());
}

#[test]
fn nothing_anywhere_is_a_beginning() {
    let losses = check(|view| {
        (view.state, view.group, view.audit) = (Ok(None), None, None);
    });
    assert_eq!(losses.resume, Resume { next_click: 10, next_consent: 0 });
    assert!(losses.is_empty());
}

#[test]
fn an_audit_whose_end_nobody_can_read_is_a_stop_that_loses_no_decision() {
    let unreadable =
        Unreadable { range: Range { start: 7, end: 9 }, reason: "Bad message".to_owned() };
    let losses = check(|view| view.unreadable_audit = Some(unreadable));
    let said = losses.audit.as_ref().map(ToString::to_string);
    assert_eq!(said.unwrap(), "offsets 7 to 8 can't be read by any client: Bad message");
    assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 20 });
    assert!(!losses.is_empty() && !losses.doubts_consent() && !losses.doubts_signals());
}

#[test]
fn consent_that_nobody_can_read_may_come_first_of_all() {
    let beginning = |unreadable| {
        check(|view| {
            (view.state, view.group, view.audit) = (Ok(None), None, None);
            (view.consent.start, view.unreadable) = (4, Some(unreadable));
        })
    };
    let losses = beginning(Range { start: 4, end: 9 });
    assert_eq!(losses.consent, Some(InputLoss::Unreadable { from: 4, to: 9 }));
    assert_eq!(losses.resume, Resume { next_click: 10, next_consent: 9 });
    assert_eq!(losses.begins(), Resume { next_click: 10, next_consent: 4 });
    assert!(beginning(Range { start: 5, end: 9 }).is_empty(), "what comes first can be read");
}

#[test]
fn what_went_before_it_was_decided_is_named_and_skipped_only_then() {
    let losses = check(|view| view.clicks.start = 90);
    assert_eq!(losses.clicks, Some(InputLoss::Removed { from: 80, to: 90 }));
    assert_eq!(losses.resume, Resume { next_click: 90, next_consent: 20 });
    let losses = check(|view| view.consent.start = 25);
    assert_eq!(losses.consent, Some(InputLoss::Removed { from: 20, to: 25 }));
    assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 25 });
    assert!(check(|view| view.clicks.start = 80).is_empty());
}

#[test]
fn consent_that_nobody_can_read_is_passed_over_and_older_records_lift_nothing() {
    let losses = check(|view| view.unreadable = Some(Range { start: 20, end: 23 }));
    assert_eq!(losses.consent, Some(InputLoss::Unreadable { from: 20, to: 23 }));
    assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 23 });
    assert!(losses.doubts_consent() && losses.doubts_signals());
    let text = losses.consent.unwrap().to_string();
    assert!(text.starts_with("offsets 20 to 22 can't be read"), "{text}");
    for (start, end) in [(21, 23), (15, 20)] {
        assert!(check(|view| view.unreadable = Some(Range { start, end })).is_empty());
    }
    let removed = check(|view| {
        (view.unreadable, view.consent.start) = (Some(Range { start: 20, end: 23 }), 25);
    });
    assert_eq!(removed.consent, Some(InputLoss::Removed { from: 20, to: 25 }), "gone meanwhile");
}

#[test]
fn a_topic_made_anew_is_seen_however_full_it_is() {
    let losses = check(|view| (view.topics.consent, view.consent.end) = (3, 1_000));
    assert_eq!(losses.consent, Some(InputLoss::Remade { from: 20, start: 0 }));
    assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 0 });
    let losses = check(|view| view.topics.clicks = 3);
    assert_eq!(losses.resume.next_click, 10);
}

#[test]
fn a_log_that_lost_its_end_is_no_new_topic() {
    let losses = check(|view| view.clicks.end = 60);
    assert_eq!(losses.clicks, Some(InputLoss::CutOff { from: 80, end: 60 }));
    assert_eq!(losses.resume.next_click, 60);
    let unknown = check(|view| (view.clicks.end, view.topics.clicks) = (60, 0));
    assert_eq!(unknown.clicks, Some(InputLoss::Remade { from: 80, start: 10 }));
}

#[test]
fn consent_that_lost_its_end_is_read_on_from_there_since_what_is_left_may_be_outdated() {
    type Change = fn(&mut View);
    let also: [Change; 4] = [
        |_| (),
        |view| view.topics.consent = 0,
        |view| view.state = Ok(None),
        |view| view.state = Ok(Some(StateHead { recovering: true, ..state_head() })),
    ];
    for also in also {
        let losses = check(|view| {
            view.consent.end = 15;
            also(view);
        });
        assert_eq!(losses.consent, Some(InputLoss::CutOff { from: 20, end: 15 }));
        assert_eq!(losses.resume.next_consent, 15);
    }
    let other = check(|view| (view.consent.end, view.topics.consent) = (15, 3));
    assert_eq!(other.resume.next_consent, 0, "another topic is read from its first record");
}

#[test]
fn whatever_may_have_held_signals_puts_them_in_doubt() {
    assert!(
        !check(|view| view.group = Some(GroupMark { offset: 3, metadata: "5".to_owned() }))
            .doubts_signals()
    );
    let changes: [fn(&mut View); 3] = [
        |view| view.clicks.start = 90,
        |view| view.consent.start = 25,
        |view| view.state = Ok(None),
    ];
    assert!(changes.into_iter().all(|change| check(change).doubts_signals()));
}

#[test]
fn a_state_that_the_audit_does_not_end_with_would_fork_the_chain() {
    let behind = |losses: Losses| losses.state;
    let ahead = check(|view| view.audit = Some(audit(7, [8; 32])));
    assert_eq!(behind(ahead), Some(StateLoss::Behind { state: 5, audit: 7 }));
    let other = check(|view| view.audit = Some(audit(5, [8; 32])));
    assert_eq!(behind(other), Some(StateLoss::Behind { state: 5, audit: 5 }));
    let by_group = check(|view| {
        view.audit = None;
        view.group = Some(GroupMark { offset: 99, metadata: "6".to_owned() });
    });
    assert_eq!(behind(by_group), Some(StateLoss::Behind { state: 5, audit: 6 }));
    assert_eq!(behind(check(|view| view.audit = Some(audit(4, [8; 32])))), None);
}

#[test]
fn a_lost_state_goes_on_at_the_audits_end_and_reads_consent_again() {
    for state in [Ok(None), Err("torn".to_owned())] {
        let losses = check(|view| view.state = state);
        assert!(losses.state.is_some() && losses.consent.is_none());
        assert_eq!(losses.resume, Resume { next_click: 80, next_consent: 0 });
    }
    let clicks_too = check(|view| (view.state, view.clicks.start) = (Ok(None), 95));
    assert_eq!(clicks_too.clicks, Some(InputLoss::Removed { from: 80, to: 95 }));
    let unfinished = check(|view| {
        view.state = Ok(Some(StateHead { recovering: true, ..state_head() }));
    });
    assert_eq!(unfinished.state, Some(StateLoss::Unfinished));
}

#[test]
fn a_group_that_says_otherwise_is_named() {
    for (offset, metadata) in [(3, "5"), (80, "4"), (80, "")] {
        let mark = GroupMark { offset, metadata: metadata.to_owned() };
        let losses = check(|view| view.group = Some(mark.clone()));
        assert_eq!(losses.group, Some(mark));
        assert_eq!(losses.resume.next_click, 80);
    }
}
