//! An Avro schema's text to nodes that refer to each other by index, within bounds.
//!
//! One walk over the JSON does two things. It makes the nodes, and a text with nothing in it but what
//! Avro resolves by: no documentation, default, alias or logical type. Of that text apache-avro says
//! whether it is a schema. So the library never sees what could keep it busy (defaults that nest, a
//! name of megabytes), and its fingerprint is that of the Parsing Canonical Form: it leaves braces
//! around a primitive that has a logical type, and here none has.

use std::collections::BTreeMap;

use apache_avro::rabin::Rabin;
use serde_json::{Map, Value as Json, json};

use crate::domain::foreign_text;

/// Longest text. A registry's answer is no longer.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Most nodes, fields, branches and symbols together: the contract's largest schema has under 200.
const NODES_MAX: usize = 4_096;

/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// Longest name or symbol.
const NAME_BYTES_MAX: usize = 512;

/// More than any writer's union has.
const BRANCHES_MAX: usize = 64;

/// Of a node, in its schema.
pub type Id = usize;

#[derive(Debug)]
pub struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
    fingerprint: [u8; 8],
}

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    /// With its logical type.
    Int(Option<String>),
    Long(Option<String>),
    Float,
    Double,
    Bytes,
    Text,
    Fixed {
        name: String,
        size: usize,
    },
    Enum {
        name: String,
        symbols: Vec<String>,
        /// Only a reader's own is ever looked at.
        default: Option<String>,
    },
    Record {
        name: String,
        fields: Vec<Field>,
    },
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
}

#[derive(Debug)]
pub struct Field {
    pub(super) name: String,
    pub(super) node: Id,
    /// Only a reader's own is ever looked at.
    pub(super) default: Option<Json>,
}

/// Why a text is no schema that could be read with. For a person; what is quoted is bounded.
type Walked<T> = Result<T, String>;

impl Schema {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("its schema is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let json = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
        let mut walk = Walk { nodes: Vec::new(), names: BTreeMap::new(), left: NODES_MAX };
        let (root, trimmed) = walk.node(&json, "", DEPTH_MAX)?;
        let avro = apache_avro::Schema::parse_str(&trimmed.to_string())
            .map_err(|_| "it is not a valid Avro schema".to_owned())?;
        let fingerprint = avro.fingerprint::<Rabin>().bytes;
        let fingerprint = fingerprint.try_into().map_err(|_| "it has no fingerprint".to_owned())?;
        Ok(Self { nodes: walk.nodes, root, fingerprint })
    }

    /// CRC-64-AVRO of the Parsing Canonical Form, little-endian, as it stands on the wire.
    pub fn fingerprint(&self) -> &[u8; 8] {
        &self.fingerprint
    }

    /// Its own name, where it has one, without the namespace.
    pub fn name(&self) -> Option<&str> {
        match &self.nodes[self.root] {
            Node::Fixed { name, .. } | Node::Enum { name, .. } | Node::Record { name, .. } => {
                Some(name)
            }
            _ => None,
        }
    }
}

struct Walk {
    nodes: Vec<Node>,
    /// Full names, of what was met so far: Avro knows no name before its definition.
    names: BTreeMap<String, Id>,
    /// How much more may come.
    left: usize,
}

impl Walk {
    /// The node, and its trimmed JSON.
    fn node(&mut self, json: &Json, namespace: &str, depth: usize) -> Walked<(Id, Json)> {
        let depth = depth.checked_sub(1).ok_or(format!("it nests deeper than {DEPTH_MAX}"))?;
        self.spend(1)?;
        match json {
            Json::String(name) => Ok((self.named(name, namespace)?, json.clone())),
            Json::Array(branches) => self.union(branches, namespace, depth),
            Json::Object(object) => self.object(object, namespace, depth),
            _ => Err("it is not a valid Avro schema".to_owned()),
        }
    }

    fn spend(&mut self, count: usize) -> Walked<()> {
        self.left = self
            .left
            .checked_sub(count)
            .ok_or(format!("it has more than {NODES_MAX} types, fields, branches and symbols"))?;
        Ok(())
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A primitive, or what was defined under a name.
    fn named(&mut self, name: &str, namespace: &str) -> Walked<Id> {
        if let Some(primitive) = primitive(name, None) {
            return Ok(self.add(primitive));
        }
        let full = full_name(bounded(name)?, namespace);
        let known = self.names.get(&full).copied();
        known
            .ok_or_else(|| format!("it names {}, which is not defined", foreign_text::shown(&full)))
    }

    fn union(&mut self, branches: &[Json], namespace: &str, depth: usize) -> Walked<(Id, Json)> {
        if branches.len() > BRANCHES_MAX {
            return Err(format!("it has a union of more than {BRANCHES_MAX} branches"));
        }
        let (mut ids, mut trimmed) = (Vec::new(), Vec::new());
        for branch in branches {
            let (id, json) = self.node(branch, namespace, depth)?;
            if matches!(self.nodes[id], Node::Union(_)) {
                return Err("it has a union in a union".to_owned());
            }
            ids.push(id);
            trimmed.push(json);
        }
        Ok((self.add(Node::Union(ids)), Json::Array(trimmed)))
    }

    fn object(
        &mut self,
        object: &Map<String, Json>,
        namespace: &str,
        depth: usize,
    ) -> Walked<(Id, Json)> {
        let kind = match object.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            Some(inner) => return self.wrapped(inner, object, namespace, depth),
            None => return Err("it has a type without \"type\"".to_owned()),
        };
        match kind {
            "record" | "error" => self.record(object, namespace, depth),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => self.items(object, "items", namespace, depth),
            "map" => self.items(object, "values", namespace, depth),
            _ => match primitive(kind, logical_type(object)?) {
                Some(node) => Ok((self.add(node), json!(kind))),
                None => Ok((self.named(kind, namespace)?, json!(kind))),
            },
        }
    }

    /// `{"type": {"type": …}}`, as some generators write it. A logical type may stand outside.
    fn wrapped(
        &mut self,
        inner: &Json,
        object: &Map<String, Json>,
        namespace: &str,
        depth: usize,
    ) -> Walked<(Id, Json)> {
        let (id, trimmed) = self.node(inner, namespace, depth)?;
        let node = match (logical_type(object)?, &self.nodes[id]) {
            (Some(logical), Node::Int(None)) => Node::Int(Some(logical)),
            (Some(logical), Node::Long(None)) => Node::Long(Some(logical)),
            _ => return Ok((id, trimmed)),
        };
        Ok((self.add(node), trimmed))
    }

    fn items(
        &mut self,
        object: &Map<String, Json>,
        key: &str,
        namespace: &str,
        depth: usize,
    ) -> Walked<(Id, Json)> {
        let inner = object.get(key).ok_or_else(|| format!("it has a type without \"{key}\""))?;
        let (id, inner) = self.node(inner, namespace, depth)?;
        let (node, kind) =
            if key == "items" { (Node::Array(id), "array") } else { (Node::Map(id), "map") };
        Ok((self.add(node), json!({"type": kind, key: inner})))
    }

    fn record(
        &mut self,
        object: &Map<String, Json>,
        namespace: &str,
        depth: usize,
    ) -> Walked<(Id, Json)> {
        let own = self.define(object, namespace)?;
        let (mut fields, mut trimmed) = (Vec::new(), Vec::new());
        for json in list(object, "fields")? {
            self.spend(1)?;
            let name = bounded(json["name"].as_str().ok_or("it has a field without a name")?)?;
            let inner = json.get("type").ok_or("it has a field without a type")?;
            let (node, inner) = self.node(inner, &own.namespace, depth)?;
            fields.push(Field {
                name: name.to_owned(),
                node,
                default: json.get("default").cloned(),
            });
            trimmed.push(json!({"name": name, "type": inner}));
        }
        let json = json!({"type": "record", "name": own.full, "fields": trimmed});
        self.nodes[own.id] = Node::Record { name: own.name, fields };
        Ok((own.id, json))
    }

    fn enumeration(&mut self, object: &Map<String, Json>, namespace: &str) -> Walked<(Id, Json)> {
        let own = self.define(object, namespace)?;
        let all = list(object, "symbols")?;
        self.spend(all.len())?;
        let symbol = |json: &Json| {
            let symbol = json.as_str().ok_or("it has an enum whose symbols are not texts")?;
            bounded(symbol).map(str::to_owned)
        };
        let symbols = all.iter().map(symbol).collect::<Walked<Vec<String>>>()?;
        let json = json!({"type": "enum", "name": own.full, "symbols": symbols});
        let default = object.get("default").and_then(Json::as_str).map(str::to_owned);
        self.nodes[own.id] = Node::Enum { name: own.name, symbols, default };
        Ok((own.id, json))
    }

    fn fixed(&mut self, object: &Map<String, Json>, namespace: &str) -> Walked<(Id, Json)> {
        let own = self.define(object, namespace)?;
        let size = object.get("size").and_then(Json::as_u64);
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or("it has a fixed without a size")?;
        let json = json!({"type": "fixed", "name": own.full, "size": size});
        self.nodes[own.id] = Node::Fixed { name: own.name, size };
        Ok((own.id, json))
    }

    /// The name that a record, an enum or a fixed has from here on, within itself, too.
    fn define(&mut self, object: &Map<String, Json>, outer: &str) -> Walked<Own> {
        let name =
            object.get("name").and_then(Json::as_str).ok_or("it has a type without a name")?;
        let name = bounded(name)?;
        let (namespace, name) = match (name.rsplit_once('.'), object.get("namespace")) {
            (Some((namespace, name)), _) => (namespace, name),
            (None, Some(Json::String(namespace))) => (bounded(namespace)?, name),
            (None, _) => (outer, name),
        };
        let id = self.add(Node::Null); // until its own is there
        let full = full_name(name, namespace);
        if self.names.insert(full.clone(), id).is_some() {
            return Err(format!("it defines {} twice", foreign_text::shown(&full)));
        }
        Ok(Own { id, name: name.to_owned(), full, namespace: namespace.to_owned() })
    }
}

/// What is being defined.
struct Own {
    id: Id,
    name: String,
    full: String,
    namespace: String,
}

fn primitive(name: &str, logical: Option<String>) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int(logical),
        "long" => Node::Long(logical),
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::Text,
        _ => return None,
    })
}

fn logical_type(object: &Map<String, Json>) -> Walked<Option<String>> {
    let logical = object.get("logicalType").and_then(Json::as_str);
    logical.map(|name| bounded(name).map(str::to_owned)).transpose()
}

fn list<'j>(object: &'j Map<String, Json>, key: &str) -> Walked<&'j [Json]> {
    let all = object.get(key).and_then(Json::as_array);
    all.map(Vec::as_slice).ok_or_else(|| format!("it has a type without \"{key}\""))
}

fn bounded(name: &str) -> Walked<&str> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    Err(format!("it has a name of more than {NAME_BYTES_MAX} bytes"))
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}
