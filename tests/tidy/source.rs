//! Rust files as text: which there are, and their code without comments and literals.

use std::path::Path;

use crate::root;

pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// The text with every character of a comment or a literal blanked out, line by line the same.
    pub code: String,
}

/// Every Rust file under these folders, by path. A folder that is not there holds none.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found: Vec<Source> = files(folders, "rs").into_iter().map(Source::read).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The folders of the sources of all crates, the service's first.
pub fn crate_folders() -> Vec<String> {
    let members = std::fs::read_dir(root().join("crates")).expect("crates");
    let names = members.map(|entry| entry.expect("an entry"));
    let names = names.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
    let mut folders: Vec<String> =
        names.map(|name| format!("crates/{}/src", name.to_str().expect("UTF-8"))).collect();
    folders.sort();
    folders.insert(0, "src".to_owned());
    folders
}

/// Every file of the crates, without their folders of tests.
pub fn crate_sources() -> Vec<Source> {
    let folders = crate_folders();
    sources(&folders.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Paths from the root of all files with this extension under these folders.
pub fn files(folders: &[&str], extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), extension, &mut found);
    }
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path.strip_prefix(root()).expect("below the root").display().to_string());
        }
    }
}

impl Source {
    fn read(path: String) -> Self {
        let text = std::fs::read_to_string(root().join(&path)).expect("readable");
        let code = code_of(&text);
        Self { path, text, code }
    }

    /// The folder of the crate's sources, and the module at its top to which the file belongs:
    /// `crates/core/src` and `engine` for `crates/core/src/engine/seal.rs`.
    pub fn crate_and_module(&self) -> (&str, &str) {
        let at = self.path.find("src/").expect("a file of src") + "src".len();
        let below = self.path[at + 1..].split('/').next().expect("a name");
        (&self.path[..at], below.trim_end_matches(".rs"))
    }

    pub fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// Where a name stands as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let after = at + word.len();
        !is_part(code[..at].chars().next_back()) && !is_part(code[after..].chars().next())
    })
}

fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let skipped = blank_length(rest);
        if skipped > 0 {
            let blank = |c: char| if c == '\n' { c } else { ' ' };
            code.extend(rest[..skipped].chars().map(blank));
            rest = &rest[skipped..];
        } else {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let next = word.max(rest.chars().next().map_or(0, char::len_utf8));
            code.push_str(&rest[..next]);
            rest = &rest[next..];
        }
    }
    code
}

/// How long the comment or literal is that begins here; 0: none does.
fn blank_length(rest: &str) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return to(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/").map(|at| at + 2));
    }
    if let Some(length) = raw_string_length(rest) {
        return length;
    }
    match rest.as_bytes() {
        [b'"', ..] => to(end_of_quoted(rest, 1)),
        [b'b', b'"', ..] => to(end_of_quoted(rest, 2)),
        [b'\'', b'\\', ..] => to(rest[2..]
            .char_indices()
            .nth(1)
            .and_then(|(i, _)| rest[2 + i..].find('\'').map(|end| 2 + i + end + 1))),
        // Else a lifetime.
        [b'\'', ..] => match rest.char_indices().nth(2) {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        _ => 0,
    }
}

fn raw_string_length(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let begins = rest.len() - body.len();
    Some(body.find(&close).map_or(rest.len(), |end| begins + end + close.len()))
}

fn end_of_quoted(rest: &str, begins: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest[begins..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(begins + at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn code_keeps_its_lines_and_loses_comments_and_literals() {
    let text =
        "fn a<'x>() { // }\n  let c = '{'; let d = '\\''; /* { \n */ b\"}\\\"\"; r#\"\"}\"#; }";
    let code = code_of(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert_eq!(code.matches('}').count(), 1, "{code}");
    assert!(code.contains("<'x>"), "{code}");
}
