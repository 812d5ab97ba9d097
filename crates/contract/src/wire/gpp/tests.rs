//! GPP strings as IAB's own library writes them, and hostile ones.

use proptest::prelude::*;

use super::*;

fn says_opted_out(gpp: &str) -> bool {
    signal(None, Some(gpp)).is_some()
}

/// `tests/vectors/gpp.tsv`: text, `not` or `out`, where it comes from.
#[test]
fn what_the_publishers_own_library_writes_is_read_as_it_was_meant() {
    let mut counts = [0; 2];
    for line in include_str!("../../../../../tests/vectors/gpp.tsv").lines() {
        if line.starts_with('#') {
            continue;
        }
        let [text, expected, about] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(says_opted_out(text), expected == "out", "{text}: {about}");
        counts[usize::from(expected == "out")] += 1;
    }
    assert!(counts.iter().all(|count| *count > 150), "{counts:?}");
}

#[test]
fn known_strings() {
    for (gpp, expected) in [
        ("", None),
        // usca with sale and sharing opted out; with GPC while not opted out; not at all
        ("DBABBg~BVVVVVVY", Some(SignalSource::Gpp)),
        ("DBABBg~BVqqqqpY.YA", Some(SignalSource::Gpp)),
        ("DBABBg~BVqqqqpY", None),
        ("DBABBg~BAAAAAAA", None),
        // a known child's consent refused, in either field
        ("DBABBg~BAAAABAA", Some(SignalSource::Gpp)),
        ("DBABBg~BAAAAAQA", Some(SignalSource::Gpp)),
        ("DBABTA~1YNN", None),
        ("DBABTA~1YYN", Some(SignalSource::Gpp)),
        ("DBABTA~1---", None),
        ("DBABTA~1YNNN", Some(SignalSource::GppUndecodable)),
        ("DBABTA~2YNN", Some(SignalSource::GppUndecodable)),
        ("DBABTA~1yNN", Some(SignalSource::GppUndecodable)),
        // TCF alone says nothing of sale
        ("DBABM~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", None),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", None),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YYN", Some(SignalSource::Gpp)),
        ("DBABM~not base64", Some(SignalSource::GppUndecodable)),
        // sections and ids differ in number
        ("DBABBg", Some(SignalSource::GppUndecodable)),
        ("DBABBg~BVqqqqpY~BVqqqqpY", Some(SignalSource::GppUndecodable)),
        // a segment that is not there
        ("DBABBg~BVqqqqpY.", Some(SignalSource::GppUndecodable)),
        // no header, no string
        ("1YNN", Some(SignalSource::GppUndecodable)),
        ("~", Some(SignalSource::GppUndecodable)),
        ("DBAA", None),
        ("🧸", Some(SignalSource::GppUndecodable)),
    ] {
        assert_eq!(signal(None, Some(gpp)), expected, "{gpp}");
    }
    let long = "A".repeat(BYTES_MAX + 1);
    assert_eq!(signal(None, Some(&long)), Some(SignalSource::GppUndecodable));
    assert_eq!(signal(Some(true), Some("DBAA")), Some(SignalSource::Gpc));
    assert_eq!(signal(Some(false), Some("DBAA")), None);
}

/// A header that lists these ascending ids, each alone.
fn header(ids: &[u8]) -> String {
    const FIBONACCI: [u8; 12] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233];
    let mut bits = format!("{:06b}{:06b}{:012b}", 3, 1, ids.len());
    let mut last = 0;
    for &id in ids {
        let mut rest = id - last;
        last = id;
        let mut code = String::new();
        for place in FIBONACCI.into_iter().rev() {
            let is_in = place <= rest;
            rest -= if is_in { place } else { 0 };
            if is_in || !code.is_empty() {
                code.insert(0, if is_in { '1' } else { '0' });
            }
        }
        bits.extend(["0", &code, "1"]);
    }
    encode(&bits)
}

fn encode(bits: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sextet = |chunk: &[u8]| {
        let padded = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
        char::from(ALPHABET[usize::from_str_radix(&padded, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(sextet).collect()
}

#[test]
fn three_sections_that_stand_alone_have_their_own_ids() {
    let gpp = |usca: &str, usco: &str| format!("{}~1YNN~{usca}~{usco}", header(&[6, 8, 10]));
    assert_eq!(section_ids(&header(&[6, 8, 10])), Some(vec![6, 8, 10]));
    assert_eq!(section_ids("DBABBg"), Some(vec![8]));
    assert!(says_opted_out(&gpp("BVVVVVVY", "BVqqqqo")));
    assert!(says_opted_out(&gpp("BVqqqqpY", "BVVVVVV")));
    assert!(!says_opted_out(&gpp("BVqqqqpY", "BqqqqqA")));
}

#[test]
fn hostile_headers_end_at_once() {
    let group = |first: &str, count: &str| format!("1{first}{count}");
    let huge = format!("{}11", "01".repeat(40));
    for bits in [
        format!("000011000001{:012b}{}", 1, group(&huge, &huge)),
        format!("000011000001{:012b}{}", 4095, group("11", "11").repeat(500)),
        format!("000011000001{:012b}", 4095),
        format!("000011000001{:012b}{}", 1, "0".repeat(4000)),
    ] {
        assert!(says_opted_out(&encode(&bits)));
    }
}

/// A core that says 2 everywhere after its version, and `value` at one bit.
fn core(length: usize, set: Option<(usize, &str)>) -> String {
    let mut bits = format!("000001{}", "10".repeat(length * 3 - 3)).into_bytes();
    if let Some((at, value)) = set {
        bits[at..at + 2].copy_from_slice(value.as_bytes());
    }
    encode(std::str::from_utf8(&bits).unwrap())
}

#[test]
fn each_field_of_each_section_binds_where_it_says_so_and_no_other_does() {
    for id in layouts::IDS {
        for length in [11, 12] {
            let layout = Layout::of(id, length).unwrap();
            let read: Vec<usize> =
                layout.fields().iter().flat_map(|it| (0..it.1).map(|at| it.0 + 2 * at)).collect();
            let gpp = |core: String| says_opted_out(&format!("{}~{core}", header(&[id])));
            assert!(!gpp(core(length, None)), "{id}");
            for at in (6..length * 6 - 1).step_by(2) {
                for (value, means_out) in [("00", false), ("01", true), ("10", false), ("11", true)]
                {
                    let expected = means_out && read.contains(&at);
                    assert_eq!(
                        gpp(core(length, Some((at, value)))),
                        expected,
                        "{id}: {value} at {at}"
                    );
                }
            }
        }
    }
    for id in [0, 28, 63, 255] {
        assert_eq!(Layout::of(id, 12), None, "{id}");
    }
}

#[test]
fn a_section_that_ends_before_its_fields_binds() {
    for id in layouts::IDS {
        let whole = core(12, None);
        let ends = Layout::of(id, 2).unwrap().fields().map(|(at, fields)| at + 2 * fields);
        let needed = ends.into_iter().max().unwrap().div_ceil(6);
        for length in 0..=needed {
            let gpp = format!("{}~{}", header(&[id]), &whole[..length]);
            assert_eq!(says_opted_out(&gpp), length < needed, "{id}: {length} of {needed}");
        }
    }
}

#[test]
fn gpc_stands_in_a_segment_of_its_own_where_the_section_has_one() {
    for id in layouts::IDS {
        let gpp = |segment: &str| {
            says_opted_out(&format!("{}~{}.{segment}", header(&[id]), core(12, None)))
        };
        assert_eq!(gpp("YA"), id <= 24, "{id}: GPC true");
        assert!(!gpp("QA"), "{id}: GPC false");
        assert!(gpp("Q!") && gpp("QA "), "{id}: no base64url");
    }
}

proptest! {
    #[test]
    fn no_string_panics(gpp in "\\PC{0,80}") {
        says_opted_out(&gpp);
    }

    #[test]
    fn no_base64_panics(header in "DBA[A-Za-z0-9_-]{1,12}", sections in "([A-Za-z0-9_.-]{0,40}~){0,4}") {
        says_opted_out(&format!("{header}~{sections}"));
    }

    #[test]
    fn junk_anywhere_binds(id in layouts::IDS, at in 0..40usize, junk in "[^A-Za-z0-9_~.-]") {
        let mut gpp = format!("{}~{}.QA", header(&[id]), core(12, None));
        let place = at % (gpp.len() + 1);
        gpp.insert_str(place, &junk);
        prop_assert_eq!(signal(None, Some(&gpp)), Some(SignalSource::GppUndecodable));
    }
}
