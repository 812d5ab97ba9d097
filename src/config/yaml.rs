//! The configuration file as flat keys, each with its text as written and its place.
//!
//! `kafka: {group_id: a}` is `kafka.group_id` → `a`; `serve: {clients: [{id: web, allow: [a, b]}]}` is
//! `serve.clients.web.allow` → `a,b`. Knows which keys take a list, and no other by name.

use super::entries::{CLIENT_HAS, Entry, Origin};
use super::{keys, values};
use assent_contract::yaml::{Content, Fault, Faults, Node, Place, Placed, parse};

/// The one list whose members are sections.
const LIST_OF_CLIENTS: &str = "serve.clients";

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
            Content::Map(entries) if keys::is_table(&key) => {
                let text = self.table(entries).to_string();
                self.add(key, Some(text), node.place);
            }
            Content::Map(entries) if !entries.is_empty() => {
                if key == LIST_OF_CLIENTS {
                    self.faults
                        .add(node.place, "expected a list: write `- id: ..` for each client");
                    return;
                }
                for (name, node) in entries {
                    self.node(format!("{key}.{}", name.value), node);
                }
            }
            Content::Map(_) => self.add(key, None, node.place),
            Content::Text { text, .. } => self.add(key, (!is_null).then_some(text), node.place),
            Content::List(items) if key == LIST_OF_CLIENTS => self.clients(items),
            Content::List(items) if keys::is_list(&key) => {
                let text = self.joined(items);
                self.add(key, Some(text), node.place);
            }
            Content::List(_) => self.faults.add(
                node.place,
                format!("this is a list, and `{key}` takes none; write a single value"),
            ),
        }
    }

    /// A list of words as one text, as a variable has it.
    fn joined(&mut self, items: Vec<Node>) -> String {
        let mut words = Vec::new();
        for item in items {
            match item.content {
                Content::Text { text, .. } if !text.contains(',') => words.push(text),
                _ => self.faults.add(item.place, "expected a word or an address without a comma"),
            }
        }
        words.join(",")
    }

    /// Names and words as one JSON text, as a variable has it: a name may be anything.
    fn table(&mut self, entries: Vec<(Placed<String>, Node)>) -> serde_json::Value {
        let mut table = serde_json::Map::new();
        for (name, node) in entries {
            let place = node.place;
            let value = match node.content {
                Content::Text { text, .. } => text.into(),
                Content::Map(entries) => self.table(entries),
                Content::List(_) => {
                    self.faults.add(place, "expected a word, not a list");
                    continue;
                }
            };
            if table.insert(name.value, value).is_some() {
                self.faults.add(place, "this name is there twice; remove one of the two");
            }
        }
        table.into()
    }

    /// Each as a section of its own, by its id.
    fn clients(&mut self, items: Vec<Node>) {
        for item in items {
            let Content::Map(entries) = item.content else {
                self.faults.add(item.place, format!("expected a client; {CLIENT_HAS}"));
                continue;
            };
            let (ids, others): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|(name, _)| name.value == "id");
            let id = match ids.into_iter().next().map(|(_, id)| (id.place, id.content)) {
                Some((_, Content::Text { text, .. })) if values::is_id(&text) => text,
                Some((place, _)) => {
                    self.faults.add(place, values::ID_EXPECTED);
                    continue;
                }
                None => {
                    self.faults.add(item.place, format!("this client has no id; {CLIENT_HAS}"));
                    continue;
                }
            };
            let key = format!("{LIST_OF_CLIENTS}.{id}");
            self.add(key.clone(), None, item.place);
            for (name, node) in others {
                self.node(format!("{key}.{}", name.value), node);
            }
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
