//! A datum in the shape that the contract's schema gives it, borrowed from its bytes, and serde's way
//! from there to a record.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::schema::Field;

/// Not a datum of the schema, over a bound, or bytes left after it. Says no more, since it would quote
/// the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a datum of its schema")
    }
}

impl std::error::Error for Undecodable {}

impl de::Error for Undecodable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

pub enum Value<'a> {
    Null,
    Boolean(bool),
    /// An int or a long.
    Long(i64),
    Text(&'a str),
    Fixed(&'a [u8]),
    /// Of the reader's enum.
    Symbol(&'static str),
    /// In the order of the reader's fields, all of them.
    Record(&'static [Field], Vec<Value<'a>>),
    Array(Vec<Value<'a>>),
    Map(Vec<(&'a str, Value<'a>)>),
    /// A branch of the writer's union or a symbol of the writer's enum that is nothing to the reader.
    /// Whoever wants a value here gets an error, as Avro says.
    Foreign,
}

impl<'a> Value<'a> {
    pub fn text(&self) -> Result<&'a str, Undecodable> {
        if let Self::Text(text) = self { Ok(text) } else { Err(Undecodable) }
    }

    pub fn long(&self) -> Result<i64, Undecodable> {
        if let Self::Long(value) = self { Ok(*value) } else { Err(Undecodable) }
    }

    pub fn boolean(&self) -> Result<bool, Undecodable> {
        if let Self::Boolean(value) = self { Ok(*value) } else { Err(Undecodable) }
    }

    pub fn symbol(&self) -> Result<&'static str, Undecodable> {
        if let Self::Symbol(symbol) = self { Ok(symbol) } else { Err(Undecodable) }
    }

    /// Of a record.
    pub fn fields<const N: usize>(self) -> Result<[Self; N], Undecodable> {
        let Self::Record(_, values) = self else { return Err(Undecodable) };
        values.try_into().map_err(|_| Undecodable)
    }

    /// `None`: it is null.
    pub fn optional<T>(
        &self,
        some: impl FnOnce(&Self) -> Result<T, Undecodable>,
    ) -> Result<Option<T>, Undecodable> {
        if let Self::Null = self { Ok(None) } else { some(self).map(Some) }
    }
}

impl<'de> IntoDeserializer<'de, Undecodable> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Undecodable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Boolean(value) => visitor.visit_bool(value),
            Self::Long(value) => visitor.visit_i64(value),
            Self::Text(text) => visitor.visit_borrowed_str(text),
            Self::Fixed(bytes) => visitor.visit_borrowed_bytes(bytes),
            Self::Symbol(symbol) => visitor.visit_borrowed_str(symbol),
            Self::Record(fields, values) => {
                let named = fields.iter().map(|field| field.name.as_str()).zip(values);
                visitor.visit_map(MapDeserializer::new(named))
            }
            Self::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Self::Map(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
            Self::Foreign => Err(Undecodable),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Undecodable> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Undecodable> {
        let symbol: StrDeserializer<'_, Undecodable> = self.symbol()?.into_deserializer();
        visitor.visit_enum(symbol)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
