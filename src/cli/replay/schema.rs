//! Holds a line's JSON against the Avro schema that the topic is written with.
//!
//! Knows no command and no Kafka. Faults name fields of the schema and what they want, never a
//! value or a key of the line: those may be raw identifiers (INV-6).

use serde_json::{Map, Value, json};

/// A schema of schemas/, as its JSON.
pub struct Schema(Value);

const CLICK: &str = include_str!("../../../schemas/click_event.avsc");
const CONSENT: &str = include_str!("../../../schemas/consent_record.avsc");

impl Schema {
    pub fn click() -> Self {
        Self::compiled_in(CLICK)
    }

    pub fn consent() -> Self {
        Self::compiled_in(CONSENT)
    }

    /// A question to the gate (`assent_contract::trial::Question`), with a consent record in it.
    pub fn question() -> Self {
        let consent = Self::consent().0;
        let time = json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]);
        let now = &time[1];
        Self(json!({"type": "record", "fields": [
            {"name": "purpose", "type": "string"},
            {"name": "record", "type": ["null", consent], "default": null},
            {"name": "unreadable", "type": "boolean", "default": false},
            {"name": "signal_at", "type": time, "default": null},
            {"name": "erased_at", "type": time, "default": null},
            {"name": "occurred_at", "type": time, "default": null},
            {"name": "now", "type": now},
            {"name": "stale", "type": "boolean", "default": false},
        ]}))
    }

    fn compiled_in(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("the schemas are compiled in and tested"))
    }

    /// Has the schema a field of this name, at any depth?
    pub fn has_name(&self, name: &str) -> bool {
        has_name(&self.0, name)
    }

    /// Does the value conform? Times in RFC 3339 become epoch milliseconds on the way. A field that
    /// is absent must have a default, its own or its enum's, which is the strictest reading.
    pub fn conform(&self, value: &mut Value) -> Result<(), String> {
        conform(&self.0, value, "")
    }
}

fn has_name(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Array(branches) => branches.iter().any(|branch| has_name(branch, name)),
        Value::Object(named) => {
            let fields = named.get("fields").and_then(Value::as_array);
            fields.into_iter().flatten().any(|field| field["name"] == name)
                || ["type", "values"].iter().any(|inner| has_name(&schema[inner], name))
                || fields.into_iter().flatten().any(|field| has_name(&field["type"], name))
        }
        _ => false,
    }
}

fn conform(schema: &Value, value: &mut Value, path: &str) -> Result<(), String> {
    match schema {
        Value::Array(branches) => conform_union(branches, value, path),
        Value::Object(named) if named.contains_key("logicalType") => {
            conform_logical(named, value, path)
        }
        Value::Object(named) => match type_name(schema) {
            "record" => conform_record(named, value, path),
            "map" => conform_map(&named["values"], value, path),
            "enum" => conform_enum(&named["symbols"], value, path),
            _ => conform(&named["type"], value, path),
        },
        _ => conform_primitive(type_name(schema), value, path),
    }
}

fn type_name(schema: &Value) -> &str {
    schema.as_str().or_else(|| schema["type"].as_str()).unwrap_or_default()
}

/// Every union of the schemas is of null and one more.
fn conform_union(branches: &[Value], value: &mut Value, path: &str) -> Result<(), String> {
    match branches.iter().find(|branch| type_name(branch) != "null") {
        Some(branch) if !value.is_null() => conform(branch, value, path),
        _ => Ok(()),
    }
}

fn conform_record(
    schema: &Map<String, Value>,
    value: &mut Value,
    path: &str,
) -> Result<(), String> {
    let fields = schema["fields"].as_array().map_or(&[][..], Vec::as_slice);
    let object = value.as_object_mut().ok_or_else(|| fault(path, "must be an object"))?;
    let is_known = |name: &String| fields.iter().any(|field| field["name"] == name.as_str());
    if !object.keys().all(is_known) {
        let known: Vec<_> = fields.iter().filter_map(|field| field["name"].as_str()).collect();
        let what = format!("has an unknown field; the schema has {}", known.join(", "));
        return Err(fault(path, &what));
    }
    for field in fields {
        let name = field["name"].as_str().unwrap_or_default();
        let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match object.get_mut(name) {
            Some(value) => conform(&field["type"], value, &inner)?,
            None if field.get("default").is_some() => {}
            None if field["type"].get("default").is_some() => {
                object.insert(name.to_owned(), field["type"]["default"].clone());
            }
            None => return Err(fault(&inner, "is missing")),
        }
    }
    Ok(())
}

fn conform_map(values: &Value, value: &mut Value, path: &str) -> Result<(), String> {
    let object = value.as_object_mut().ok_or_else(|| fault(path, "must be an object"))?;
    let inner = format!("{path}.*");
    object.values_mut().try_for_each(|value| conform(values, value, &inner))
}

fn conform_enum(symbols: &Value, value: &Value, path: &str) -> Result<(), String> {
    let symbols = symbols.as_array().map_or(&[][..], Vec::as_slice);
    if symbols.contains(value) {
        return Ok(());
    }
    let listed: Vec<_> = symbols.iter().filter_map(Value::as_str).collect();
    Err(fault(path, &format!("must be one of {}", listed.join(", "))))
}

fn conform_logical(
    schema: &Map<String, Value>,
    value: &mut Value,
    path: &str,
) -> Result<(), String> {
    if schema["logicalType"] != "timestamp-millis" {
        return conform(&schema["type"], value, path);
    }
    if let Some(time) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
        *value = time.as_millisecond().into();
    }
    if value.is_i64() {
        Ok(())
    } else {
        Err(fault(path, "must be a time: epoch milliseconds, or RFC 3339 text"))
    }
}

fn conform_primitive(name: &str, value: &Value, path: &str) -> Result<(), String> {
    match name {
        "string" if !value.is_string() => Err(fault(path, "must be text")),
        "long" if !value.is_i64() => Err(fault(path, "must be a whole number")),
        "boolean" if !value.is_boolean() => Err(fault(path, "must be true or false")),
        _ => Ok(()),
    }
}

fn fault(path: &str, what: &str) -> String {
    if path.is_empty() { format!("the line {what}") } else { format!("{path} {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(changes: &Value) -> Value {
        let mut click = json!({
            "event_id": "018f4e6a-0000-7000-8000-000000000001",
            "subject_id": "secret-subject",
            "session_id": "secret-session",
            "occurred_at": 1_795_305_600_000_i64,
            "kind": "PRODUCT_VIEW",
        });
        for (key, value) in changes.as_object().into_iter().flatten() {
            click[key] = value.clone();
        }
        click
    }

    #[test]
    fn what_is_wrong_with_a_click_is_said_without_its_values() {
        for (changes, expected) in [
            (json!({"kind": "secret"}), "kind must be one of PAGE_VIEW, PRODUCT_VIEW, SEARCH"),
            (json!({"occurred_at": "secret"}), "occurred_at must be a time"),
            (json!({"occurred_at": 1.5}), "occurred_at must be a time"),
            (json!({"session_id": null}), "session_id must be text"),
            (json!({"value_cents": "secret"}), "value_cents must be a whole number"),
            (json!({"gpc": "secret"}), "gpc must be true or false"),
            (json!({"secret": 1}), "the line has an unknown field; the schema has event_id"),
        ] {
            let fault = Schema::click().conform(&mut click(&changes)).unwrap_err();
            assert!(fault.starts_with(expected), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn a_missing_field_needs_a_default() {
        let mut click = click(&json!({}));
        assert_eq!(Schema::click().conform(&mut click), Ok(()));
        click.as_object_mut().unwrap().shift_remove("session_id");
        let fault = Schema::click().conform(&mut click);
        assert_eq!(fault, Err("session_id is missing".to_owned()));
    }

    #[test]
    fn times_as_text_become_epoch_milliseconds_at_any_depth() {
        let mut record = json!({
            "subject_id": "s", "version": 1, "recorded_at": "2026-11-22T00:00:00Z",
            "decisions": {"offers": {"status": "GRANTED", "since": "2026-11-22T01:00:00+01:00"}},
            "guardian": {"verified_at": "2026-11-22T00:00:00.5Z"},
        });
        assert_eq!(Schema::consent().conform(&mut record), Ok(()));
        assert_eq!(record["age_band"], "UNKNOWN");
        assert_eq!(record["recorded_at"], 1_795_305_600_000_i64);
        assert_eq!(record["decisions"]["offers"]["since"], 1_795_305_600_000_i64);
        assert_eq!(record["guardian"]["verified_at"], 1_795_305_600_500_i64);
    }

    #[test]
    fn a_fault_inside_a_map_does_not_name_its_key() {
        let mut record = json!({
            "subject_id": "s", "version": 1, "recorded_at": 0,
            "decisions": {"secret": {"status": "MAYBE", "since": 0}},
        });
        let fault = Schema::consent().conform(&mut record).unwrap_err();
        assert!(fault.starts_with("decisions.*.status must be one of"), "{fault}");
    }
}
