//! The tests of the pure part: the contract's vectors in the model, and the engine against it.

use assent_sim::model;

mod bisection;
mod canary;
mod documents;
mod engine_against_model;
mod explained;
mod held_out;
mod histories;
mod many_timers;
mod model_vectors;
mod plans;
mod reach;
mod realize;
mod rotation;
mod rulebooks;
mod seen;
mod verified;
