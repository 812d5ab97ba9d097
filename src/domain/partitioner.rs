//! Which partition a key belongs to (design, section 3).

/// `kafka.partitioner`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// Kafka's own default.
    Murmur2,
    /// librdkafka's `consistent`.
    Crc32,
}
