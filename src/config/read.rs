//! One key's value, checked: what every section reads its own with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::entries::Entries;
use super::{near_misses, values};
use crate::failure::{Failure, Result};

/// The key's text or its default, checked.
pub(super) fn value<T>(
    entries: &Entries,
    key: &str,
    default: &str,
    check: impl FnOnce(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    let text = entries.get(key).map_or(default, |(text, _)| text);
    check(text).map_err(|message| entries.refuse(key, &message))
}

/// Relative to the configuration file's folder.
pub(super) fn path(entries: &Entries, key: &str, default: &str) -> Result<PathBuf> {
    let relative = value(entries, key, default, values::non_empty)?;
    std::path::absolute(entries.folder().join(relative))
        .map_err(|error| entries.refuse(key, &error.to_string()))
}

/// Two ids that a variable's name may have confused.
pub(super) fn refuse_alike(prefix: &str, what: &str, ids: &BTreeSet<&str>) -> Result<()> {
    match near_misses::of_ids(ids) {
        None => Ok(()),
        Some((one, other)) => Err(Failure::config(format!(
            "{prefix}{one} and {prefix}{other} differ only in `-` and `_`, so they look like one \
             {what} under two names; rename one (in the name of a variable, write `___` for `-`)"
        ))),
    }
}
