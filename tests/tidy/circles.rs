//! Files that use each other in a circle are read as one: no circle has more than three.
//!
//! An edge leads from a file to the one that defines what it names, by `use` or by a path in its code. A
//! re-export alone is no edge: whoever names it uses what lies behind it. Tests don't count.

use std::collections::{BTreeMap, BTreeSet};

use crate::expect_none;
use crate::source::{Source, crate_folders, sources, words};

const CIRCLE_FILES_MAX: usize = 3;

type Path = Vec<String>;
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_circle_of_files_is_larger_than_three() {
    let circles = crate_folders().into_iter().flat_map(|folder| {
        let crate_ = Crate::read(&folder, sources(&[&folder]));
        circles(&crate_.graph())
    });
    let large = circles.filter(|circle| circle.len() > CIRCLE_FILES_MAX);
    let offenders: Vec<String> = large.map(|circle| circle.join(" ")).collect();
    expect_none(&offenders, "files that use each other in a circle: move what two of them share");
}

/// The crate's files, by the path of their module.
struct Crate {
    files: BTreeMap<Path, File>,
}

struct File {
    path: String,
    /// Without what only tests have.
    code: String,
    /// What it names, from the root of the crate.
    names: Vec<Path>,
    /// What others may name through it: the last name, and the path behind it.
    exports: BTreeMap<String, Path>,
}

impl Crate {
    /// `folder` holds the sources of one crate.
    fn read(folder: &str, sources: Vec<Source>) -> Self {
        let mut files = BTreeMap::new();
        for source in sources {
            let module = module_of(folder, &source.path);
            let code = without_tests(&source.code).to_owned();
            let (names, exports) = (Vec::new(), BTreeMap::new());
            files.insert(module, File { path: source.path, code, names, exports });
        }
        for tests in files
            .iter()
            .flat_map(|(module, file)| test_modules(module, &file.code))
            .collect::<Vec<_>>()
        {
            files.retain(|module, _| !module.starts_with(&tests));
        }
        let modules: BTreeSet<Path> = files.keys().cloned().collect();
        for (module, file) in &mut files {
            file.find_names(module, &modules);
        }
        Self { files }
    }

    fn graph(&self) -> Graph {
        let edges = |(module, file): (&Path, &File)| {
            let used = file.names.iter().filter_map(|name| self.definer(name, 0));
            let used =
                used.filter(|used| used != module).map(|used| self.files[&used].path.clone());
            (file.path.clone(), used.collect())
        };
        self.files.iter().map(edges).collect()
    }

    /// The module whose file defines what a path names.
    fn definer(&self, path: &[String], depth: usize) -> Option<Path> {
        assert!(depth < 20, "{path:?} is exported in a circle");
        let length =
            (0..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(length);
        match rest.first().and_then(|item| self.files[module].exports.get(item)) {
            Some(behind) => {
                let whole = [behind.as_slice(), &rest[1..]].concat();
                self.definer(&whole, depth + 1)
            }
            None => Some(module.to_vec()),
        }
    }
}

impl File {
    fn find_names(&mut self, module: &Path, modules: &BTreeSet<Path>) {
        let (code, body) = (self.code.clone(), without_declarations(&self.code));
        for at in words(&code, "use") {
            let is_export = is_public(&code[..at]);
            for path in paths(&code[at + 3..]) {
                let Some(path) = absolute(&path, module, modules) else { continue };
                let Some(item) = path.last() else { continue };
                if is_export {
                    self.exports.insert(item.clone(), path.clone());
                }
                if !is_export || words(&body, item).next().is_some() {
                    self.names.push(path);
                }
            }
        }
        for root in ["crate", "super", "self"] {
            for at in words(&code, root).filter(|&at| code[at + root.len()..].starts_with("::")) {
                let found = paths(&code[at..]).into_iter();
                let inner = code[..at].ends_with("::") || is_in_use(&code[..at]);
                self.names.extend(
                    found.filter(|_| !inner).filter_map(|it| absolute(&it, module, modules)),
                );
            }
        }
    }
}

fn is_public(before: &str) -> bool {
    let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
    words(statement, "pub").next().is_some()
}

fn is_in_use(before: &str) -> bool {
    let statement = before.rsplit([';', '}']).next().unwrap_or_default();
    words(statement, "use").next().is_some()
}

/// From the root of the crate; `None`: of another crate.
fn absolute(path: &[String], module: &[String], modules: &BTreeSet<Path>) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let (_, parent) = module.split_last()?;
            let rest: Path = rest.to_vec();
            if rest.first().is_some_and(|it| it == "super") {
                absolute(&rest, parent, modules)
            } else {
                Some([parent, &rest].concat())
            }
        }
        child => {
            let child = [module, &[child.to_owned()]].concat();
            modules.contains(&child).then(|| [child, rest.to_vec()].concat())
        }
    }
}

/// All paths of a use tree, or the one path, that begins here: `a::{b, c::d}` has `a::b` and `a::c::d`.
fn paths(text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    tree(text.trim_start(), &mut Vec::new(), &mut found);
    found
}

/// Returns what follows the tree.
fn tree<'a>(text: &'a str, prefix: &mut Path, found: &mut Vec<Path>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            if rest.is_empty() || rest.starts_with('}') {
                return rest.get(1..).unwrap_or_default();
            }
            let before = rest.len();
            rest = tree(rest, &mut prefix.clone(), found);
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            rest = &rest[end..];
            assert!(rest.len() < before, "a use tree that ends: {text:.80}");
        }
    }
    let end =
        text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name != "self" || prefix.is_empty() {
        prefix
            .extend(Some(name).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned));
    }
    match rest.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| c.is_alphabetic() || "_{*".contains(c)) => {
            tree(deeper, prefix, found)
        }
        _ => {
            found.push(prefix.clone());
            rest
        }
    }
}

fn module_of(folder: &str, path: &str) -> Path {
    let path = path.trim_start_matches(folder).trim_start_matches('/').trim_end_matches(".rs");
    let path = path.trim_end_matches("mod").trim_end_matches('/');
    if path == "lib" { Path::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Without the statements that only say where names come from, or which modules there are.
fn without_declarations(code: &str) -> String {
    let rest = |statement: &str| {
        let declares = ["use", "mod"].iter().filter_map(|word| words(statement, word).next()).min();
        statement[..declares.unwrap_or(statement.len())].to_owned()
    };
    code.split(';').map(rest).collect()
}

fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn test_modules(module: &[String], code: &str) -> Vec<Path> {
    let declared = code.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let (name, _) = rest.trim_start_matches("pub ").strip_prefix("mod ")?.split_once(';')?;
        Some([module, &[name.to_owned()]].concat())
    });
    declared.collect()
}

/// The groups of files that reach each other, the largest first.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|file| (file, reached_from(graph, file))).collect();
    let circle = |file: &String| -> Vec<String> {
        let others = reached[file].iter().filter(|other| reached[**other].contains(file));
        others.map(|other| (*other).clone()).collect()
    };
    let found: BTreeSet<Vec<String>> = graph.keys().map(circle).filter(|it| it.len() > 1).collect();
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

fn reached_from<'a>(graph: &'a Graph, file: &'a String) -> BTreeSet<&'a String> {
    let (mut reached, mut left) = (BTreeSet::new(), vec![file]);
    while let Some(next) = left.pop() {
        let used = graph.get(next).into_iter().flatten();
        left.extend(used.filter(|used| reached.insert(*used)));
    }
    reached
}

fn file(path: &str, code: &str) -> Source {
    Source { path: path.to_owned(), text: code.to_owned(), code: code.to_owned() }
}

#[test]
fn a_circle_is_found_through_a_group_a_path_and_a_re_export() {
    let circle = |last: &str| {
        let files = vec![
            file("src/lib.rs", "pub mod a; pub mod b;"),
            file("src/a/mod.rs", "mod x;\n#[cfg(test)]\nmod tests;\npub use x::X;\n"),
            file("src/a/x.rs", "use crate::b::{self, c::{C, D}};"),
            file("src/a/tests.rs", "use crate::b::c::C; use super::x::X;"),
            file("src/b/mod.rs", "mod c;"),
            file("src/b/c.rs", last),
        ];
        circles(&Crate::read("src", files).graph())
    };
    assert_eq!(circle("fn f() -> crate::a::X {}"), [["src/a/x.rs", "src/b/c.rs"]]);
    assert_eq!(circle("use super::super::a::X as Y;"), [["src/a/x.rs", "src/b/c.rs"]]);
    assert_eq!(circle("use crate::a;"), Vec::<Vec<String>>::new());
}
