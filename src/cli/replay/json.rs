//! JSON that a person wrote, read strictly: no name of an object may stand there twice, at any depth.
//!
//! serde_json takes the last of two. Where a purpose is DENIED and then GRANTED, that would be a grant
//! that nobody can be sure of.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Where it is: 1-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Why there is no value. Names may be identifiers: whoever shows them chooses which.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    NotUtf8,
    /// It ends before the value does.
    Unfinished,
    /// Something follows the value.
    Trailing(Place),
    Syntax(Place),
    /// The names that lead to it, outermost first.
    Twice(Vec<String>, Place),
}

pub fn parse(text: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::NotUtf8)?;
    let (path, twice) = (RefCell::default(), RefCell::default());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value =
        Strict { path: &path, twice: &twice }.deserialize(&mut deserializer).map_err(|error| {
            match twice.take() {
                Some(names) => Fault::Twice(names, place(&error)),
                None if error.is_eof() => Fault::Unfinished,
                None => Fault::Syntax(place(&error)),
            }
        })?;
    deserializer.end().map_err(|error| Fault::Trailing(place(&error)))?;
    Ok(value)
}

fn place(error: &serde_json::Error) -> Place {
    Place { line: error.line(), column: error.column() }
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Strict<'p> {
    /// The names that lead to the value at hand.
    path: &'p RefCell<Vec<String>>,
    twice: &'p RefCell<Option<Vec<String>>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            self.path.borrow_mut().push(name.clone());
            if map.contains_key(&name) {
                self.twice.replace(Some(self.path.borrow().clone()));
                return Err(A::Error::custom("twice"));
            }
            map.insert(name, entries.next_value_seed(self)?);
            self.path.borrow_mut().pop();
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sound_is_what_serde_json_reads() {
        for text in [
            r#"{"a":[1,-2,3.5,{"b":null}],"c":{"a":true},"d":"\u00e9\"","e":18446744073709551615}"#,
            " [] ",
            "\"x\"",
            "null\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_there_twice_is_found_at_any_depth() {
        for (text, path) in [
            (r#"{"a":1,"a":2}"#, &["a"][..]),
            (r#"{"a":1,"\u0061":1}"#, &["a"]),
            (r#"{"x":{"y":{"a":1,"b":{},"a":1}}}"#, &["x", "y", "a"]),
            (r#"{"x":[{"a":1},{"a":1,"a":1}]}"#, &["x", "a"]),
        ] {
            let Err(Fault::Twice(names, _)) = parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(names, path);
        }
        let siblings = r#"{"x":{"a":1},"y":{"a":1},"a":1}"#;
        assert_eq!(parse(siblings.as_bytes()), Ok(json!({"x": {"a": 1}, "y": {"a": 1}, "a": 1})));
    }

    #[test]
    fn other_faults_are_told_apart() {
        for (text, expected) in [
            (&b"{"[..], Fault::Unfinished),
            (b"", Fault::Unfinished),
            (b"{\"a\":\"\xff\"}", Fault::NotUtf8),
            (b"{} {}", Fault::Trailing(Place { line: 1, column: 4 })),
            (b"{\n  a: 1}", Fault::Syntax(Place { line: 2, column: 3 })),
        ] {
            assert_eq!(parse(text), Err(expected));
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(parse(deep.as_bytes()), Err(Fault::Syntax(_))));
    }
}
