//! The section of docs/configuration.md on `kafka.properties`, made from the table.

use std::fmt::Write as _;

use super::table::{ALLOWED, REFUSED, REFUSED_BEGINNINGS, Value};

const INTRODUCTION: &str = "
## kafka.properties

Assent passes these properties to librdkafka and refuses all others. An alias is another name of the same
property; setting both is an error. If the table names no values, see librdkafka's
[CONFIGURATION.md](https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md).

| property | alias | value |
|---|---|---|
";

const REFUSALS: &str = "
Assent itself logs in with OAuth tokens, under librdkafka's names ([security.md](security.md#logins)).

Refused properties:

| property | why |
|---|---|
";

/// In Markdown.
pub(in crate::config) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for allowed in ALLOWED {
        let value = match allowed.value {
            Value::Any => String::new(),
            Value::Whole(least, most) => format!("whole number, {least} to {most}"),
            Value::OneOf(words) => words.join(", "),
        };
        let _ =
            writeln!(page, "| `{}` | {} | {value} |", allowed.name, quoted(allowed.aliases, ""));
    }
    page.push_str(REFUSALS);
    for (names, reason) in REFUSED {
        let _ = writeln!(page, "| {} | {reason} |", quoted(names, ""));
    }
    for (beginning, reason) in REFUSED_BEGINNINGS {
        let _ = writeln!(page, "| {} | {reason} |", quoted(&[beginning], ".."));
    }
    page
}

fn quoted(names: &[&str], more: &str) -> String {
    names.iter().map(|name| format!("`{name}`{more}")).collect::<Vec<_>>().join(", ")
}
