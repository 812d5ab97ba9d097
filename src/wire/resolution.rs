//! Can what a writer's schema wrote be read as a schema of the contract? Avro's schema resolution
//! (specification 1.11, "Schema Resolution"), asked once of each schema that a registry names.
//!
//! Where Avro decides by the datum (a union of which one branch fits), so does the decoder; here it
//! is enough that a branch fits. Stricter than Avro in one thing: a time in another unit than
//! milliseconds is refused, since it would be read as another time.

use std::collections::HashMap;

use serde_json::Value;

use super::schema::SchemaName;

/// More than any writer's union has, and few enough that nested ones cost milliseconds.
const BRANCHES_MAX: usize = 64;

/// Why a schema can't be read. Names fields, which are no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Misfit {
    Other(String),
    /// A time in another unit: no other branch of a union makes up for it.
    Unit(String),
}

type Fit = Result<(), Misfit>;

/// `writer`: the schema's JSON. The reason is for a person.
pub fn check(writer: &Value, reader: SchemaName) -> Result<(), String> {
    let contract: Value = serde_json::from_str(reader.json()).expect("schemas/ is JSON");
    let fits = Pair { writer: Names::of(writer), reader: Names::of(&contract) };
    fits.schema(&Typed::root(writer), &Typed::root(&contract), "").map_err(|misfit| match misfit {
        Misfit::Other(why) | Misfit::Unit(why) => why,
    })
}

/// A schema, and the namespace that it stands in.
#[derive(Clone)]
struct Typed<'a> {
    json: &'a Value,
    namespace: String,
}

impl<'a> Typed<'a> {
    fn root(json: &'a Value) -> Self {
        Self { json, namespace: String::new() }
    }

    fn within(&self, json: &'a Value) -> Self {
        Self { json, namespace: namespace_of(self.json, &self.namespace) }
    }

    fn kind(&self) -> &'a str {
        match self.json {
            Value::String(name) => name,
            Value::Array(_) => "union",
            json => json["type"].as_str().unwrap_or_default(),
        }
    }

    fn text(&self, key: &str) -> &'a str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn items(&self, key: &str) -> &'a [Value] {
        self.json[key].as_array().map_or(&[], Vec::as_slice)
    }
}

/// The namespace that holds inside of a named schema.
fn namespace_of(json: &Value, outer: &str) -> String {
    let Some(name) = json["name"].as_str().filter(|_| is_named(json)) else {
        return outer.to_owned();
    };
    match (name.rsplit_once('.'), json["namespace"].as_str()) {
        (Some((namespace, _)), _) | (None, Some(namespace)) => namespace.to_owned(),
        (None, None) => outer.to_owned(),
    }
}

fn is_named(json: &Value) -> bool {
    matches!(json["type"].as_str(), Some("record" | "error" | "enum" | "fixed"))
}

fn unqualified(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The named schemas of one schema, by full name.
struct Names<'a>(HashMap<String, Typed<'a>>);

impl<'a> Names<'a> {
    fn of(root: &'a Value) -> Self {
        let mut names = Self(HashMap::new());
        names.collect(&Typed::root(root));
        names
    }

    fn collect(&mut self, at: &Typed<'a>) {
        if is_named(at.json) {
            let namespace = namespace_of(at.json, &at.namespace);
            let name = unqualified(at.text("name"));
            self.0.insert(full_name(name, &namespace), at.clone());
        }
        for field in at.items("fields") {
            self.collect(&at.within(&field["type"]));
        }
        for key in ["items", "values"] {
            if let Some(inner) = at.json.get(key) {
                self.collect(&at.within(inner));
            }
        }
        match at.json {
            Value::Array(branches) => {
                for branch in branches {
                    self.collect(&at.within(branch));
                }
            }
            Value::Object(object) if !object["type"].is_string() => {
                self.collect(&at.within(&object["type"]));
            }
            _ => {}
        }
    }

    /// What a name stands for; a type that wraps another is unwrapped.
    fn look_up(&self, at: &Typed<'a>) -> Typed<'a> {
        let mut at = at.clone();
        while at.json.is_object() && !at.json["type"].is_string() && !at.json["type"].is_null() {
            at = at.within(&at.json["type"]);
        }
        let name = at.kind();
        let full =
            if name.contains('.') { name.to_owned() } else { full_name(name, &at.namespace) };
        self.0.get(&full).filter(|_| !is_named(at.json)).cloned().unwrap_or(at)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

struct Pair<'w, 'r> {
    writer: Names<'w>,
    reader: Names<'r>,
}

impl<'w, 'r> Pair<'w, 'r> {
    /// The reader's schema leads, and it is finite: so this ends on whatever a writer's is.
    fn schema(&self, writer: &Typed<'w>, reader: &Typed<'r>, at: &str) -> Fit {
        let (writer, reader) = (self.writer.look_up(writer), self.reader.look_up(reader));
        if let Value::Array(branches) = writer.json {
            if branches.len() > BRANCHES_MAX {
                let why = format!("{at}: a union of over {BRANCHES_MAX} branches");
                return Err(Misfit::Other(why));
            }
            let each = branches.iter().map(|b| self.schema(&writer.within(b), &reader, at));
            return any(each, at);
        }
        if let Value::Array(branches) = reader.json {
            let each = branches.iter().map(|b| self.schema(&writer, &reader.within(b), at));
            return any(each, at);
        }
        match (writer.kind(), reader.kind()) {
            ("record", "record") => self.record(&writer, &reader, at),
            ("map", "map") => self.inside(&writer, &reader, "values", at),
            ("array", "array") => self.inside(&writer, &reader, "items", at),
            ("enum", "enum") => same_name(&writer, &reader, at),
            ("fixed", "fixed") if writer.json["size"] == reader.json["size"] => {
                same_name(&writer, &reader, at)
            }
            (from, to) if promotes(from, to) => same_unit(&writer, &reader, at),
            (from, to) => Err(Misfit::Other(format!("{at}: {from} does not read as {to}"))),
        }
    }

    fn record(&self, writer: &Typed<'w>, reader: &Typed<'r>, at: &str) -> Fit {
        same_name(writer, reader, at)?;
        for field in reader.items("fields") {
            let name = field["name"].as_str().unwrap_or_default();
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
            match writer.items("fields").iter().find(|other| other["name"] == field["name"]) {
                Some(other) => {
                    self.schema(
                        &writer.within(&other["type"]),
                        &reader.within(&field["type"]),
                        &path,
                    )?;
                }
                None if field.get("default").is_some() => {}
                None => return Err(Misfit::Other(format!("{path} is missing"))),
            }
        }
        Ok(())
    }

    fn inside(&self, writer: &Typed<'w>, reader: &Typed<'r>, key: &str, at: &str) -> Fit {
        self.schema(&writer.within(&writer.json[key]), &reader.within(&reader.json[key]), at)
    }
}

fn any(branches: impl Iterator<Item = Fit>, at: &str) -> Fit {
    let mut found = Err(Misfit::Other(format!("{at}: no branch of the union fits")));
    for fit in branches {
        match fit {
            Err(unit @ Misfit::Unit(_)) => return Err(unit),
            Ok(()) => found = Ok(()),
            Err(Misfit::Other(_)) => {}
        }
    }
    found
}

fn same_name(writer: &Typed<'_>, reader: &Typed<'_>, at: &str) -> Fit {
    let (found, wanted) = (unqualified(writer.text("name")), unqualified(reader.text("name")));
    if found == wanted {
        return Ok(());
    }
    let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
    Err(Misfit::Other(format!("{at}{} {found} is not {wanted}", writer.kind())))
}

fn promotes(from: &str, to: &str) -> bool {
    const NUMBERS: [&str; 4] = ["int", "long", "float", "double"];
    let rank = |kind| NUMBERS.iter().position(|&number| number == kind);
    match (rank(from), rank(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => match (from, to) {
            ("string" | "bytes", "string" | "bytes") => true,
            (from, to) => from == to && matches!(from, "null" | "boolean"),
        },
    }
}

/// A logical type says what a number counts: milliseconds are read as nothing else.
fn same_unit(writer: &Typed<'_>, reader: &Typed<'_>, at: &str) -> Fit {
    let (found, wanted) = (writer.text("logicalType"), reader.text("logicalType"));
    if wanted.starts_with("timestamp") && !found.is_empty() && found != wanted {
        return Err(Misfit::Unit(format!("{at} is in {found}, and must be in {wanted}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
