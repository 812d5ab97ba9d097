//! docs/law.md against the tree: each path, symbol and test in its tables is there, each line of the gate's table has
//! its row, and so has each citation of a statute or regulation in code and schemas.

use std::collections::BTreeMap;

use assent_contract::domain::gate::table::LINES;

use crate::source::{Source, files, sources, words};
use crate::{expect_none, root};

const PAGE: &str = "docs/law.md";

/// Of a table that names code: rule, citation, counsel, in the code, breaks without it.
struct Row {
    line: usize,
    cells: Vec<String>,
}

impl Row {
    fn citation(&self) -> &str {
        &self.cells[1]
    }
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("readable");
    let rows: Vec<Row> =
        (1..).zip(page.lines()).filter_map(|(line, text)| row(line, text)).collect();
    assert!(rows.len() > 40, "only {} rows were read", rows.len());
    rows
}

fn row(line: usize, text: &str) -> Option<Row> {
    let inner = text.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<String> = inner.split(" | ").map(str::to_owned).collect();
    (cells.len() == 5 && cells[1] != "citation").then_some(Row { line, cells })
}

/// The words in code style of a cell, each with the path before it.
fn named(cell: &str) -> Vec<(&str, &str)> {
    let mut path = "";
    let mut named = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        if word.contains('/') {
            path = word;
        } else {
            named.push((path, word));
        }
    }
    named
}

#[test]
fn each_symbol_and_test_that_the_page_names_is_there() {
    let all = sources(&["src", "crates", "tests"]);
    let by_path: BTreeMap<&str, &Source> = all.iter().map(|it| (it.path.as_str(), it)).collect();
    let mut offenders = Vec::new();
    for row in rows() {
        let missing = |cell: usize, is_there: fn(&Source, &str) -> bool| {
            let names = named(&row.cells[cell]);
            let nothing = names.is_empty().then(|| "names nothing".to_owned());
            let lost = names.into_iter().filter(|(path, name)| {
                !by_path.get(path).is_some_and(|source| is_there(source, name))
            });
            let lost: Vec<String> = lost.map(|(path, name)| format!("{path}: {name}")).collect();
            let all = lost.into_iter().chain(nothing);
            all.map(|what| format!("{PAGE}:{}: {what}", row.line)).collect::<Vec<String>>()
        };
        offenders.extend(missing(3, |source, name| words(&source.code, name).next().is_some()));
        offenders.extend(missing(4, is_test));
    }
    expect_none(&offenders, "no such symbol, or no such test");
}

/// Is this a function with the attribute `#[test]`?
fn is_test(source: &Source, name: &str) -> bool {
    words(&source.code, name).any(|at| {
        let before = &source.code[..at];
        let attributes = before.lines().rev().skip(1).map(str::trim);
        let mut attributes =
            attributes.take_while(|line| line.is_empty() || line.starts_with("#["));
        before.ends_with("fn ") && attributes.any(|line| line == "#[test]")
    })
}

#[test]
fn each_line_of_the_gate_has_its_row_with_its_ground() {
    let rows = rows();
    let has_row = |number: u8, why: &str| {
        rows.iter().any(|row| row.cells[0] == number.to_string() && row.citation() == why)
    };
    let grounded = LINES.iter().filter(|line| !line.why.is_empty());
    let missing = grounded.filter(|line| !has_row(line.number, line.why));
    let missing: Vec<String> =
        missing.map(|line| format!("{}: {}", line.number, line.why)).collect();
    expect_none(&missing, "docs/law.md lacks a row for these lines of the gate's table");
}

#[test]
fn each_citation_in_code_and_schemas_has_its_row() {
    let held: Vec<String> = rows().iter().flat_map(|row| citations(row.citation())).collect();
    let is_held = |cited: &String| {
        let part = format!("{cited}(");
        held.iter().any(|it| it == cited || it.starts_with(&part))
    };
    let texts = sources(&["src", "crates"]).into_iter().map(|source| (source.path, source.text));
    let schemas = files(&["schemas"], "avsc").into_iter().map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).expect("readable");
        (path, text)
    });
    let mut offenders = Vec::new();
    let mut found = 0;
    for (path, text) in texts.chain(schemas) {
        let cited = citations(&unwrapped(&text));
        found += cited.len();
        offenders
            .extend(cited.into_iter().filter(|it| !is_held(it)).map(|it| format!("{path}: {it}")));
    }
    assert!(found > 40, "only {found} citations were found");
    expect_none(&offenders, "docs/law.md has no row for these citations");
}

/// Lines joined as they are read: without the marks of comments, and without a string's line ends.
fn unwrapped(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.trim_start_matches("//").trim_start_matches(['/', '!']).trim_start();
        match joined.strip_suffix('\\') {
            Some(open) => joined.truncate(open.len()),
            None => joined.push(' '),
        }
        joined.push_str(line);
    }
    joined
}

/// `11 CCR 7025(c)(1)`, `16 CFR 312.5`, `Civ. Code 1798.120`: also where a list goes on with `, .135(c)(4)`,
/// `and (5)` or `, 7028(a)`.
fn citations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (book, mark) in [("11 CCR", "11 CCR "), ("16 CFR", "312."), ("Civ. Code", "1798.")] {
        let mut from = 0;
        while let Some(at) = text[from..].find(mark).map(|at| from + at) {
            let is_number = !text[..at].ends_with(|c: char| c.is_ascii_digit() || c == '.');
            let start = if book == "11 CCR" { at + mark.len() } else { at };
            from = at + mark.len();
            if is_number {
                from = from.max(start + list(book, &text[start..], &mut found));
            }
        }
    }
    found
}

/// Reads one section and those that follow it in its list. Returns how far it read.
fn list(book: &str, text: &str, found: &mut Vec<String>) -> usize {
    let (mut section, mut parts) = (String::new(), Vec::new());
    let mut read = 0;
    loop {
        let rest = &text[read..];
        let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let number = number.trim_end_matches('.');
        let groups = groups(&rest[number.len()..]);
        let is_next = match (number, section.split('.').next()) {
            ("", _) => !groups.is_empty() && !section.is_empty(),
            (number, Some(title)) if number.starts_with('.') => !title.is_empty(),
            (number, _) if section.is_empty() => !number.is_empty(),
            (number, Some(title)) => {
                number.len() >= 4 && number.as_bytes()[0] == title.as_bytes()[0]
            }
            (_, None) => false,
        };
        if !is_next {
            return read;
        }
        read += number.len() + groups.iter().map(|group| group.len() + 2).sum::<usize>();
        match number {
            "" => go_on(&mut parts, groups),
            number => {
                let title = section.split('.').next().unwrap_or_default();
                section = if number.starts_with('.') {
                    format!("{title}{number}")
                } else {
                    number.to_owned()
                };
                parts = groups;
            }
        }
        let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
        let parts = parts.concat();
        found.push(format!("{book} {section}{parts}"));
        let separator = [", ", " and "].into_iter().find(|it| text[read..].starts_with(it));
        read += separator.map_or(0, str::len);
        if separator.is_none() {
            return read;
        }
    }
}

/// The texts of `(c)(1)` at the start.
fn groups(text: &str) -> Vec<String> {
    let mut groups = Vec::new();
    let mut rest = text;
    while let Some((group, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'))
    {
        if group.is_empty() || group.len() > 4 || !group.chars().all(|c| c.is_ascii_alphanumeric())
        {
            break;
        }
        groups.push(group.to_owned());
        rest = after;
    }
    groups
}

/// `(c)(4)` and then `(5)` is `(c)(5)`: what comes takes the place of the last of its kind.
fn go_on(parts: &mut Vec<String>, groups: Vec<String>) {
    let kind = |part: &String| {
        let first = part.as_bytes()[0];
        (first.is_ascii_digit(), first.is_ascii_uppercase())
    };
    let place =
        groups.first().and_then(|first| parts.iter().rposition(|part| kind(part) == kind(first)));
    parts.truncate(place.unwrap_or(parts.len()));
    parts.extend(groups);
}

#[test]
fn citations_are_read_as_lawyers_write_them() {
    for (text, expected) in [
        ("(11 CCR 7025(c)(1)), and", &["11 CCR 7025(c)(1)"][..]),
        ("Civ. Code 1798.120, .135(c)(4)", &["Civ. Code 1798.120", "Civ. Code 1798.135(c)(4)"]),
        ("1798.135(c)(4) and (5)).", &["Civ. Code 1798.135(c)(4)", "Civ. Code 1798.135(c)(5)"]),
        ("1798.100(a)(3), (c)", &["Civ. Code 1798.100(a)(3)", "Civ. Code 1798.100(c)"]),
        ("11 CCR 7025(c)(3), (c)(7)(B)", &["11 CCR 7025(c)(3)", "11 CCR 7025(c)(7)(B)"]),
        ("11 CCR 7025(g)(3)(A), (B)", &["11 CCR 7025(g)(3)(A)", "11 CCR 7025(g)(3)(B)"]),
        ("11 CCR 7071, 7028(a) and 12 others", &["11 CCR 7071", "11 CCR 7028(a)"]),
        ("16 CFR 312.5: consent", &["16 CFR 312.5"]),
        ("(16 CFR, the rule), (11 CCR), and 11 CCR alone", &[]),
    ] {
        assert_eq!(citations(text), expected, "{text}");
    }
    assert_eq!(citations(&unwrapped("/// (16 CFR\n/// 312.5(a)(1))")), ["16 CFR 312.5(a)(1)"]);
    assert_eq!(
        citations(&unwrapped("\"11 CCR \\\n    7101, 7022\"")),
        ["11 CCR 7101", "11 CCR 7022"]
    );
    assert_eq!(citations(&unwrapped("(11 CCR\n   7101)")), ["11 CCR 7101"]);
}
