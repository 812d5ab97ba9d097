//! docs/configuration.md, made from the declarations.

use std::fmt::Write as _;

use super::{Declaration, KEYS, Kind};
use crate::config::properties;

const INTRODUCTION: &str = "\
# Configuration

Made from src/config/keys.rs by `UPDATE_DOCS=1 cargo test --lib config`.

Read from `--config FILE` (YAML), else from `assent.yaml` in the working folder, else all defaults.
Every key can also be set as a variable `ASSENT__SECTION__KEY`, which wins over the file. A variable's
name may be in either case; in `kafka.properties`, its `_` stands for `.`; in the id of a consent source,
its `___` stands for `-`: `ASSENT__CONSENT__SOURCES__WEB___CMP__MAX_SILENCE` is of `web-cmp`. A name that
looks like such a variable and is none (`ASSENT_KAFKA__GROUP_ID`) is refused. A secret can lie in a file of
its own, which `<key>_file` names: its trailing line end is cut off, and beside `<key>` itself it is
refused. Relative paths are relative to the configuration file's folder. Durations are whole numbers
with `ms`, `s`, `m`, `h` or `d`. `null` is as if the key were not there.

Everything is checked before a connection is made. An unknown key, a value out of bounds, two sources
for one key: exit code 78 and one message that names the place and what to do. `assent check` reads the
same configuration and changes nothing.

| key | variable | value | default | what it does |
|---|---|---|---|---|
";

/// The page, in Markdown.
pub fn documentation() -> String {
    let mut page = INTRODUCTION.to_owned();
    for declared @ Declaration { key, kind, meaning, .. } in KEYS {
        let (variable, default) = (variable(key), default_cell(declared));
        let value = value_cell(*kind);
        let _ = writeln!(page, "| `{key}` | `{variable}` | {value} | {default} | {meaning} |");
        if *kind == Kind::Secret {
            let _ = writeln!(
                page,
                "| `{key}_file` | `{variable}_FILE` | path |  | A file that holds it. |"
            );
        }
    }
    page + &properties::page()
}

pub(super) fn variable(key: &str) -> String {
    format!("ASSENT__{}", key.to_ascii_uppercase().replace('.', "__"))
}

fn default_cell(declared: &Declaration) -> String {
    match declared.default {
        "" => String::new(),
        default => format!("`{default}`"),
    }
}

fn value_cell(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::GroupId => "1 to 200 of letters, digits, `.`, `_`, `-`".to_owned(),
        Kind::Topic => "topic: 1 to 249 of letters, digits, `.`, `_`, `-`".to_owned(),
        Kind::TopicPerPurpose => "topic, with `{purpose}` once".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Address => "address and port".to_owned(),
        Kind::RegistryUrl => "http or https address".to_owned(),
        Kind::OneOf(words) => words.join(" or "),
        Kind::Whole(least, most) => format!("whole number, {least} to {most}"),
        Kind::Duration(least, most) => format!("duration, {least} to {most}"),
        Kind::Property => "text, as librdkafka wants it".to_owned(),
        Kind::Secret => "text, a secret".to_owned(),
    }
}
