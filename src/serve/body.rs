//! Reads a request's body: JSON of at most 1 MiB that comes in time, strictly by its type.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};

use super::errors::Problem;
use assent_contract::domain::foreign_text::shown;

pub const BYTES_MAX: usize = 1 << 20;

/// From the head to the end of the body.
const WITHIN: Duration = Duration::from_secs(10);

/// The body of a request as this type.
pub async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let bytes = read_bytes(request).await?;
    decode(&bytes)
}

/// The body's bytes, which claim to be JSON.
pub async fn read_bytes(request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return Err(Problem::unsupported());
    }
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > BYTES_MAX)
    {
        return Err(Problem::too_large(BYTES_MAX));
    }
    let collecting = Limited::<Body>::new(body, BYTES_MAX).collect();
    match tokio::time::timeout(WITHIN, collecting).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(BYTES_MAX)),
        Ok(Err(_)) => Err(Problem::malformed("the body did not come whole")),
        Err(_) => Err(Problem::too_slow()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.map(|value| value.split(';').next().unwrap_or_default().trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// 400: it is no JSON; 422 with the field: it is not of the type.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let object: Object<T> = decode_any(bytes)?;
    Ok(object.0)
}

fn decode_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return Problem::malformed(format!(
                "the body is not valid JSON: {}",
                shown(&text(&inner))
            ));
        }
        let said = text(&inner);
        let path = if path == "." { "" } else { &path };
        let problem = Problem::unprocessable(shown(&said));
        match (path, named_in(&said)) {
            ("", None) => problem,
            ("", Some(name)) => problem.field(shown(name)),
            (path, None) => problem.field(shown(path)),
            (path, Some(name)) if path.ends_with(name) => problem.field(shown(path)),
            (path, Some(name)) => problem.field(shown(&format!("{path}.{name}"))),
        }
    })?;
    json.end().map_err(|_| Problem::malformed("something follows the JSON of the body"))?;
    Ok(value)
}

/// The same, of a list of objects.
pub fn decode_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, Problem> {
    let list: Vec<Object<T>> = decode_any(bytes)?;
    Ok(list.into_iter().map(|object| object.0).collect())
}

/// The field that serde names in its words, not in its path: one that is missing, or there twice.
fn named_in(said: &str) -> Option<&str> {
    let rest =
        ["missing field `", "duplicate field `"].iter().find_map(|it| said.strip_prefix(it))?;
    rest.split('`').next()
}

/// What must be written as an object. serde's own reading of a structure takes a list of its fields, too.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries)).map(Object)
    }
}

/// Without the place: a browser's body has one line.
fn text(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
}

/// An object in which no name may stand twice: of a purpose that is DENIED and then GRANTED nobody can tell
/// what is meant.
pub fn distinct<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    deserializer.deserialize_map(Distinct(PhantomData))
}

struct Distinct<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Distinct<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, T>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands there twice; remove one"));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // what matters is whether it is read
    struct Sample {
        id: String,
        #[serde(default)]
        inner: Option<Object<Inner>>,
        #[serde(default, deserialize_with = "distinct")]
        map: BTreeMap<String, i64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        at: i64,
    }

    #[track_caller]
    fn refused(json: &str, status: u16, field: Option<&str>) {
        let problem = decode::<Sample>(json.as_bytes()).unwrap_err();
        assert_eq!(problem.said(), (status, field.map(str::to_owned)), "{json}");
    }

    #[test]
    fn a_fault_names_its_field() {
        assert!(decode::<Sample>(br#"{"id": "a", "inner": {"at": 1}, "map": {"a": 1}}"#).is_ok());
        refused("", 400, None);
        refused(r#"{"id": "a""#, 400, None);
        refused(r#"{"id": "a"} x"#, 400, None);
        refused("[]", 422, None);
        refused(r#"["a"]"#, 422, None);
        refused("{}", 422, Some("id"));
        refused(r#"{"id": 1}"#, 422, Some("id"));
        refused(r#"{"id": "a", "other": 1}"#, 422, Some("other"));
        refused(r#"{"id": "a", "id": "b"}"#, 422, Some("id"));
        refused(r#"{"id": "a", "inner": {"at": "x"}}"#, 422, Some("inner.at"));
        refused(r#"{"id": "a", "inner": {"at": 1, "by": 2}}"#, 422, Some("inner.by"));
        refused(r#"{"id": "a", "inner": {}}"#, 422, Some("inner.at"));
        refused(r#"{"id": "a", "inner": [1]}"#, 422, Some("inner"));
        refused(r#"{"id": "a", "map": {"p": 1, "p": 2}}"#, 422, Some("map"));
        let deep = format!("{{\"id\": {}", "[".repeat(200_000));
        let problem = decode::<Sample>(deep.as_bytes()).unwrap_err();
        assert_eq!(problem.said(), (422, Some("id".to_owned())));
    }
}
