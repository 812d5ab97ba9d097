//! Every refusal with its place; what is accepted; that no bytes break the compiler.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::domain::event::ClickFields;

const SHIPPED: &[u8] = include_bytes!("../../../../rules/children-retail.yaml");

/// A rulebook of one behavioral segment; `{when}` stands at 12:11.
fn with_when(when: &str) -> String {
    format!(
        "rulebook: v1
default_segment: all
purposes:
  - {{id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}}
segments:
  - id: fans
    title: Fans
    why: Show them
    owner: a@shop.example
    approach: behavioral
    purpose: offers
    when: {when}
"
    )
}

const COUNT: &str = "{count: {within: 7d, at_least: 3}}";

fn replaced(from: &str, to: &str) -> String {
    let yaml = with_when(COUNT);
    assert!(yaml.contains(from), "{from}");
    yaml.replacen(from, to, 1)
}

/// `line:column` and a word of the message, for each error, in order.
#[track_caller]
fn check(yaml: &str, expect: &[(&str, &str)]) {
    let errors = compile(yaml.as_bytes()).expect_err(yaml);
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), expect.len(), "{shown:#?}\n{yaml}");
    for (shown, (place, word)) in shown.iter().zip(expect) {
        assert!(shown.starts_with(&format!("{place}: ")), "{place} in {shown}\n{yaml}");
        assert!(shown.contains(word), "{word} in {shown}");
    }
}

/// One error, at the place that `▸` marks in the text.
#[track_caller]
fn check_marked(marked: &str, word: &str) {
    let before = marked.split('▸').next().unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    check(&marked.replace('▸', ""), &[(&format!("{line}:{column}"), word)]);
}

#[track_caller]
fn accepted(yaml: &str) -> Rulebook {
    compile(yaml.as_bytes()).unwrap_or_else(|errors| panic!("{errors:#?}\n{yaml}"))
}

#[test]
fn the_shipped_rulebook_compiles_and_shows_all_approaches() {
    let rulebook = compile(SHIPPED).expect("the shipped rulebook");
    assert_eq!(rulebook.version, "2026-11-22");
    let ids: Vec<&str> = rulebook.purposes.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["partner-advertising", "personalized-offers"]);
    assert_eq!(rulebook.contextual.len(), 1);
    assert_eq!(rulebook.longest_retention, Span(90 * Span::DAY.0));
    let segments = || rulebook.purposes.iter().flat_map(|purpose| &purpose.segments);
    for approach in [Approach::Behavioral, Approach::Demographic, Approach::Hybrid] {
        assert!(segments().any(|segment| segment.approach == approach), "{approach:?}");
    }
    assert!(rulebook.purposes.iter().all(|p| p.segments.is_sorted_by_key(|s| &s.id)));
}

#[test]
fn the_version_is_any_scalar_as_it_is_written() {
    for (written, version) in
        [("2026-11-22", "2026-11-22"), ("\"7\"", "7"), ("1.10", "1.10"), ("true", "true")]
    {
        let rulebook = accepted(&replaced("rulebook: v1", &format!("rulebook: {written}")));
        assert_eq!(rulebook.version, version);
    }
    assert_ne!(
        accepted(&with_when(COUNT)).sha256,
        accepted(&format!("{}# other bytes\n", with_when(COUNT))).sha256
    );
}

#[test]
fn what_is_faulty_at_the_top_is_refused() {
    check("", &[("1:1", "empty")]);
    check("# nothing\n", &[("1:1", "empty")]);
    check("[]", &[("1:1", "mapping")]);
    check("{}", &[("1:1", "`default_segment`"), ("1:1", "`rulebook`"), ("1:1", "`segments`")]);
    check(&replaced("rulebook: v1\n", ""), &[("1:1", "`rulebook` is missing")]);
    check(&replaced("rulebook: v1", "rulebook: \"\""), &[("1:11", "`rulebook` is empty")]);
    check(&replaced("rulebook: v1", "rulebook: ~"), &[("1:11", "`rulebook` is empty")]);
    check(&replaced("rulebook: v1", "rulebook: [1]"), &[("1:11", "`rulebook` must be a text")]);
    check(&replaced("default_segment: all\n", ""), &[("1:1", "`default_segment` is missing")]);
    check(&replaced("default_segment: all", "default_segment: All"), &[("2:18", "is not an id")]);
    check(&replaced("rulebook: v1", "rulebok: v1"), &[("1:1", "missing"), ("1:1", "`rulebok`")]);
    check(&format!("{}x: 1\n", with_when(COUNT)), &[("13:1", "unknown field `x`")]);
    check(&format!("{}segments: []\n", with_when(COUNT)), &[("13:1", "twice")]);
    check(&format!("{}---\na: b\n", with_when(COUNT)), &[("13:1", "single YAML document")]);
    check("rulebook: v1\ndefault_segment: all\nsegments: []\n", &[("3:11", "empty list")]);
}

#[test]
fn a_minimum_audience_is_a_number_from_two_on() {
    let with =
        |least: &str| replaced("retention: 30d", &format!("min_members: {least}, retention: 30d"));
    assert_eq!(accepted(&with("2")).purposes[0].min_members, Some(2));
    assert_eq!(accepted(&with("1000000")).purposes[0].min_members, Some(1_000_000));
    assert_eq!(accepted(&with_when(COUNT)).purposes[0].min_members, None);
    for wrong in ["▸0", "▸1", "▸-5", "▸1000001"] {
        check_marked(&with(wrong), "`min_members` must be 2 to 1000000; leave it out");
    }
    check_marked(&with("▸\"5\""), "`min_members` must be a whole number, without quotes");
    check_marked(&with("▸half"), "`min_members` must be a whole number");
    check_marked(
        &with_when(COUNT).replace("rulebook: v1", "rulebook: ▸\"audiences: none\""),
        "must not begin with `audiences: `",
    );
}

#[test]
fn readers_are_read_in_the_order_of_their_ids_and_faulty_ones_refused() {
    let with =
        |readers: &str| replaced("retention: 30d", &format!("retention: 30d, readers: {readers}"));
    let two =
        "[{id: web, kind: own, group_id: shop web/1}, {id: mail, kind: third_party, group_id: m}]";
    let rulebook = accepted(&with(&two.replace("shop web/1", "shop-web/1")));
    let read: Vec<_> =
        rulebook.purposes[0].readers.iter().map(|it| (&*it.id, it.kind, &*it.group_id)).collect();
    assert_eq!(
        read,
        [("mail", ReaderKind::ThirdParty, "m"), ("web", ReaderKind::Own, "shop-web/1"),]
    );
    let many = |count: usize| {
        let reader = |i: usize| {
            let mark = if i == 32 { "▸" } else { "" };
            format!("{{id: {mark}r{i}, kind: own, group_id: g{i}}}")
        };
        let all: Vec<String> = (0..count).map(reader).collect();
        with(&format!("[{}]", all.join(", ")))
    };
    assert_eq!(accepted(&many(32)).purposes[0].readers.len(), 32);
    check_marked(&many(33), "more than 32 readers");
    let one = |reader: &str| with(&format!("[{{{reader}}}]"));
    for (marked, word) in [
        (one("id: m, kind: own, group_id: ▸a b"), "printable ASCII"),
        (one("id: m, kind: own, group_id: ▸\"it's\""), "printable ASCII"),
        (one("id: m, kind: own, group_id: ▸''"), "`group_id` is empty"),
        (one("id: m, kind: ▸processor, group_id: g"), "which is unknown; write own"),
        (one("id: ▸Mail, kind: own, group_id: g"), "is not an id"),
        (
            one("id: m, kind: own, group_id: g, ▸group: g"),
            "a reader has `id`, `kind` and `group_id`",
        ),
        (with("▸[]"), "empty list"),
        (with("▸mail"), "must be a list"),
        (with("[▸mail]"), "a reader must be a mapping"),
        (with("[▸{id: m, kind: own}]"), "`group_id` is missing"),
        (
            with("[{id: m, kind: own, group_id: g}, {id: ▸m, kind: own, group_id: h}]"),
            "this reader is already in use",
        ),
        (
            with("[{id: m, kind: own, group_id: g}, {id: n, kind: own, group_id: ▸g}]"),
            "already a reader of this purpose",
        ),
    ] {
        check_marked(&marked, word);
    }
}

#[test]
fn what_is_faulty_in_a_purpose_is_refused() {
    for (from, to, word) in [
        ("retention: 30d", "retention: 30d, ▸suspend: true", "unknown field `suspend`"),
        (
            "{id: offers, title: Offers, sale_or_share: false",
            "▸{id: offers",
            "`sale_or_share` is missing",
        ),
        ("requires_opt_in: true", "requires_opt_in: ▸\"true\"", "true or false"),
        ("requires_opt_in: true", "requires_opt_in: ▸yes", "true or false"),
        ("retention: 30d", "retention: ▸30", "`retention` must be a duration"),
        ("retention: 30d", "retention: ▸0d", "`retention` must be a duration"),
        ("retention: 30d", "retention: ▸99999999999999d", "`retention` must be a duration"),
        ("title: Offers", "title: ▸''", "`title` is empty"),
        ("title: Offers", "title: ▸For those expecting", "pregnancy"),
        ("title: Offers", "title: ▸For 7-year-olds", "exact age"),
        ("retention: 30d", "retention: 30d, ▸age: 7", "exact age"),
    ] {
        check_marked(&replaced(from, to), word);
    }
    check(
        &replaced("id: offers", "id: Offers"),
        &[
            ("4:10", "`Offers` is not an id"),
            ("4:10", "no segment uses"),
            ("11:14", "which is not declared"),
        ],
    );
    for reserved in ["audit", "state", "canary"] {
        let yaml = with_when(COUNT).replace("offers", reserved);
        check(&yaml, &[("4:10", "which Assent uses itself")]);
    }
    let twice = "segments:\n";
    let again =
        "  - {id: offers, sale_or_share: true, requires_opt_in: true, retention: 30d}\nsegments:\n";
    check(
        &replaced(twice, again),
        &[("5:10", "the id `offers` of this purpose is already in use")],
    );
    let unused = again.replace("offers", "ads");
    check(&replaced(twice, &unused), &[("5:10", "no segment uses the purpose `ads`")]);
}

#[test]
fn what_is_faulty_in_a_segment_is_refused() {
    for (from, to, word) in [
        ("id: fans\n    title: Fans\n    why: Show them\n", "▸id: fans\n", "`why` is missing"),
        ("why: Show them", "why▸:", "`why` is empty"),
        ("why: Show them", "why: ▸\" \"", "`why` is empty"),
        ("owner: a@shop.example", "owner: ▸~", "`owner` is empty"),
        ("owner: a@shop.example", "owner: ▸{a: b}", "`owner` must be a text"),
        (
            "    purpose: offers\n",
            "    ▸color: red\n    purpose: offers\n",
            "unknown field `color`",
        ),
        ("    purpose: offers\n", "    ▸birth_date: x\n    purpose: offers\n", "birth date"),
        ("approach: behavioral", "approach▸:", "`approach` is empty"),
        ("approach: behavioral", "approach: ▸magic", "`approach` is `magic`, which is unknown"),
        (
            "approach: behavioral",
            "approach: ▸hybrid",
            "`approach` is hybrid, but the conditions make it behavioral",
        ),
        ("id: fans", "id: ▸fans_of", "is not an id"),
        ("id: fans", "id: ▸age-7", "exact age"),
        ("title: Fans", "title: ▸Date of birth known", "birth date"),
        ("title: Fans", "title: ▸Union members", "union membership"),
        ("id: fans", "id: ▸diagnosis-adhd", "health"),
        ("  - id: fans", "  - ▸nonsense\n  - id: fans", "a segment must be a mapping"),
    ] {
        check_marked(&replaced(from, to), word);
    }
    check(
        &replaced("purpose: offers", "purpose: ads"),
        &[("4:10", "no segment uses"), ("11:14", "`purpose` is `ads`, which is not declared")],
    );
    check(
        &replaced("    purpose: offers\n", ""),
        &[("4:10", "no segment uses"), ("6:5", "`purpose` is missing")],
    );
    let yaml = with_when(COUNT);
    let segment = &yaml[yaml.find("  - id: fans").expect("a segment")..];
    check(
        &format!("{yaml}{segment}"),
        &[("13:9", "the id `fans` of this segment is already in use")],
    );
    let page = segment.replace("purpose: offers", "").replace("behavioral", "contextual");
    let page = page.replace(COUNT, "{page: {}}");
    check(&format!("{yaml}{page}"), &[("13:9", "the id `fans` of this segment is already in use")]);
}

#[test]
fn what_is_faulty_in_a_condition_is_refused() {
    for (when, word) in [
        ("▸{}", "exactly one of"),
        ("▸[]", "a condition must be a mapping"),
        ("▸~", "a condition must be a mapping"),
        ("{▸cnt: {within: 7d, at_least: 3}}", "unknown field `cnt`"),
        ("▸{count: {within: 7d, at_least: 3}, last: {within: 7d}}", "exactly one of"),
        ("{all: ▸[]}", "`all` is an empty list"),
        ("{any: ▸{}}", "`any` must be a list"),
        ("{not: ▸[]}", "a condition must be a mapping"),
        ("{count: ▸{at_least: 3}}", "`within` is missing"),
        ("{count: ▸{within: 7d}}", "exactly one of `at_least` and `at_most`"),
        ("{count: ▸{within: 7d, at_least: 1, at_most: 2}}", "exactly one of"),
        ("{count: {within: 7d, at_least: ▸101}}", "0 to 100"),
        ("{count: {within: 7d, at_most: ▸-1}}", "0 to 100"),
        ("{distinct: {field: category, within: 7d, at_most: ▸101}}", "0 to 100"),
        ("{count: {within: 7d, at_least: ▸\"3\"}}", "whole number"),
        ("{count: {within: 7d, at_least: ▸1.5}}", "whole number"),
        (
            "{sum: {field: value_cents, within: 7d, at_least: ▸99999999999999999999}}",
            "whole number",
        ),
        (
            "{count: {within: ▸31d, at_least: 1}}",
            "31d is longer than the `retention` of the purpose, 30d",
        ),
        ("{last: {not_within: ▸721h}}", "longer than the `retention` of the purpose"),
        ("{not: {any: [{last: {within: ▸721h}}]}}", "longer than the `retention` of the purpose"),
        ("{count: {within: ▸0s, at_least: 1}}", "duration"),
        ("{count: {of: ▸CLICK, within: 7d, at_least: 1}}", "`CLICK` is unknown"),
        ("{count: {of: [▸any], within: 7d, at_least: 1}}", "`any` is unknown"),
        ("{count: {of: ▸[], within: 7d, at_least: 1}}", "`of` is an empty list"),
        ("{count: {where: {▸age: 7}, within: 7d, at_least: 1}}", "exact age"),
        ("{count: {where: {▸color: red}, within: 7d, at_least: 1}}", "unknown field `color`"),
        ("{count: {where: {region: ▸[]}, within: 7d, at_least: 1}}", "empty list"),
        ("{count: {where: {region: ▸''}, within: 7d, at_least: 1}}", "`region` is empty"),
        ("{count: {where: ▸[a], within: 7d, at_least: 1}}", "`where` must be a mapping"),
        ("{count: {▸field: category, within: 7d, at_least: 1}}", "unknown field `field`"),
        ("{distinct: ▸{within: 7d, at_least: 1}}", "`field` is missing"),
        ("{distinct: {field: ▸region, within: 7d, at_least: 1}}", "`region` is unknown"),
        ("{sum: {field: ▸price, within: 7d, at_least: 1}}", "`price` is unknown"),
        ("{last: ▸{}}", "exactly one of `within` and `not_within`"),
        ("{last: {within: 7d, ▸at_least: 1}}", "unknown field `at_least`"),
        ("{age_band: {in: [▸7]}}", "`7` is unknown"),
        ("{age_band: {in: ▸[]}}", "empty list"),
        ("{region: ▸{}}", "`in` is missing"),
        ("{all: [▸{page: {}}, {last: {within: 7d}}]}", "can't be combined with other conditions"),
    ] {
        let approach = if when.contains("age_band") { "demographic" } else { "behavioral" };
        check_marked(&with_when(when).replace("behavioral", approach), word);
    }
}

#[test]
fn the_approach_is_what_the_conditions_make_it() {
    let band = "{age_band: {in: [UNDER_13, UNKNOWN]}}";
    let region = "{not: {region: {in: [US-CA]}}}";
    let last = "{last: {within: 7d}}";
    for (when, approach) in [
        (last.to_owned(), "behavioral"),
        (band.to_owned(), "demographic"),
        (format!("{{any: [{band}, {region}]}}"), "demographic"),
        (format!("{{all: [{band}, {last}]}}"), "hybrid"),
        (format!("{{all: [{region}, {{any: [{last}]}}]}}"), "hybrid"),
    ] {
        for label in Approach::ALL.map(Approach::label) {
            let yaml = with_when(&when).replace("behavioral", label);
            if label == approach {
                assert_eq!(accepted(&yaml).purposes[0].segments[0].approach.label(), approach);
            } else {
                check(&yaml, &[("10:15", approach)]);
            }
        }
    }
    let page = with_when("{page: {kind: PAGE_VIEW}}").replace("behavioral", "contextual");
    check(&page, &[("11:14", "a contextual segment uses no data of a person")]);
}

#[test]
fn a_rulebook_may_be_contextual_alone() {
    let yaml = "{rulebook: 1, default_segment: all, purposes: [], segments: [{id: toys, why: w, owner: o, \
                approach: contextual, purpose: null, when: {page: {category: toys}}}]}";
    let rulebook = accepted(yaml);
    assert_eq!(rulebook.longest_retention, Span::DAY);
    assert_eq!(rulebook.contextual[0].title, "toys");
    assert_eq!(rulebook.fields, ClickFields { category: true, ..ClickFields::default() });
}

#[test]
fn equal_conditions_share_a_slot_however_they_are_written() {
    let same = [
        "{count: {of: [SEARCH, PURCHASE], where: {category: [b, a]}, within: 48h, at_least: 3}}",
        "{count: {at_least: 3, within: 2d, where: {category: [a, b, a]}, of: [PURCHASE, SEARCH]}}",
    ];
    let other = "{count: {of: SEARCH, within: 48h, at_least: 3}}";
    let when = format!(
        "{{any: [{}, {}, {other}, {{region: {{in: [A]}}}}, {{region: {{in: [B]}}}}]}}",
        same[0], same[1]
    );
    let rulebook = accepted(&with_when(&when).replace("behavioral", "hybrid"));
    let texts: Vec<&str> =
        rulebook.purposes[0].slots.iter().map(|s| s.canonical.as_str()).collect();
    assert_eq!(
        texts,
        [
            "count within 172800000 at_least 3 of 6:SEARCH 8:PURCHASE category 1:a 1:b",
            "count within 172800000 at_least 3 of 6:SEARCH",
            "region",
        ]
    );
    assert_eq!(
        rulebook.fields,
        ClickFields { kind: true, category: true, region: true, ..ClickFields::default() }
    );
}

#[test]
fn at_most_128_segments_rest_on_a_purpose() {
    let segments = |number: usize| {
        let yaml = with_when(COUNT);
        let (head, segment) = yaml.split_at(yaml.find("  - id: fans").expect("a segment"));
        let all: String =
            (0..number).map(|i| segment.replace("id: fans", &format!("id: fans-{i}"))).collect();
        format!("{head}{all}")
    };
    assert_eq!(accepted(&segments(128)).purposes[0].segments.len(), 128);
    check(&segments(129), &[("902:9", "more than 128 segments")]);
}

#[test]
fn faults_are_named_all_at_once_and_in_order() {
    let yaml = "rulebook: v1\ndefault_segment: all\npurposes:\n- {id: audit, retention: 1w}\nsegments:\n- {id: X}\n";
    let errors = compile(yaml.as_bytes()).expect_err("faulty");
    assert!(errors.len() > 6 && errors.is_sorted(), "{errors:#?}");
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    check("a: b\n c: d: e\n", &[("2:3", "not valid YAML")]);
    check("a: [1, 2\n", &[("2:1", "not valid YAML")]);
    check("a: \u{7}b\n", &[("1:4", "control character")]);
    let errors = compile(b"a: b\nc: \xff\n").expect_err("not UTF-8");
    assert_eq!((errors[0].line, errors[0].column), (2, 4));
    check(
        "? [a, b]\n: c\n",
        &[("1:1", "missing"), ("1:1", "missing"), ("1:1", "missing"), ("1:3", "a key must be")],
    );
    check(
        &replaced("rulebook: v1", "rulebook: !secret v1"),
        &[("1:11", "YAML tags are not allowed")],
    );
    accepted(&replaced("rulebook: v1", "rulebook: !!str v1"));
    accepted(&format!("\u{feff}{}", with_when(COUNT)));
    accepted(&with_when(COUNT).replace('\n', "\r\n"));
}

#[test]
fn aliases_stand_for_what_they_name_and_can_not_explode() {
    let yaml = with_when("{any: [&a {last: {within: 7d}}, *a]}");
    assert_eq!(accepted(&yaml).purposes[0].slots.len(), 1);
    check("a: &a [*a]", &[("1:8", "something that contains it")]);
    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(bomb, "b{level}: &a{level} [{items}]");
    }
    check(&bomb, &[("5:40", "more than 100000 values")]);
    check(&"[".repeat(100), &[("1:65", "nested more than 64 levels deep")]);
    check(&" ".repeat(600_000), &[("1:1", "longer than 524288 bytes")]);
}

proptest! {
    #[test]
    fn no_bytes_break_the_compiler(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = compile(&bytes);
    }

    #[test]
    fn no_text_breaks_the_compiler(text in "([a-z:,{}\\[\\]&*!|>'\"#?%@` \\n-]|\\PC){0,200}") {
        let _ = compile(text.as_bytes());
    }

    /// A shipped rulebook with pieces cut out, doubled and overwritten.
    #[test]
    fn no_damage_to_a_rulebook_breaks_the_compiler(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..40, "[a-z:,{}\\[\\]&*\\n -]{0,6}"), 1..6)
    ) {
        let mut text = String::from_utf8(SHIPPED.to_vec()).expect("UTF-8");
        for (at, length, put) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        if let Err(errors) = compile(text.as_bytes()) {
            let lines = text.lines().count() + 1;
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|e| (1..=lines).contains(&e.line) && e.column >= 1));
        }
    }
}
