//! Why partitions can't be taken up, by what is to be done about it.

use rdkafka::error::KafkaError;

use crate::failure::Failure;
use crate::kafka::restore::Interrupted;

/// Why partitions could not be taken up.
pub enum Trouble {
    /// Going on would lose or double something: a person decides.
    Stop(Failure),
    /// A broker did not answer.
    Again(KafkaError),
    /// A person has to bring something first; until then this instance is not ready.
    Wait(String),
    /// The group changed its mind, or the process ends.
    Unwanted,
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        Self::Again(error)
    }
}

impl From<Interrupted> for Trouble {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Unwanted => Self::Unwanted,
            Interrupted::Again(error) => Self::Again(error),
        }
    }
}
