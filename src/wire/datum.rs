//! Reads and writes one Avro datum by its writer's schema, within bounds.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, Visitor,
};
use serde_avro_fast::Schema;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;

use super::schema::SchemaName;

/// Most items of an array or entries of a map: 256 decisions are more purposes than a shop has, and
/// few enough that a hostile count costs nothing.
pub const ITEMS_MAX: usize = 256;

/// Not a datum of the schema, more items than [`ITEMS_MAX`], or bytes left after it. Says no more,
/// since the parser's message may quote the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

/// Decodes the whole of `body`, which `schema` wrote, as the seed wants it.
pub fn decode<'de, S: DeserializeSeed<'de>>(
    schema: &Schema,
    body: &'de [u8],
    seed: S,
) -> Result<S::Value, Undecodable> {
    decode_up_to(ITEMS_MAX, schema, body, seed)
}

/// The same, with another bound than [`ITEMS_MAX`].
pub fn decode_up_to<'de, S: DeserializeSeed<'de>>(
    items_max: usize,
    schema: &Schema,
    body: &'de [u8],
    seed: S,
) -> Result<S::Value, Undecodable> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = items_max;
    let mut state = DeserializerState::with_config(SliceRead::new(body), config);
    let value = seed.deserialize(state.deserializer()).map_err(|_| Undecodable)?;
    let mut rest = state.into_reader();
    match std::io::BufRead::fill_buf(&mut rest) {
        Ok([]) => Ok(value),
        _ => Err(Undecodable),
    }
}

/// The body of a value. Its type has the schema's shape.
pub fn encode<T: serde::Serialize>(name: SchemaName, value: &T) -> Vec<u8> {
    serde_avro_fast::to_datum_vec(value, &mut SerializerConfig::new(name.schema()))
        .expect("the type has the schema's shape")
}

/// A value that is not looked at, but checked all the same, so that whether a record can be decoded
/// does not depend on which fields the rules read.
pub struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|_| Self)
    }
}

/// An enum's symbol; one that this version does not know reads as the type's default, which is the
/// schema's.
pub fn symbol<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    deserializer.deserialize_str(SymbolVisitor(std::marker::PhantomData))
}

struct SymbolVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for SymbolVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a symbol")
    }

    fn visit_str<E: serde::de::Error>(self, symbol: &str) -> Result<T, E> {
        let symbol: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            symbol.into_deserializer();
        Ok(T::deserialize(symbol).unwrap_or_default())
    }
}
