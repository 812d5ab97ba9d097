//! The configuration file as flat keys, each with its text as written and its place.
//!
//! `kafka: {group_id: a}` is `kafka.group_id` → `a`. Knows no key by name.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::entries::{Entry, Origin};

/// Why the file is refused, and where (1-based).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl Fault {
    fn at(marker: Marker, message: impl Into<String>) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1, message: message.into() }
    }
}

/// Every scalar with its dotted key, and every mapping with nothing in it as a key without text,
/// in the order of the file.
pub(super) fn flatten(text: &str) -> Result<Vec<(String, Entry)>, Fault> {
    let mut tree = Tree::default();
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            Fault::at(*error.marker(), format!("not valid YAML: {}", error.info()))
        })?;
        documents += usize::from(matches!(event, Event::DocumentStart(_)));
        if documents > 1 {
            return Err(Fault::at(span.start, "second YAML document; write only one"));
        }
        tree.take(event, span.start)?;
    }
    Ok(tree.entries)
}

/// A mapping that has not ended. `key`: it waits for its value.
struct Open {
    prefix: String,
    /// Its keys so far.
    names: Vec<String>,
    key: Option<String>,
    at: Marker,
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    entries: Vec<(String, Entry)>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, ..) => {
                self.scalar(text.into_owned(), style == ScalarStyle::Plain, at)
            }
            Event::MappingStart(..) => self.mapping(at),
            Event::MappingEnd => {
                self.end();
                Ok(())
            }
            Event::SequenceStart(..) => {
                Err(Fault::at(at, "this is a list, and no key takes a list; write a single value"))
            }
            Event::Alias(_) => {
                Err(Fault::at(at, "aliases are not supported; write the value itself"))
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, plain: bool, at: Marker) -> Result<(), Fault> {
        let text = (!plain || !matches!(text.as_str(), "" | "~" | "null")).then_some(text);
        let Some(open) = self.open.last_mut() else {
            return match text {
                None => Ok(()),
                Some(_) => Err(Fault::at(at, "expected sections such as `kafka:`")),
            };
        };
        match (open.key.take(), text) {
            (Some(key), text) => self.add(key, text, at),
            (None, Some(name)) => {
                let key = format!("{}{name}", open.prefix);
                if open.names.contains(&name) {
                    return Err(twice(&key, at));
                }
                open.names.push(name);
                open.key = Some(key);
                Ok(())
            }
            (None, None) => Err(Fault::at(at, "empty key; remove it")),
        }
    }

    fn mapping(&mut self, at: Marker) -> Result<(), Fault> {
        let prefix = match self.open.last_mut().map(|open| open.key.take()) {
            None => String::new(),
            Some(Some(key)) => format!("{key}."),
            Some(None) => return Err(Fault::at(at, "a key must be a single word")),
        };
        self.open.push(Open { prefix, names: Vec::new(), key: None, at });
        Ok(())
    }

    fn end(&mut self) {
        if let Some(Open { prefix, names, at, .. }) = self.open.pop()
            && names.is_empty()
            && let Some(section) = prefix.strip_suffix('.')
        {
            self.entries.push((section.to_owned(), entry(None, at)));
        }
    }

    fn add(&mut self, key: String, text: Option<String>, at: Marker) -> Result<(), Fault> {
        if self.entries.iter().any(|(other, _)| *other == key) {
            return Err(twice(&key, at));
        }
        self.entries.push((key, entry(text, at)));
        Ok(())
    }
}

fn twice(key: &str, at: Marker) -> Fault {
    Fault::at(at, format!("{key} is set twice; remove one"))
}

fn entry(text: Option<String>, at: Marker) -> Entry {
    Entry { text, origin: Origin::File { line: at.line().max(1), column: at.col() + 1 } }
}
