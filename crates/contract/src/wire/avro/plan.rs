//! How what a writer's schema wrote is read as a schema of the contract: Avro's schema resolution
//! (specification 1.11, "Schema Resolution"), worked out once of each schema that a registry names.
//!
//! Where Avro decides by the datum (a union of which one branch fits), so does the plan; the schemas
//! go together where a branch fits. Stricter than Avro in one thing: a time in another unit than
//! milliseconds is refused, since it would be read as another time.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde_json::Value as Json;

use super::schema::{Field, Id, Node, Schema};
use super::value::Value;
use crate::domain::foreign_text::shown;

/// Pairs of a writer's node and a reader's: the contract's own make under 200 with themselves.
const PAIRS_MAX: usize = 20_000;

#[derive(Debug)]
pub struct Plan {
    pub(super) writer: Arc<Schema>,
    pub(super) ops: Vec<Op>,
    pub(super) root: OpId,
}

/// Of an op, in its plan.
pub type OpId = usize;

/// What is done to a value of the writer's.
#[derive(Debug)]
pub(super) enum Op {
    Null,
    Boolean,
    Int,
    Long,
    /// A string, or bytes that are one.
    Text,
    Fixed(usize),
    /// The reader's symbols by the writer's indexes; `None`: it has none for it.
    Symbol(Vec<Option<&'static str>>),
    Record(Record),
    Array(OpId),
    Map(OpId),
    /// The writer's branches; without an op where the reader has none for it.
    Union(Vec<(Id, Option<OpId>)>),
}

#[derive(Debug)]
pub(super) struct Record {
    /// The reader's.
    pub fields: &'static [Field],
    /// The writer's, in their order.
    pub taken: Vec<Taken>,
    /// Of the reader's fields that the writer lacks.
    pub defaults: Vec<(usize, Default)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Taken {
    /// Into the reader's field at this place.
    Read(usize, OpId),
    Skipped(Id),
}

/// A value that stands where the writer has none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Default {
    Null,
    Boolean(bool),
    Text(&'static str),
    Symbol(&'static str),
}

impl Default {
    pub fn value(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Text(text) => Value::Text(text),
            Self::Symbol(symbol) => Value::Symbol(symbol),
        }
    }
}

/// Why a schema can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Misfit {
    Other(String),
    /// Nothing makes up for it, no other branch of a union either.
    Final(String),
}

type Fit<T> = Result<T, Misfit>;

impl Plan {
    /// The reason is for a person.
    pub fn resolve(writer: &Arc<Schema>, reader: &'static Schema) -> Result<Self, String> {
        let mut pairing = Pairing { writer, reader, ops: Vec::new(), met: HashMap::default() };
        match pairing.pair(writer.root, reader.root, "") {
            Ok(root) => Ok(Self { writer: Arc::clone(writer), ops: pairing.ops, root }),
            Err(Misfit::Other(why) | Misfit::Final(why)) => Err(why),
        }
    }
}

struct Pairing<'w> {
    writer: &'w Schema,
    reader: &'static Schema,
    ops: Vec<Op>,
    /// What was worked out, so that each pair is once.
    met: HashMap<(Id, Id), Fit<OpId>, FixedState>,
}

impl Pairing<'_> {
    /// The reader's schema leads, and it is finite: so this ends on whatever a writer's is.
    fn pair(&mut self, writer: Id, reader: Id, at: &str) -> Fit<OpId> {
        if let Some(known) = self.met.get(&(writer, reader)) {
            return known.clone();
        }
        if self.met.len() >= PAIRS_MAX {
            return Err(Misfit::Final("it is too large to resolve".to_owned()));
        }
        let fit = self.fit(writer, reader, at);
        self.met.insert((writer, reader), fit.clone());
        fit
    }

    fn fit(&mut self, writer: Id, reader: Id, at: &str) -> Fit<OpId> {
        let (here, contract) = (self.writer, self.reader);
        if let Node::Union(branches) = &here.nodes[writer] {
            let each: Vec<_> = branches.iter().map(|&id| self.pair(id, reader, at)).collect();
            first(&each, at)?;
            let ops = each.into_iter().map(Result::ok);
            return Ok(self.add(Op::Union(branches.iter().copied().zip(ops).collect())));
        }
        if let Node::Union(branches) = &contract.nodes[reader] {
            let each: Vec<_> = branches.iter().map(|&id| self.pair(writer, id, at)).collect();
            return first(&each, at);
        }
        let op = self.op(&here.nodes[writer], &contract.nodes[reader], at)?;
        Ok(self.add(op))
    }

    fn add(&mut self, op: Op) -> OpId {
        self.ops.push(op);
        self.ops.len() - 1
    }

    /// Neither is a union.
    fn op(&mut self, writer: &Node, reader: &'static Node, at: &str) -> Fit<Op> {
        Ok(match (writer, reader) {
            (Node::Null, Node::Null) => Op::Null,
            (Node::Boolean, Node::Boolean) => Op::Boolean,
            (Node::Int(from), Node::Int(to) | Node::Long(to)) => {
                same_unit(from.as_deref(), to.as_deref(), at)?;
                Op::Int
            }
            (Node::Long(from), Node::Long(to)) => {
                same_unit(from.as_deref(), to.as_deref(), at)?;
                Op::Long
            }
            (Node::Text | Node::Bytes, Node::Text) => Op::Text,
            (Node::Fixed { name, size }, Node::Fixed { name: wanted, size: length })
                if size == length =>
            {
                same_name(writer, name, wanted, at)?;
                Op::Fixed(*size)
            }
            (
                Node::Enum { name, symbols, .. },
                Node::Enum { name: wanted, symbols: own, default },
            ) => {
                same_name(writer, name, wanted, at)?;
                let symbol = |name| own.iter().find(|one| *one == name).or(default.as_ref());
                Op::Symbol(symbols.iter().map(|name| symbol(name).map(String::as_str)).collect())
            }
            (Node::Array(item), Node::Array(wanted)) => Op::Array(self.pair(*item, *wanted, at)?),
            (Node::Map(item), Node::Map(wanted)) => Op::Map(self.pair(*item, *wanted, at)?),
            (Node::Record { name, fields }, Node::Record { name: wanted, fields: own }) => {
                same_name(writer, name, wanted, at)?;
                Op::Record(self.record(fields, own, at)?)
            }
            (from, to) => {
                let (from, to) = (kind(from), kind(to));
                return Err(Misfit::Other(format!("{at}: {from} can't be read as {to}")));
            }
        })
    }

    fn record(&mut self, writer: &[Field], fields: &'static [Field], at: &str) -> Fit<Record> {
        let mut taken: Vec<Taken> = writer.iter().map(|it| Taken::Skipped(it.node)).collect();
        let mut defaults = Vec::new();
        for (slot, field) in fields.iter().enumerate() {
            let name = &field.name;
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match writer.iter().position(|other| other.name == *name) {
                Some(place) => {
                    let op = self.pair(writer[place].node, field.node, &path)?;
                    taken[place] = Taken::Read(slot, op);
                }
                None => match default(self.reader, field) {
                    Some(default) => defaults.push((slot, default)),
                    None => return Err(Misfit::Other(format!("{path} is missing"))),
                },
            }
        }
        Ok(Record { fields, taken, defaults })
    }
}

/// Of what the contract's schemas give their fields.
fn default(reader: &'static Schema, field: &'static Field) -> Option<Default> {
    Some(match (field.default.as_ref()?, &reader.nodes[field.node]) {
        (Json::Null, _) => Default::Null,
        (Json::Bool(value), _) => Default::Boolean(*value),
        (Json::String(symbol), Node::Enum { .. }) => Default::Symbol(symbol),
        (Json::String(text), _) => Default::Text(text),
        _ => return None,
    })
}

/// The first of the branches that fits.
fn first(branches: &[Fit<OpId>], at: &str) -> Fit<OpId> {
    let refused = |fit: &&Fit<OpId>| matches!(fit, Err(Misfit::Final(_)));
    if let Some(refusal) = branches.iter().find(refused) {
        return refusal.clone();
    }
    let none = || Misfit::Other(format!("{at}: no branch of the union matches"));
    branches.iter().find_map(|fit| fit.as_ref().ok().copied()).ok_or_else(none)
}

fn same_name(of: &Node, found: &str, wanted: &str, at: &str) -> Fit<()> {
    if found == wanted {
        return Ok(());
    }
    let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
    Err(Misfit::Other(format!("{at}{} {} is not {wanted}", kind(of), shown(found))))
}

/// A logical type says what a number counts: milliseconds are read as nothing else.
fn same_unit(found: Option<&str>, wanted: Option<&str>, at: &str) -> Fit<()> {
    match (found, wanted) {
        (Some(found), Some(wanted)) if found != wanted && wanted.starts_with("timestamp") => {
            Err(Misfit::Final(format!("{at} is in {}, and must be in {wanted}", shown(found))))
        }
        _ => Ok(()),
    }
}

/// As Avro calls it.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Boolean => "boolean",
        Node::Int(_) => "int",
        Node::Long(_) => "long",
        Node::Float => "float",
        Node::Double => "double",
        Node::Bytes => "bytes",
        Node::Text => "string",
        Node::Fixed { .. } => "fixed",
        Node::Enum { .. } => "enum",
        Node::Record { .. } => "record",
        Node::Array(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
    }
}
