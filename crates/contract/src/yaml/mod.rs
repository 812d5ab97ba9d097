//! YAML text as a tree in which every node knows its place: the rulebook's, and the configuration's.
//!
//! Knows no key. Whatever the bytes, it ends, and neither depth nor size passes its limits: nesting is
//! counted, and an alias costs as many nodes as it stands for
//! (docs/decisions/0013-one-reader-of-yaml.md).

mod fault;

pub use fault::{Fault, Faults, Place, Placed};

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

/// A rulebook is kept whole, as evidence, in one record of the state, and Kafka's own bound of a
/// record is 1 MiB.
pub const BYTES_MAX: usize = 512 << 10;

/// A full rulebook, 128 segments for each of 8 purposes with 30 nodes each, has about 30,000. The
/// smallest condition on clicks has 5, so a purpose never has 2^16 slots.
const NODES_MAX: usize = 100_000;

/// The deepest sensible condition nests about 10; each level is two nodes.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    /// A scalar's own text. `plain`: without quotes, so it may mean a number, a switch or nothing.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys are unique.
    Map(Vec<(Placed<String>, Node)>),
}

impl Node {
    /// Was nothing written here (`~`, `null`, or just the key)?
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Text { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn nodes(&self) -> usize {
        1 + match &self.content {
            Content::Text { .. } => 0,
            Content::List(items) => items.iter().map(Self::nodes).sum(),
            Content::Map(entries) => entries.iter().map(|(_, value)| 1 + value.nodes()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.content {
            Content::Text { .. } => 0,
            Content::List(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Content::Map(entries) => entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }
}

/// The root of the only document. `None`: there is nothing in it, or `faults` says why it could not be read
/// to its end. `file` is what messages call it: `the rulebook`.
pub fn parse(bytes: &[u8], file: &'static str, faults: &mut Faults) -> Option<Node> {
    let text = readable(bytes, file, faults)?;
    let mut tree =
        Tree { file, faults, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None };
    let mut documents = 0;
    for event in Events(Parser::new_from_str(text)) {
        let (event, place) = match event {
            Ok(event) => event,
            Err(Placed { place, value }) => {
                tree.faults.add(place, format!("this is not valid YAML: {value}"));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
        }
        if documents > 1 {
            let message = format!("{file} must be a single YAML document; remove this one");
            tree.faults.add(place, message);
            return None;
        }
        tree.take(event, place)?;
    }
    tree.root
}

/// The bytes as text without what YAML forbids in it.
fn readable<'b>(bytes: &'b [u8], file: &str, faults: &mut Faults) -> Option<&'b str> {
    if bytes.len() > BYTES_MAX {
        let message = format!("{file} is longer than {BYTES_MAX} bytes; shorten it");
        faults.add(Place::START, message);
        return None;
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            faults.add(end_of(&before), format!("this byte is not UTF-8; save {file} as UTF-8"));
            return None;
        }
    };
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    if let Some(at) = text.find(forbidden) {
        faults.add(end_of(&text[..at]), "control characters are not allowed; remove it");
        return None;
    }
    Some(text)
}

/// The place right after a text.
fn end_of(before: &str) -> Place {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line, column }
}

/// The parser's events with their places, up to the first error.
struct Events<'t>(Parser<'t, saphyr_parser::StrInput<'t>>);

impl<'t> Iterator for Events<'t> {
    type Item = Result<(Event<'t>, Place), Placed<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.0.next_event()? {
            Ok((event, span)) => Ok((event, place_of(span.start))),
            Err(error) => Err(place_of(*error.marker()).with(error.info().to_owned())),
        })
    }
}

fn place_of(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

/// A list or mapping whose end has not come yet.
struct Open {
    place: Place,
    anchor: usize,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    /// `key`: it waits for its value. A value whose key was refused is dropped.
    Map {
        entries: Vec<(Placed<String>, Node)>,
        keys: BTreeSet<String>,
        key: Option<Result<Placed<String>, Refused>>,
    },
}

struct Refused;

struct Tree<'f> {
    file: &'static str,
    faults: &'f mut Faults,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Tree<'_> {
    /// `None`: reading can't go on.
    fn take(&mut self, event: Event<'_>, place: Place) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = self.is_text_by_tag(tag.as_deref(), place);
                let plain = style == ScalarStyle::Plain && !is_text;
                let content = Content::Text { text: text.into_owned(), plain };
                self.close(Node { place, content }, anchor)
            }
            Event::Alias(anchor) => self.expand(anchor, place),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                self.enter(Open { place, anchor, content: OpenContent::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                let (entries, keys) = (Vec::new(), BTreeSet::new());
                let content = OpenContent::Map { entries, keys, key: None };
                self.enter(Open { place, anchor, content })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { place, anchor, content } = self.open.pop()?;
                let content = match content {
                    OpenContent::List(items) => Content::List(items),
                    OpenContent::Map { entries, .. } => Content::Map(entries),
                };
                self.close(Node { place, content }, anchor)
            }
            _ => Some(()),
        }
    }

    fn enter(&mut self, open: Open) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            let message =
                format!("this is nested more than {DEPTH_MAX} levels deep; reduce the nesting");
            self.faults.add(open.place, message);
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn expand(&mut self, anchor: usize, place: Place) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.faults.add(
                place,
                "this alias refers to something that contains it; write the value itself",
            );
            return None;
        };
        let (node, nodes, depth) = (node.clone(), node.nodes(), node.depth());
        self.charge(nodes, place)?;
        if self.open.len() + depth > DEPTH_MAX {
            self.faults.add(place, "this alias is nested too deeply; reduce the nesting");
            return None;
        }
        self.attach(node);
        Some(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.charge(1, node.place)?;
        if anchor > 0 {
            self.charge(node.nodes(), node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node);
        Some(())
    }

    fn charge(&mut self, nodes: usize, place: Place) -> Option<()> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let message = format!("{} has more than {NODES_MAX} values; shorten it", self.file);
            self.faults.add(place, message);
            return None;
        }
        Some(())
    }

    fn attach(&mut self, node: Node) {
        let place = node.place;
        let refusal = match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                self.root = Some(node);
                None
            }
            Some(OpenContent::List(items)) => {
                items.push(node);
                None
            }
            Some(OpenContent::Map { entries, keys, key }) => match key.take() {
                None => {
                    let (name, refusal) = unique_key(node, keys).map_or_else(
                        |refusal| (Err(Refused), Some(refusal)),
                        |name| (Ok(name), None),
                    );
                    *key = Some(name);
                    refusal
                }
                Some(Ok(name)) => {
                    entries.push((name, node));
                    None
                }
                Some(Err(Refused)) => None,
            },
        };
        if let Some(refusal) = refusal {
            let message = refusal.message(&self.path());
            self.faults.add(place, message);
        }
    }

    /// The keys down to the innermost mapping: `kafka.properties.`.
    fn path(&self) -> String {
        let key = |open: &Open| match &open.content {
            OpenContent::Map { key: Some(Ok(key)), .. } => Some(format!("{}.", key.value)),
            _ => None,
        };
        self.open.iter().filter_map(key).collect()
    }

    fn is_text_by_tag(&mut self, tag: Option<&Tag>, place: Place) -> bool {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag, place);
        }
        is_text
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Place) {
        if tag.is_some() {
            self.faults.add(place, "YAML tags are not allowed; remove the tag");
        }
    }
}

/// Why a key is none.
enum KeyRefusal {
    NoWord,
    Empty,
    Twice(String),
}

impl KeyRefusal {
    /// `path`: the keys above, each with its dot.
    fn message(&self, path: &str) -> String {
        match self {
            Self::NoWord => "a key must be a single word; remove this list or mapping".to_owned(),
            Self::Empty => "this key is empty; remove it".to_owned(),
            Self::Twice(key) => format!("`{path}{key}` is set twice; remove one of the two"),
        }
    }
}

fn unique_key(node: Node, keys: &mut BTreeSet<String>) -> Result<Placed<String>, KeyRefusal> {
    if node.is_null() {
        return Err(KeyRefusal::Empty);
    }
    let Content::Text { text, .. } = node.content else { return Err(KeyRefusal::NoWord) };
    if !keys.insert(text.clone()) {
        return Err(KeyRefusal::Twice(text));
    }
    Ok(node.place.with(text))
}
