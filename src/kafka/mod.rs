//! Kafka through librdkafka: clients, and what the pipeline and the commands ask of a cluster.

pub mod admin;
pub mod assignments;
pub mod client;
pub mod inputs;
pub mod read;
pub mod sample;
pub mod topic_plan;
pub mod write;
