//! Does a GPP string say that sale or sharing is opted out? In doubt: yes.
//!
//! ```text
//! DBABBg~BVVVVVVY.YA     header ~ section ~ section .., a section's segments joined by dots
//! ```
//!
//! IAB Global Privacy Platform, base64url. The header lists the sections' ids as a Fibonacci-coded
//! range. Of a section only the fields are read that say this ([`layouts`]); what the others hold says
//! nothing of well-formedness. What can't be decoded binds: text that is not base64url to its end, a
//! section too short for those fields, an id that no published table has.
//!
//! The string comes from any visitor's browser: reading it takes time linear in its length.

mod bits;
mod layouts;

use crate::domain::event::SignalSource;
use bits::{Bits, is_base64url};
use layouts::Layout;

/// Longer strings are not read and count as opted out; real ones are well below 2 KiB.
pub const BYTES_MAX: usize = 8 * 1024;

/// Why a click binds its subject; `None`: it does not. GPC beats a string that says otherwise.
pub fn signal(gpc: Option<bool>, gpp: Option<&str>) -> Option<SignalSource> {
    if gpc == Some(true) {
        return Some(SignalSource::Gpc);
    }
    match gpp {
        None | Some("") => None,
        Some(text) => match read(text) {
            None => Some(SignalSource::GppUndecodable),
            Some(opted_out) => opted_out.then_some(SignalSource::Gpp),
        },
    }
}

/// Is sale or sharing opted out? `None`: the string can't be decoded.
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
        // TCF of the EU and of Canada, the header's and the signature's own ids.
        1..=5 => section.split('.').all(is_base64url).then_some(false),
        6 => us_privacy_opts_out(section.as_bytes()),
        _ => us_section_opts_out(id, section),
    }
}

/// US Privacy String, version 1: `1`, notice, opt-out of sale, LSPA; each `Y`, `N` or `-`.
fn us_privacy_opts_out(text: &[u8]) -> Option<bool> {
    let [b'1', flags @ ..] = text else { return None };
    let is_well_formed = flags.len() == 3 && flags.iter().all(|flag| b"YN-".contains(flag));
    is_well_formed.then(|| flags[1] == b'Y')
}

fn us_section_opts_out(id: u8, section: &str) -> Option<bool> {
    let mut segments = section.split('.');
    let core = segments.next()?;
    let layout = Layout::of(id, core.len())?;
    let mut opted_out = core_opts_out(&layout, core)?;
    for segment in segments {
        opted_out |= segment_opts_out(&layout, segment)?;
    }
    Some(opted_out)
}

/// Each field read has 2 bits: 0 not applicable, 1 opted out or no consent, 2 the contrary. 3 is none of
/// the specification's: the same as 1.
fn core_opts_out(layout: &Layout, core: &str) -> Option<bool> {
    let mut bits = Bits::new(core);
    let mut opted_out = false;
    for (at, fields) in layout.fields() {
        bits.skip_to(at)?;
        for _ in 0..fields {
            opted_out |= bits.number(2)? & 1 == 1;
        }
    }
    is_base64url(core).then_some(opted_out)
}

/// A segment after the core: Global Privacy Control, where the section has one.
fn segment_opts_out(layout: &Layout, segment: &str) -> Option<bool> {
    const GPC: u16 = 1;
    if !is_base64url(segment) {
        return None;
    }
    if !layout.has_gpc {
        return Some(false);
    }
    let mut bits = Bits::new(segment);
    let is_gpc = bits.number(2)? == GPC;
    Some(bits.bit()? && is_gpc)
}

/// The header: type 3, version 1, then the ids, ascending, as a range of Fibonacci-coded gaps.
fn section_ids(header: &str) -> Option<Vec<u8>> {
    let mut bits = Bits::new(header);
    if !is_base64url(header) || bits.number(6)? != 3 || bits.number(6)? != 1 {
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

#[cfg(test)]
mod tests;
