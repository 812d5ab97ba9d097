//! Kafka through librdkafka: clients, and what the pipeline and the commands ask of a cluster.

pub mod client;
pub mod consumer;
mod context;
pub mod probe;
pub mod producer;
pub mod restore;
pub mod topics;
