//! YAML to JSON, with anchors and merge keys, as Docker Compose and Prometheus read it. All scalars
//! become strings but null: what is compared here is text.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Panics on what is not one YAML document.
pub fn parse(text: &str) -> Value {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new() };
    loop {
        if let Event::DocumentStart(_) = reader.next() {
            let first = reader.next();
            return reader.node(first);
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Value>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Event<'t> {
        self.parser.next_event().expect("more YAML").expect("valid YAML").0
    }

    fn node(&mut self, event: Event<'t>) -> Value {
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => (anchor, self.sequence()),
            Event::MappingStart(anchor, ..) => (anchor, self.mapping()),
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            other => panic!("not expected in YAML: {other:?}"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        value
    }

    fn sequence(&mut self) -> Value {
        let mut items = Vec::new();
        loop {
            match self.next() {
                Event::SequenceEnd => return Value::Array(items),
                event => items.push(self.node(event)),
            }
        }
    }

    /// `<<` gives what the mapping itself does not say.
    fn mapping(&mut self) -> Value {
        let (mut own, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next() {
                Event::MappingEnd => break,
                event => self.node(event),
            };
            let key = key.as_str().expect("a key").to_owned();
            let event = self.next();
            match (key.as_str(), self.node(event)) {
                ("<<", Value::Object(base)) => merged.extend(base),
                (_, value) => assert!(own.insert(key.clone(), value).is_none(), "{key} twice"),
            }
        }
        merged.extend(own);
        Value::Object(merged)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Value::Null,
        _ => text.into(),
    }
}
