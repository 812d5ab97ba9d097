//! The tests of the pure part: the contract's vectors in the model, and the engine against it.

#[path = "../model/mod.rs"]
mod model;

mod model_vectors;
