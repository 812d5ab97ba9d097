//! Edits of one rulebook, and what is said of each.

use super::*;
use crate::rulebook::compile;

const BASE: &str = "\
rulebook: one
default_segment: all
purposes:
  - {id: ads, title: Ads, sale_or_share: true, requires_opt_in: true, retention: 30d}
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: false, retention: 90d}
segments:
  - {id: lookers, title: Look, why: w, owner: o, approach: behavioral, purpose: offers, when: {count: {within: 7d, at_least: 3}}}
  - {id: buyers, title: Buy, why: w, owner: o, approach: behavioral, purpose: offers, when: {last: {of: PURCHASE, within: 9d}}}
  - {id: teens, title: Teen, why: w, owner: o, approach: demographic, purpose: ads, when: {age_band: {in: [FROM_16_TO_17]}}}
  - {id: toys, title: Toys, why: w, owner: o, approach: contextual, when: {page: {category: toys}}}
";

fn book(yaml: &str) -> Rulebook {
    compile(yaml.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}\n{yaml}"))
}

/// (about, id, kind, field, a part of what is said, a part of what becomes of live keys)
type Expected = (About, &'static str, Kind, Option<&'static str>, &'static str, &'static str);

/// The base with `from` replaced by `to`, compared with the base.
fn check(from: &str, to: &str, expected: &[Expected]) {
    assert!(BASE.contains(from), "{from}");
    let (old, new) = (book(BASE), book(&BASE.replace(from, to)));
    let found = changes(&old, &new);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (change, &(about, id, kind, field, says, live_keys)) in found.iter().zip(expected) {
        let what = (change.about, change.id.as_str(), change.change, change.field);
        assert_eq!(what, (about, id, kind, field), "{change:#?}");
        assert!(change.says.contains(says), "{says}: {change:#?}");
        assert!(change.live_keys.contains(live_keys), "{live_keys}: {change:#?}");
    }
}

#[test]
fn who_reads_a_purpose_changes_nothing_for_its_keys() {
    let readers = "retention: 90d, readers: [{id: mail, kind: contractor, group_id: mailer}]}";
    let says = "read by mail (a contractor, group mailer) instead of nobody who is declared";
    let stay = "they stay and keep their counters";
    let expected = (About::Purpose, "offers", Kind::Changed, Some("readers"), says, stay);
    check("retention: 90d}", readers, &[expected]);
    let (old, new) = (book(BASE), book(&BASE.replace("retention: 90d}", readers)));
    let kept = |rulebook: &Rulebook| {
        let purposes = rulebook.purposes.iter();
        let of: Vec<_> = purposes.map(|it| (it.slots.clone(), it.segments.clone())).collect();
        (of, rulebook.fields, rulebook.longest_retention, rulebook.contextual.clone())
    };
    assert_eq!(kept(&old), kept(&new), "what the state is laid out by");
}

#[test]
fn a_purpose_is_stricter_or_looser_switch_by_switch() {
    use About::Purpose;
    let ads = "sale_or_share: true, requires_opt_in: true, retention: 30d";
    let offers = "sale_or_share: false, requires_opt_in: false, retention: 90d";
    let stricter = |field, says, ends| (Purpose, "offers", Kind::Stricter, Some(field), says, ends);
    let looser = |field, says| (Purpose, "ads", Kind::Looser, Some(field), says, "none end");
    for (from, to, expected) in [
        (
            offers,
            "sale_or_share: true, requires_opt_in: false, retention: 90d",
            stricter("sale_or_share", "it becomes a sale or sharing", "(opt_out_signal, "),
        ),
        (
            offers,
            "sale_or_share: false, requires_opt_in: true, retention: 90d",
            stricter("requires_opt_in", "must opt in", "(opt_in_missing)"),
        ),
        (
            offers,
            "sale_or_share: false, requires_opt_in: false, suspended: true, retention: 90d",
            stricter("suspended", "is suspended", "all of this purpose end with purpose_suspended"),
        ),
        (
            offers,
            "sale_or_share: false, requires_opt_in: false, retention: 60d",
            stricter("retention", "for 60 days instead of 90 days", "segments_left"),
        ),
        (
            ads,
            "sale_or_share: false, requires_opt_in: true, retention: 30d",
            looser("sale_or_share", "no longer a sale or sharing"),
        ),
        (
            ads,
            "sale_or_share: true, requires_opt_in: false, retention: 30d",
            looser("requires_opt_in", "need not opt in"),
        ),
        (
            ads,
            "sale_or_share: true, requires_opt_in: true, retention: 31d",
            looser("retention", "a click counts for 31 days"),
        ),
    ] {
        check(from, to, &[expected]);
    }
}

#[test]
fn a_smaller_audience_is_looser_and_material_and_a_greater_one_is_neither() {
    let offers = "sale_or_share: false, requires_opt_in: false, retention: 90d";
    let with = |least: u32| format!("{offers}, min_members: {least}");
    let of = |kind, says: &'static str, ends: &'static str| {
        (About::Purpose, "offers", kind, Some("min_members"), says, ends)
    };
    let ends = "those with half of it or less at once, the others after an hour";
    let asked = "its minimum audience is 50 subjects instead of none";
    check(offers, &with(50), &[of(Kind::Stricter, asked, ends)]);
    check_material(offers, &with(50), None);
    let least = book(&BASE.replace(offers, &with(50)));
    for (new, says) in [(offers.to_owned(), "is none"), (with(20), "is 20 subjects instead of 50")]
    {
        let changes = changes(&least, &book(&BASE.replace(offers, &new)));
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        assert!(change.says.contains(says), "{change:?}");
        assert_eq!((change.change, change.material.is_some()), (Kind::Looser, true));
    }
}

#[test]
fn a_purpose_goes_with_its_segments_and_another_comes() {
    use About::{Purpose, Segment};
    let from = "id: ads, title: Ads";
    let (old, new) = (book(BASE), BASE.replace(from, "id: mail, title: Mail"));
    let new = book(&new.replace("purpose: ads", "purpose: mail"));
    let found = changes(&old, &new);
    let what: Vec<_> = found.iter().map(|c| (c.about, c.id.as_str(), c.change)).collect();
    assert_eq!(
        what,
        [
            (Purpose, "ads", Kind::Removed),
            (Purpose, "mail", Kind::Added),
            (Segment, "teens", Kind::Changed)
        ]
    );
    assert!(found[0].live_keys.contains("end with rulebook_changed"));
    assert!(found[1].live_keys.contains("there are none yet"));
    assert_eq!(found[2].field, Some("purpose"));
}

#[test]
fn a_segment_comes_goes_and_changes() {
    use About::Segment;
    let buyers = BASE.lines().find(|line| line.contains("id: buyers")).unwrap();
    let removed =
        (Segment, "buyers", Kind::Removed, None, "for offers", "ends with rulebook_changed");
    check(buyers, "", &[removed]);

    let again = buyers.replace("id: buyers", "id: again");
    let known = format!("{buyers}\n{again}");
    let added = (Segment, "again", Kind::Added, None, "1 purchase", "fills from existing counters");
    check(buyers, &known, &[added]);
    let new = format!("{buyers}\n{}", again.replace("9d", "8d"));
    check(buyers, &new, &[(Segment, "again", Kind::Added, None, "8 days", "it starts empty")]);

    let when = (Segment, "lookers", Kind::Changed, Some("when"), "at least 4", "it starts empty");
    check("at_least: 3", "at_least: 4", &[when]);
    let kept = "{any: [{count: {within: 7d, at_least: 3}}, {last: {within: 2d}}]}";
    check(
        "{count: {within: 7d, at_least: 3}}",
        kept,
        &[(
            Segment,
            "lookers",
            Kind::Changed,
            Some("when"),
            "at least one of these holds",
            "1 of its conditions keep their counters, 1 start empty",
        )],
    );
    let page =
        (Segment, "toys", Kind::Changed, Some("when"), "“books”", "it uses no data of a person");
    check("category: toys", "category: books", &[page]);
}

#[test]
fn words_alone_touch_no_live_key() {
    use About::{Purpose, Rulebook, Segment};
    let stay = "they stay and keep their counters";
    let title = (Segment, "buyers", Kind::Changed, Some("title"), "“Bought”", stay);
    check("title: Buy", "title: Bought", &[title]);
    let owner = "title: Teen, why: w, owner: o";
    check(
        owner,
        "title: Teen, why: x, owner: p",
        &[
            (Segment, "teens", Kind::Changed, Some("why"), "“x” instead of “w”", stay),
            (Segment, "teens", Kind::Changed, Some("owner"), "“p”", stay),
        ],
    );
    check(
        "title: Ads",
        "title: Adverts",
        &[(Purpose, "ads", Kind::Changed, Some("title"), "Adverts", stay)],
    );
    check(
        "default_segment: all",
        "default_segment: any",
        &[(Rulebook, "one", Kind::Changed, Some("default_segment"), "`any`", "none")],
    );
}

#[test]
fn other_content_under_one_version_is_refused() {
    let old = book(BASE);
    assert_eq!(admission(&old, &old), Admission::Same);
    let commented = book(&format!("# a comment\n{BASE}"));
    assert_eq!(admission(&old, &commented), Admission::SameVersion);
    assert!(changes(&old, &commented).is_empty());
    let next = book(&BASE.replace("rulebook: one", "rulebook: two"));
    assert_eq!(admission(&old, &next), Admission::NewVersion);
}

#[test]
fn a_change_reads_as_two_lines() {
    let old = book(BASE);
    let new = book(&BASE.replace("requires_opt_in: false", "requires_opt_in: true"));
    assert_eq!(
        changes(&old, &new)[0].text(),
        "~ purpose offers, stricter: people of 16 and older must opt in\n    live keys: those of \
         subjects that the gate now withholds end with the reason of the verdict (opt_in_missing), \
         and their counters are removed; the others stay and keep their counters"
    );
}

/// Why the only change that is material is so, and when the assessment is due; `None`: none is.
fn check_material(from: &str, to: &str, expected: Option<(&str, Due)>) {
    assert!(BASE.contains(from), "{from}");
    let found = changes(&book(BASE), &book(&BASE.replace(from, to)));
    assert!(!found.is_empty(), "{from}");
    let material: Vec<_> = found.iter().filter_map(|change| change.material).collect();
    let material: Vec<_> = material.iter().map(|it| (it.why, it.due)).collect();
    assert_eq!(material, expected.into_iter().collect::<Vec<_>>(), "{from} → {to}: {found:#?}");
}

#[test]
fn what_may_do_more_to_people_is_material() {
    use Due::{BeforeItStarts, Within45Days};
    let offers = "sale_or_share: false, requires_opt_in: false, retention: 90d";
    let ads = "sale_or_share: true, requires_opt_in: true, retention: 30d";
    let lookers = "when: {count: {within: 7d, at_least: 3}}";
    let teens = "{in: [FROM_16_TO_17]}";
    let buyers = BASE.lines().find(|line| line.contains("id: buyers")).unwrap();
    let mailed = format!("{ads}, readers: [{{id: mail, kind: contractor, group_id: mailer}}]");
    let another = format!("{buyers}\n{}", buyers.replace("id: buyers", "id: again"));
    for (from, to, why, due) in [
        (
            offers,
            "sale_or_share: true, requires_opt_in: false, retention: 90d",
            "data is sold or shared from now on",
            BeforeItStarts,
        ),
        (
            ads,
            "sale_or_share: false, requires_opt_in: true, retention: 30d",
            "opt-out preference signals no longer apply",
            Within45Days,
        ),
        (
            ads,
            "sale_or_share: true, requires_opt_in: false, retention: 30d",
            "an opt-in is no longer asked for",
            Within45Days,
        ),
        (
            ads,
            "sale_or_share: true, requires_opt_in: true, retention: 31d",
            "data is used for longer",
            Within45Days,
        ),
        (ads, &mailed, "data goes to a reader that was not named before", Within45Days),
        (buyers, &another, "people are put into a segment that is new", Within45Days),
        (
            "why: w, owner: o, approach: demographic",
            "why: x, owner: o, approach: demographic",
            "the segment serves another end",
            Within45Days,
        ),
        (
            "approach: behavioral, purpose: offers, when: {last",
            "approach: behavioral, purpose: ads, when: {last",
            "the segment serves another purpose",
            Within45Days,
        ),
        (
            lookers,
            "when: {count: {where: {category: toys}, within: 7d, at_least: 3}}",
            "more is read of a person",
            Within45Days,
        ),
        (
            lookers,
            "when: {count: {within: 8d, at_least: 3}}",
            "it looks further back",
            Within45Days,
        ),
        (
            teens,
            "{in: [FROM_13_TO_15, FROM_16_TO_17]}",
            "it is about people of another age",
            Within45Days,
        ),
    ] {
        check_material(from, to, Some((why, due)));
    }
}

#[test]
fn a_new_purpose_is_assessed_before_it_starts() {
    let (old, new) = (book(BASE), BASE.replace("id: ads, title: Ads", "id: mail, title: Mail"));
    let found = changes(&old, &book(&new.replace("purpose: ads", "purpose: mail")));
    let due: Vec<_> = found.iter().map(|it| (it.id.as_str(), it.material.map(|m| m.due))).collect();
    let (before, within) = (Some(Due::BeforeItStarts), Some(Due::Within45Days));
    assert_eq!(due, [("ads", None), ("mail", before), ("teens", within)]);
}

#[test]
fn a_purpose_that_is_taken_up_again_is_material_and_one_that_is_suspended_is_not() {
    let ads = "requires_opt_in: true, retention: 30d";
    let suspended = BASE.replace(ads, &format!("{ads}, suspended: true"));
    let material = |old: &str, new: &str| {
        let found = changes(&book(old), &book(new));
        found.iter().map(|change| change.material.map(|it| it.why)).collect::<Vec<_>>()
    };
    assert_eq!(material(&suspended, BASE), [Some("data is used again for the purpose")]);
    assert_eq!(material(BASE, &suspended), [None]);
}

#[test]
fn what_is_stricter_a_threshold_or_a_word_is_not_material() {
    let offers = "sale_or_share: false, requires_opt_in: false, retention: 90d";
    let buyers = BASE.lines().find(|line| line.contains("id: buyers")).unwrap();
    let lookers = "when: {count: {within: 7d, at_least: 3}}";
    for (from, to) in [
        (offers, "sale_or_share: false, requires_opt_in: true, retention: 90d"),
        (offers, "sale_or_share: false, requires_opt_in: false, retention: 89d"),
        (buyers, ""),
        (lookers, "when: {count: {within: 7d, at_least: 4}}"),
        (lookers, "when: {count: {within: 6d, at_least: 3}}"),
        ("title: Buy", "title: Bought"),
        ("owner: o, approach: demographic", "owner: p, approach: demographic"),
        ("title: Ads", "title: Adverts"),
        ("default_segment: all", "default_segment: any"),
        ("category: toys", "category: books"),
        ("title: Toys, why: w", "title: Toys, why: x"),
    ] {
        check_material(from, to, None);
    }
}

#[test]
fn who_no_longer_reads_is_not_material_and_who_reads_as_something_else_is() {
    let readers = |list: &str| {
        book(&BASE.replace("retention: 90d}", &format!("retention: 90d, readers: [{list}]}}")))
    };
    let mail = "{id: mail, kind: contractor, group_id: mailer}";
    let (one, other) = (readers(mail), readers(&mail.replace("mailer", "other")));
    let third = readers(&mail.replace("contractor", "third_party"));
    let is_material =
        |old: &Rulebook, new: &Rulebook| changes(old, new).iter().any(|it| it.material.is_some());
    assert!(is_material(&one, &third) && is_material(&book(BASE), &one));
    assert!(!is_material(&one, &book(BASE)) && !is_material(&one, &other));
}

#[test]
fn a_material_change_says_why() {
    let (old, new) = (book(BASE), book(&BASE.replace("retention: 30d", "retention: 31d")));
    let text = changes(&old, &new)[0].text();
    assert!(text.ends_with("\n    material: data is used for longer"), "{text}");
    let json = serde_json::to_value(&changes(&old, &new)[0]).unwrap();
    let expected = serde_json::json!({"why": "data is used for longer", "due": "within_45_days"});
    assert_eq!(json["material"], expected);
}
