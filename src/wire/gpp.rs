//! Does a GPP string say that sale or sharing is opted out? In doubt: yes.
//!
//! ```text
//! DBABBg~BVVVVVVY.YA     header ~ section ~ section .., a section's segments joined by dots
//! ```
//!
//! IAB Global Privacy Platform, base64url. The header lists the sections' ids as a Fibonacci-coded
//! range. A US section has, after a 6-bit version and 2-bit notices, its opt-outs as 2-bit fields
//! (0 not applicable, 1 opted out, 2 did not opt out): sale, and sharing or its twin in other
//! states' laws, targeted advertising. A segment of type 1 is Global Privacy Control.
//!
//! The string comes from any visitor's browser, so the header is read here, in time linear in its
//! length: `iab_gpp` 0.1.2 panics on one whose ids overflow, and gives three or more sections that
//! stand alone the wrong ids. Whether a US section is well formed `iab_gpp` says. Sections of other
//! jurisdictions hold no sale or sharing and can take seconds to decode: only their alphabet is
//! checked. An id that is not known may be a US state's: opted out.

use std::str::FromStr;

use iab_gpp::sections::{
    usca::UsCa, usco::UsCo, usct::UsCt, usde::UsDe, usfl::UsFl, usia::UsIa, usmn::UsMn, usmt::UsMt,
    usnat::UsNat, usne::UsNe, usnh::UsNh, usnj::UsNj, usor::UsOr, ustn::UsTn, ustx::UsTx,
    usut::UsUt, usva::UsVa,
};

/// Longer strings are not read and count as opted out; real ones are well below 2 KiB.
pub const BYTES_MAX: usize = 8 * 1024;

/// Whether the string opts out of sale or sharing, or can't be decoded. An empty string is none.
pub fn says_opted_out(gpp: &str) -> bool {
    !gpp.is_empty() && read(gpp).unwrap_or(true)
}

/// `None`: can't be decoded.
fn read(gpp: &str) -> Option<bool> {
    if gpp.len() > BYTES_MAX {
        return None;
    }
    let mut parts = gpp.split('~');
    let ids = section_ids(parts.next()?)?;
    let mut opted_out = false;
    let mut seen = 0;
    for section in parts {
        opted_out |= section_opts_out(*ids.get(seen)?, section)?;
        seen += 1;
    }
    (seen == ids.len()).then_some(opted_out)
}

fn section_opts_out(id: u8, section: &str) -> Option<bool> {
    match id {
        // TCF of the EU (1, 2) and of Canada (5).
        1 | 2 | 5 => {
            let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            section.bytes().all(|b| b == b'.' || is_base64url(b)).then_some(false)
        }
        6 => us_privacy_opts_out(section.as_bytes()),
        _ => {
            let us = US_SECTIONS.iter().find(|us| us.id == id)?;
            (us.is_well_formed)(section).then(|| us.opts_out(section))?
        }
    }
}

/// US Privacy String, version 1: `1`, notice, opt-out of sale, LSPA; each `Y`, `N` or `-`.
fn us_privacy_opts_out(text: &[u8]) -> Option<bool> {
    let [b'1', flags @ ..] = text else { return None };
    let is_well_formed = flags.len() == 3 && flags.iter().all(|flag| b"YN-".contains(flag));
    is_well_formed.then(|| flags[1] == b'Y')
}

/// Where a US section's opt-outs are.
struct UsSection {
    id: u8,
    is_well_formed: fn(&str) -> bool,
    /// The bit at which `SaleOptOut` begins: 6 of the version, then 2 for each notice.
    opt_outs_at: usize,
    /// How many: `SaleOptOut`, then `SharingOptOut`, `TargetedAdvertisingOptOut` or both.
    opt_outs: usize,
}

impl UsSection {
    const fn new(
        id: u8,
        is_well_formed: fn(&str) -> bool,
        notices: usize,
        opt_outs: usize,
    ) -> Self {
        Self { id, is_well_formed, opt_outs_at: 6 + 2 * notices, opt_outs }
    }

    /// A value of 3 is none of the specification's: read as opted out.
    fn opts_out(&self, section: &str) -> Option<bool> {
        let mut segments = section.split('.');
        let mut core = Bits::new(segments.next()?);
        core.skip(self.opt_outs_at)?;
        let mut opted_out = false;
        for _ in 0..self.opt_outs {
            opted_out |= matches!(core.number(2)?, 1 | 3);
        }
        for segment in segments {
            let mut bits = Bits::new(segment);
            let is_gpc = bits.number(2)? == 1;
            opted_out |= is_gpc && bits.bit()?;
        }
        Some(opted_out)
    }
}

fn parses<T: FromStr>(section: &str) -> bool {
    section.parse::<T>().is_ok()
}

/// IAB, "GPP Extension: IAB Privacy's US National Privacy Technical Specification" and its twins
/// of the states.
const US_SECTIONS: [UsSection; 17] = [
    UsSection::new(7, parses::<UsNat>, 6, 3),
    UsSection::new(8, parses::<UsCa>, 3, 2),
    UsSection::new(9, parses::<UsVa>, 3, 2),
    UsSection::new(10, parses::<UsCo>, 3, 2),
    UsSection::new(11, parses::<UsUt>, 4, 2),
    UsSection::new(12, parses::<UsCt>, 3, 2),
    UsSection::new(13, parses::<UsFl>, 3, 2),
    UsSection::new(14, parses::<UsMt>, 3, 2),
    UsSection::new(15, parses::<UsOr>, 3, 2),
    UsSection::new(16, parses::<UsTx>, 3, 2),
    UsSection::new(17, parses::<UsDe>, 3, 2),
    UsSection::new(18, parses::<UsIa>, 4, 2),
    UsSection::new(19, parses::<UsNe>, 3, 2),
    UsSection::new(20, parses::<UsNh>, 3, 2),
    UsSection::new(21, parses::<UsNj>, 3, 2),
    UsSection::new(22, parses::<UsTn>, 3, 2),
    UsSection::new(23, parses::<UsMn>, 3, 2),
];

/// The header: type 3, version 1, then the ids, ascending, as a range of Fibonacci-coded gaps.
fn section_ids(header: &str) -> Option<Vec<u8>> {
    let mut bits = Bits::new(header);
    if bits.number(6)? != 3 || bits.number(6)? != 1 {
        return None;
    }
    let mut ids = Vec::new();
    let mut last = 0u8;
    for _ in 0..bits.number(12)? {
        let is_group = bits.bit()?;
        let first = last.checked_add(bits.fibonacci()?)?;
        last = if is_group { first.checked_add(bits.fibonacci()?)? } else { first };
        ids.extend(first..=last);
    }
    Some(ids)
}

/// The bits of base64url text, most significant first.
struct Bits<'a> {
    text: &'a [u8],
    next: usize,
}

impl<'a> Bits<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), next: 0 }
    }

    fn bit(&mut self) -> Option<bool> {
        let sextet = match *self.text.get(self.next / 6)? {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        let bit = sextet >> (5 - self.next % 6) & 1;
        self.next += 1;
        Some(bit == 1)
    }

    fn number(&mut self, bits: usize) -> Option<u16> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u16::from(self.bit()?);
        }
        Some(number)
    }

    fn skip(&mut self, bits: usize) -> Option<()> {
        for _ in 0..bits {
            self.bit()?;
        }
        Some(())
    }

    /// A Fibonacci-coded number: bit `i` stands for the `i`th of 1, 2, 3, 5, 8 ..; a second one in
    /// a row ends it. `None`: over 255, which no section id is.
    fn fibonacci(&mut self) -> Option<u8> {
        let (mut value, mut place, mut next_place) = (0u16, 1u16, 2u16);
        let mut last_bit = false;
        loop {
            let bit = self.bit()?;
            if bit && last_bit {
                return u8::try_from(value).ok();
            }
            if bit {
                value = value.saturating_add(place);
            }
            (place, next_place) = (next_place, place.saturating_add(next_place));
            last_bit = bit;
        }
    }
}

#[cfg(test)]
mod tests;
