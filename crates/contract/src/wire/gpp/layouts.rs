//! Where each US section has the fields that say whether sale or sharing is opted out, as the IAB
//! publishes them (InteractiveAdvertisingBureau/Global-Privacy-Platform, Sections/, December 2025).
//!
//! ```text
//! usnat         version 6 · notices 6×2 · SaleOptOut, SharingOptOut, TargetedAdvertisingOptOut 3×2 ·
//!               sensitive data 12×2, in version 2 16×2 · known child 2×2, in version 2 3×2 · …
//! usca          version 6 · notices 3×2 · SaleOptOut, SharingOptOut 2×2 · sensitive data 9×2 ·
//!               known child 2×2 · …
//! other states  version 6 · notices 3×2, usut and usia 4×2 · SaleOptOut, TargetedAdvertisingOptOut 2×2 · …
//! 24 to 27      MSPA version 6 · MSPA 2×2 · notices 3×2 · SaleOptOut, TargetedAdvertisingOptOut 2×2 · …
//! ```
//!
//! Other states name the sharing of data targeted advertising.

/// What is read of a section's core, and whether a segment of Global Privacy Control may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The bit at which `SaleOptOut` begins, and how many opt-outs there are from there on.
    opt_outs: (usize, usize),
    /// The same of the known child's consents.
    known_child: (usize, usize),
    pub has_gpc: bool,
}

/// Ids that have a published layout.
#[cfg(test)]
pub const IDS: std::ops::RangeInclusive<u8> = 7..=27;

impl Layout {
    /// `None`: no published table has the id. `core`: the length of the core's text.
    pub fn of(id: u8, core: usize) -> Option<Self> {
        Some(match id {
            7 => Self::usnat(core),
            8 => Self { known_child: (34, 2), ..Self::state(3) },
            9 | 10 | 12..=17 | 19..=23 => Self::state(3),
            11 | 18 => Self::state(4),
            24 => Self { opt_outs: (16, 2), ..Self::state(3) },
            // What follows their core is a segment of sensitive data, without a type.
            25..=27 => Self { opt_outs: (16, 2), has_gpc: false, ..Self::state(3) },
            _ => return None,
        })
    }

    const fn state(notices: usize) -> Self {
        Self { opt_outs: (6 + 2 * notices, 2), known_child: (0, 0), has_gpc: true }
    }

    /// Version 1 has 60 bits, version 2 has 70, and zeros fill them up. Libraries write either label on
    /// either layout: the length tells.
    fn usnat(core: usize) -> Self {
        const VERSION_1_SEXTETS_MAX: usize = 11;
        let known_child = if core <= VERSION_1_SEXTETS_MAX { (48, 2) } else { (56, 3) };
        Self { opt_outs: (18, 3), known_child, has_gpc: true }
    }

    /// First bit and number of the fields of 2 bits that are read, in order.
    pub fn fields(&self) -> [(usize, usize); 2] {
        [self.opt_outs, self.known_child]
    }
}
