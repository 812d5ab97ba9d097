//! Entries as they lie in a bundle: each as two bytes of length, big-endian, and its bytes.

use crate::tile::WIDTH;

/// What two bytes can count.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// The largest bundle that there can be.
pub const BYTES_MAX: usize = WIDTH as usize * (2 + ENTRY_BYTES_MAX);

/// Appends an entry, which is at most [`ENTRY_BYTES_MAX`] long; returns whether it was.
#[must_use]
pub fn put(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    true
}

/// The entries of a bundle; `None`: it is not exactly this many.
pub fn entries(bundle: &[u8], count: u16) -> Option<Vec<&[u8]>> {
    let mut rest = bundle;
    let mut entries = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_exactly_its_entries() {
        let mut bundle = Vec::new();
        assert!(put(&mut bundle, b"one") && put(&mut bundle, b""));
        assert_eq!(entries(&bundle, 2), Some(vec![b"one".as_slice(), b""]));
        for count in [0, 1, 3] {
            assert_eq!(entries(&bundle, count), None, "{count}");
        }
        for cut in 0..bundle.len() {
            assert_eq!(entries(&bundle[..cut], 2), None, "{cut}");
        }
        assert!(!put(&mut bundle, &vec![0; ENTRY_BYTES_MAX + 1]));
    }
}
