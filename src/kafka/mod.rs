//! Kafka through librdkafka: clients, and what the pipeline and the commands ask of a cluster.

pub mod admin;
pub mod assignments;
pub mod audit_heads;
pub mod backlog;
pub mod calls;
pub mod client;
pub mod consumer;
pub mod context;
pub mod forwarder;
pub mod group_offsets;
pub mod handle;
pub mod heartbeat;
pub mod inputs;
pub mod probe;
pub mod producer;
pub mod read;
pub mod restore;
pub mod sample;
pub mod scan;
pub mod topic_ids;
pub mod topic_plan;
pub mod topics;
pub mod write;
