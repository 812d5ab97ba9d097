//! One datum, by its plan, on a budget.
//!
//! A step is a value, a field that is left out, a branch, an item, a block. What costs no byte costs a
//! step all the same: a claim of 2^60 items that are nothing ends with the budget.

use super::plan::{Op, OpId, Plan, Taken};
use super::schema::{Id, Node};
use super::value::{Undecodable, Value};
use crate::domain::binary::{Malformed, Reader};

/// What one datum may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub steps: usize,
    /// Of an array or a map that is read.
    pub items: usize,
}

impl Bounds {
    /// Of an input: 256 decisions are more purposes than a shop has; the steps are those of
    /// docs/contract/bad-input.md.
    pub const INPUT: Self = Self { steps: 100_000, items: 256 };

    /// Of what Assent wrote, whose batches are as long as their bytes: an item takes a byte at least.
    pub fn of_output(body: &[u8]) -> Self {
        Self { steps: Self::INPUT.steps + 4 * body.len(), items: body.len() }
    }
}

/// Deepest nesting of one datum: only a schema that names itself nests deeper than its text.
const DEPTH_MAX: usize = 128;

/// The whole of `body`, which the plan's writer wrote, as the plan's reader has it.
pub fn decode<'a>(plan: &Plan, body: &'a [u8], bounds: Bounds) -> Result<Value<'a>, Undecodable> {
    let mut decoding = Decoding { plan, rest: Reader::new(body), steps: bounds.steps, bounds };
    let value = decoding.value(plan.root, DEPTH_MAX)?;
    decoding.rest.end()?;
    Ok(value)
}

struct Decoding<'p, 'a> {
    plan: &'p Plan,
    rest: Reader<'a>,
    /// Those that are left.
    steps: usize,
    bounds: Bounds,
}

impl From<Malformed> for Undecodable {
    fn from(_: Malformed) -> Self {
        Self
    }
}

type Decoded<T> = Result<T, Undecodable>;

impl<'a> Decoding<'_, 'a> {
    fn step(&mut self) -> Decoded<()> {
        self.steps = self.steps.checked_sub(1).ok_or(Undecodable)?;
        Ok(())
    }

    fn value(&mut self, op: OpId, depth: usize) -> Decoded<Value<'a>> {
        self.step()?;
        let depth = depth.checked_sub(1).ok_or(Undecodable)?;
        let plan = self.plan;
        Ok(match &plan.ops[op] {
            Op::Null => Value::Null,
            Op::Boolean => Value::Boolean(self.rest.bool()?),
            Op::Int => Value::Long(self.rest.int()?.into()),
            Op::Long => Value::Long(self.rest.long()?),
            Op::Text => Value::Text(self.rest.string()?),
            Op::Fixed(size) => Value::Fixed(self.rest.take(*size)?),
            Op::Symbol(symbols) => {
                let symbol = self.rest.symbol(symbols)?;
                symbol.map_or(Value::Foreign, Value::Symbol)
            }
            Op::Record(record) => {
                let mut values = Vec::with_capacity(record.fields.len());
                values.resize_with(record.fields.len(), || Value::Null);
                for taken in &record.taken {
                    match *taken {
                        Taken::Read(slot, op) => values[slot] = self.value(op, depth)?,
                        Taken::Skipped(node) => self.skip(node, depth)?,
                    }
                }
                for (slot, default) in &record.defaults {
                    values[*slot] = default.value();
                }
                Value::Record(record.fields, values)
            }
            Op::Array(item) => Value::Array(self.items(|it| it.value(*item, depth))?),
            Op::Map(item) => {
                Value::Map(self.items(|it| Ok((it.rest.string()?, it.value(*item, depth)?)))?)
            }
            Op::Union(branches) => match self.rest.symbol(branches)? {
                (_, Some(op)) => self.value(op, depth)?,
                (node, None) => {
                    self.skip(node, depth)?;
                    Value::Foreign
                }
            },
        })
    }

    fn items<T>(&mut self, mut item: impl FnMut(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let mut items = Vec::new();
        self.blocks(|it| {
            if items.len() == it.bounds.items {
                return Err(Undecodable);
            }
            items.push(item(it)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// The items of an array or a map, in whatever blocks they came.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Decoded<()>) -> Decoded<()> {
        loop {
            self.step()?;
            let count = self.rest.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 && self.rest.long()? < 0 {
                return Err(Undecodable); // the block's size in bytes, for those who trust it
            }
            for _ in 0..count.unsigned_abs() {
                self.step()?;
                item(self)?;
            }
        }
    }

    /// What the reader does not know is checked all the same.
    fn skip(&mut self, node: Id, depth: usize) -> Decoded<()> {
        self.step()?;
        let depth = depth.checked_sub(1).ok_or(Undecodable)?;
        let plan = self.plan;
        match &plan.writer.nodes[node] {
            Node::Null => {}
            Node::Boolean => drop(self.rest.bool()?),
            Node::Int(_) => drop(self.rest.int()?),
            Node::Long(_) => drop(self.rest.long()?),
            Node::Float => drop(self.rest.take(4)?),
            Node::Double => drop(self.rest.take(8)?),
            Node::Bytes => drop(self.rest.bytes()?),
            Node::Text => drop(self.rest.string()?),
            Node::Fixed { size, .. } => drop(self.rest.take(*size)?),
            Node::Enum { symbols, .. } => drop(self.index(symbols.len())?),
            Node::Record { fields, .. } => {
                for field in fields {
                    self.skip(field.node, depth)?;
                }
            }
            Node::Array(item) => self.blocks(|it| it.skip(*item, depth))?,
            Node::Map(item) => self.blocks(|it| {
                it.rest.string()?;
                it.skip(*item, depth)
            })?,
            Node::Union(branches) => {
                let at = self.index(branches.len())?;
                self.skip(branches[at], depth)?;
            }
        }
        Ok(())
    }

    fn index(&mut self, count: usize) -> Decoded<usize> {
        let index = usize::try_from(self.rest.long()?).map_err(|_| Undecodable)?;
        if index < count { Ok(index) } else { Err(Undecodable) }
    }
}
