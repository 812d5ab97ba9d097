//! Questions to the table of keys: what a name may be, and which names there are.

use super::{KEYS, Kind, page};

/// Does the key take a list?
pub(in crate::config) fn is_list(key: &str) -> bool {
    is_of(key, |kind| matches!(kind, Kind::Words(_) | Kind::Origins))
}

/// Does the key take names that a person does not choose?
pub(in crate::config) fn is_table(key: &str) -> bool {
    is_of(key, |kind| kind == Kind::Table)
}

fn is_of(key: &str, wanted: fn(Kind) -> bool) -> bool {
    KEYS.iter().filter(|declared| wanted(declared.kind)).any(|declared| {
        match declared.key.split_once('<') {
            None => declared.key == key,
            Some((before, rest)) => {
                let after = rest.split_once('>').map_or("", |(_, after)| after);
                key.strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|id| !id.contains('.'))
            }
        }
    })
}

/// `<key>_file` in place of a secret.
pub(in crate::config) fn is_declared(key: &str) -> bool {
    KEYS.iter().any(|declared| {
        let file_of_secret =
            || declared.kind == Kind::Secret && key.strip_suffix("_file") == Some(declared.key);
        declared.key == key || file_of_secret()
    })
}

/// The variables of all keys in which a person chooses no part, secrets' files included.
pub(in crate::config) fn variables() -> impl Iterator<Item = String> {
    let fixed = KEYS.iter().filter(|declared| !declared.key.contains('<'));
    fixed.flat_map(|declared| {
        let variable = page::variable(declared.key);
        let file = (declared.kind == Kind::Secret).then(|| format!("{variable}_FILE"));
        std::iter::once(variable).chain(file)
    })
}

/// The names below a section, `prefix` with its dot.
pub(in crate::config) fn names_below(prefix: &str) -> impl Iterator<Item = &'static str> {
    let below = KEYS.iter().filter_map(move |declared| declared.key.strip_prefix(prefix));
    below.filter(|name| !name.contains('.'))
}
