//! GPP strings against `iab_gpp` as an oracle where it can be one, and against hostile ones.

use std::str::FromStr;

use iab_gpp::sections::us_common::OptOut;
use iab_gpp::sections::{Section, SectionId, uspv1};
use iab_gpp::v1::GPPString;
use proptest::prelude::*;

use super::*;

#[test]
fn known_strings() {
    for (gpp, expected) in [
        ("", false),
        // facts: usca with sale and sharing opted out; with GPC while not opted out; not at all
        ("DBABBg~BVVVVVVY", true),
        ("DBABBg~BVqqqqpY.YA", true),
        ("DBABBg~BVqqqqpY", false),
        // MspaCoveredTransaction 0 is no value: the section does not decode
        ("DBABBg~BAAAAAAA", true),
        ("DBABTA~1YNN", false),
        ("DBABTA~1YYN", true),
        ("DBABTA~1---", false),
        ("DBABTA~1YNNN", true),
        ("DBABTA~2YNN", true),
        ("DBABTA~1yNN", true),
        // TCF alone says nothing of sale
        ("DBABM~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", false),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", false),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YYN", true),
        ("DBABM~not base64", true),
        // sections and ids differ in number
        ("DBABBg", true),
        ("DBABBg~BVqqqqpY~BVqqqqpY", true),
        // no header, no string
        ("1YNN", true),
        ("~", true),
        ("DBAA", false),
        ("🧸", true),
    ] {
        assert_eq!(says_opted_out(gpp), expected, "{gpp}");
    }
    assert!(says_opted_out(&"A".repeat(BYTES_MAX + 1)));
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
    let gpp = |usca: &str| format!("{}~1YNN~{usca}~BVVVVVVVVY", header(&[6, 8, 10]));
    assert_eq!(section_ids(&header(&[6, 8, 10])), Some(vec![6, 8, 10]));
    assert_eq!(section_ids("DBABBg"), Some(vec![8]));
    assert!(says_opted_out(&gpp("BVVVVVVY")));
    // the third section of `gpp` is usco, all 1: opted out whatever usca says
    assert!(says_opted_out(&gpp("BVqqqqpY")));
    let calm = format!("{}~1YNN~BVqqqqpY~{}", header(&[6, 8, 10]), encode(&usco("101010")));
    assert!(!says_opted_out(&calm));
    let theirs = GPPString::from_str(&calm).unwrap();
    assert_eq!(theirs.section(SectionId::UsCo), None, "iab_gpp 0.1.2 has it as id 4");
}

/// A Colorado core whose fields all say 2, but for the first three notices.
fn usco(notices: &str) -> String {
    format!("000001{notices}{}", "10".repeat(20))
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

#[test]
fn every_us_section_has_its_opt_outs_where_the_table_says() {
    for us in &US_SECTIONS {
        let calm = core(us, None);
        assert!((us.is_well_formed)(&calm), "{}", us.id);
        assert_eq!(us.opts_out(&calm), Some(false), "{}", us.id);
        for field in 0..us.opt_outs {
            let core = core(us, Some(field));
            assert_eq!(us.opts_out(&core), Some(true), "{} field {field}", us.id);
            let gpp = format!("{}~{core}", header(&[us.id]));
            let section = GPPString::from_str(&gpp).unwrap().decode_all_sections().remove(0);
            let opt_outs = oracle(&section.unwrap());
            let expected: Vec<bool> = (0..us.opt_outs).map(|other| other == field).collect();
            assert_eq!(opt_outs, expected, "{} field {field}", us.id);
        }
    }
}

/// A core that says 2 everywhere after the version, and 1 in one opt-out field.
fn core(us: &UsSection, opted_out: Option<usize>) -> String {
    let mut bits = format!("000001{}", "10".repeat(40)).into_bytes();
    if let Some(field) = opted_out {
        let at = us.opt_outs_at + 2 * field;
        bits[at..at + 2].copy_from_slice(b"01");
    }
    encode(std::str::from_utf8(&bits).unwrap())
}

/// The opt-outs as `iab_gpp` names them, in the section's order.
fn oracle(section: &Section) -> Vec<bool> {
    use iab_gpp::sections::usnat::Core;
    macro_rules! of {
        ($core:expr, $($field:ident),+) => { vec![$($core.$field == OptOut::OptedOut),+] };
    }
    macro_rules! state {
        ($section:expr) => {
            of!($section.core, sale_opt_out, targeted_advertising_opt_out)
        };
    }
    match section {
        Section::UspV1(usp) => vec![usp.opt_out_sale == uspv1::Flag::Yes],
        Section::UsNat(us) => match &us.core {
            Core::V1(v1) => {
                of!(v1, sale_opt_out, sharing_opt_out, targeted_advertising_opt_out)
            }
            Core::V2(v2) => {
                of!(v2, sale_opt_out, sharing_opt_out, targeted_advertising_opt_out)
            }
            other => panic!("{other:?}"),
        },
        Section::UsCa(us) => of!(us.core, sale_opt_out, sharing_opt_out),
        Section::UsVa(us) => state!(us),
        Section::UsCo(us) => state!(us),
        Section::UsUt(us) => state!(us),
        Section::UsCt(us) => state!(us),
        Section::UsFl(us) => state!(us),
        Section::UsMt(us) => state!(us),
        Section::UsOr(us) => state!(us),
        Section::UsTx(us) => state!(us),
        Section::UsDe(us) => state!(us),
        Section::UsIa(us) => state!(us),
        Section::UsNe(us) => state!(us),
        Section::UsNh(us) => state!(us),
        Section::UsNj(us) => state!(us),
        Section::UsTn(us) => state!(us),
        Section::UsMn(us) => state!(us),
        other => panic!("{other:?}"),
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
    fn any_core_says_what_iab_gpp_reads(index in 0..US_SECTIONS.len(), core in "[BC][A-Za-z0-9_-]{5,20}(\\.[A-Za-z0-9_-]{2})?") {
        let us = &US_SECTIONS[index];
        let gpp = format!("{}~{core}", header(&[us.id]));
        let ours = says_opted_out(&gpp);
        match GPPString::from_str(&gpp).unwrap().decode_all_sections().remove(0) {
            Err(_) => prop_assert!(ours),
            Ok(section) => prop_assert!(ours || oracle(&section).iter().all(|out| !out)),
        }
    }
}
