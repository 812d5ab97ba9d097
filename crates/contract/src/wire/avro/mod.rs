//! Avro within bounds: a schema's text to nodes, two schemas to a plan, a datum by its plan.
//!
//! apache-avro judges whether a text is a schema, and gives its fingerprint. What is asked of every
//! datum is here, since whoever writes a datum or registers a schema may mean no good: each datum has
//! a budget of steps, so its work is bounded and not only its size, and nothing is reserved for a
//! length or a count that is only claimed.
//!
//! ```text
//! text ──schema.rs──► nodes ─┐
//!                            ├──plan.rs──► plan ──decode.rs──► value.rs ──serde──► a record
//! the contract's nodes ──────┘
//! ```

mod decode;
mod plan;
mod schema;
mod value;

pub use decode::{Bounds, decode};
pub use plan::Plan;
pub use schema::Schema;
pub use value::{Undecodable, Value};

#[cfg(test)]
mod tests;
