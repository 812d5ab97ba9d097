//! Bytes as text, for people and keys.

use std::fmt::Write as _;

/// In lower case, as sha256sum prints a hash.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
