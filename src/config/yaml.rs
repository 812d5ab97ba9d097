//! The configuration file as flat keys, each with its text as written and its place.
//!
//! `kafka: {group_id: a}` is `kafka.group_id` → `a`. Knows no key by name.

use super::entries::{Entry, Origin};
use assent_contract::yaml::{Content, Fault, Faults, Node, Place, parse};

/// Every scalar with its dotted key, and every mapping with nothing in it as a key without text,
/// in the order of the file. What is wrong first is what the file is refused for.
pub(super) fn flatten(text: &str) -> Result<Vec<(String, Entry)>, Fault> {
    let mut flat = Flat::default();
    if let Some(root) = parse(text.as_bytes(), "the configuration", &mut flat.faults) {
        flat.root(root);
    }
    match flat.faults.into_list().into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(flat.entries),
    }
}

#[derive(Default)]
struct Flat {
    entries: Vec<(String, Entry)>,
    faults: Faults,
}

impl Flat {
    fn root(&mut self, root: Node) {
        match root.content {
            Content::Map(sections) => {
                for (name, node) in sections {
                    self.node(name.value, node);
                }
            }
            _ if root.is_null() => {}
            _ => self.faults.add(root.place, "expected sections such as `kafka:`"),
        }
    }

    fn node(&mut self, key: String, node: Node) {
        let is_null = node.is_null();
        match node.content {
            Content::Map(entries) if !entries.is_empty() => {
                for (name, node) in entries {
                    self.node(format!("{key}.{}", name.value), node);
                }
            }
            Content::Map(_) => self.add(key, None, node.place),
            Content::Text { text, .. } => self.add(key, (!is_null).then_some(text), node.place),
            Content::List(_) => self
                .faults
                .add(node.place, "this is a list, and no key takes a list; write a single value"),
        }
    }

    /// Dots in a key and nested keys can name the same one.
    fn add(&mut self, key: String, text: Option<String>, place: Place) {
        if self.entries.iter().any(|(other, _)| *other == key) {
            self.faults.add(place, format!("`{key}` is set twice; remove one of the two"));
            return;
        }
        let Place { line, column } = place;
        self.entries.push((key, Entry { text, origin: Origin::File { line, column } }));
    }
}
