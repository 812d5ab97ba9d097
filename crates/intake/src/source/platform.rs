//! The platforms, by name.

/// A consent platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    OneTrust,
    TrustArc,
    Zigpoll,
    Ketch,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::OneTrust, Self::TrustArc, Self::Zigpoll, Self::Ketch];

    /// As paths, configuration keys, metrics and `ConsentRecord.source` have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::OneTrust => "onetrust",
            Self::TrustArc => "trustarc",
            Self::Zigpoll => "zigpoll",
            Self::Ketch => "ketch",
        }
    }

    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.word() == word)
    }
}
