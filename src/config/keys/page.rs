//! docs/configuration.md, made from the declarations.

use std::fmt::Write as _;

use super::{Declaration, KEYS, Kind};
use crate::config::properties;

const INTRODUCTION: &str = "\
# Configuration

Generated from src/config/keys/mod.rs by `UPDATE_DOCS=1 cargo test --lib config`.

Assent reads the YAML file that `--config FILE` names. Without the option it reads `assent.yaml` in the working
directory; if that does not exist either, every key has its default. Paths are relative to the directory of the
configuration file. Durations are whole numbers with `ms`, `s`, `m`, `h` or `d`. `null` means that the key is
not set.

Every key can also be set as the environment variable `ASSENT__SECTION__KEY`, which overrides the file. The name
of a variable may be in upper or lower case. In the name of a property of `kafka.properties`, write `_` for `.`.
In the id of a consent source or of a client, write `___` for `-`:
`ASSENT__CONSENT__SOURCES__WEB___CMP__MAX_SILENCE` belongs to the source `web-cmp`. In the file, a list is
a list, and the clients of `serve` are one, each with its `id`; in a variable, put commas between its members.
A variable that only looks like one of these (`ASSENT_KAFKA__GROUP_ID`) is refused.

A secret can come from a file: set `<key>_file` to its path. Line ends at the end of the file are removed.
Setting both `<key>` and `<key>_file` is an error.

Everything is checked before a connection is made. For an unknown key, a value out of bounds or a key that is
set twice, the command exits with code 78 and one message that says where the key is set, what is wrong and what
to do. `assent check` reads the same configuration and changes nothing.

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
                "| `{key}_file` | `{variable}_FILE` | path |  | File that holds the value of \
                 `{key}`. |"
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
        Kind::Property => "text, as librdkafka expects it".to_owned(),
        Kind::LogName => "1 to 255 bytes without spaces and `+`".to_owned(),
        Kind::Secret => "text, a secret".to_owned(),
        Kind::Switch => "true or false".to_owned(),
        Kind::Words(words) => format!("list of {}", words.join(", ")),
        Kind::Origins => "list of origins".to_owned(),
        Kind::Rate => "whole number and `/s` or `/m`".to_owned(),
        Kind::Table => "names and a word for each; in a variable, a JSON object".to_owned(),
    }
}
