//! Reports for counsel, regulators and management. A report is a value, computed from facts that somebody else
//! has read; its forms are Markdown, one HTML page and JSON.
//!
//! Knows no Kafka, no file and no clock: the same facts give the same bytes. What only a person can say is a
//! marked blank ([`form::Text::blank`]), never a guess.

pub mod chart;
pub mod form;
pub mod kpi;
pub mod numbers;
pub mod opt_out_test;
pub mod period;
pub mod privacy_metrics;
pub mod readers;
pub mod retention;
pub mod risk_assessment;
pub mod signals;
pub mod topic;
