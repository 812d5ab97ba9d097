//! By what a person goes on after a loss.

/// What a transaction of `state accept-loss` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whoever is in doubt is withheld.
    Withheld,
    /// The loss goes on record, and the inputs go on behind it.
    OnRecord,
}
