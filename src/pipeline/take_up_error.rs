//! Why partitions can't be taken up, by what is to be done about it.

use rdkafka::error::KafkaError;

use crate::failure::Failure;
use crate::kafka::damage::Interrupted;
use assent_core::engine::loss::Unreadable;

/// Why partitions could not be taken up.
pub enum TakeUpError {
    /// Going on would lose or double something: a person decides.
    Stop(Failure),
    /// A broker did not answer.
    Again(KafkaError),
    /// This can't be read, and another replica may have it whole. Where that stays so, the stop that follows.
    Unsure(Vec<Doubtful>, Failure),
    /// A person has to bring something first; until then this instance is not ready.
    Wait(String),
    /// The group changed its mind, or the process ends.
    Unwanted,
}

/// What of the state or the audit could not be read just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    pub topic: String,
    pub partition: i32,
    pub unreadable: Unreadable,
}

impl From<KafkaError> for TakeUpError {
    fn from(error: KafkaError) -> Self {
        Self::Again(error)
    }
}

impl From<Interrupted> for TakeUpError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Unwanted => Self::Unwanted,
            Interrupted::Again(error) => Self::Again(error),
        }
    }
}
