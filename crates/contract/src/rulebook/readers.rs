//! Who reads a purpose's segments: declared, so that documents name them and their lag is watched.
//!
//! Nothing that is decided of a person rests on it, and the state knows nothing of it.

/// Most readers of one purpose: each is asked for every few seconds.
pub(super) const READERS_MAX: usize = 32;

/// A program that keeps a copy of a purpose's segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub id: String,
    pub kind: ReaderKind,
    /// The consumer group whose committed offsets say how far it is.
    pub group_id: String,
}

/// What the reader is to the shop (Civ. Code 1798.140(j), (ag), (ai)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    Own,
    ServiceProvider,
    Contractor,
    ThirdParty,
}

impl ReaderKind {
    pub const ALL: [Self; 4] =
        [Self::Own, Self::ServiceProvider, Self::Contractor, Self::ThirdParty];

    /// As the rulebook writes it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::ServiceProvider => "service_provider",
            Self::Contractor => "contractor",
            Self::ThirdParty => "third_party",
        }
    }

    /// In plain words.
    pub fn says(self) -> &'static str {
        match self {
            Self::Own => "the shop itself",
            Self::ServiceProvider => "a service provider",
            Self::Contractor => "a contractor",
            Self::ThirdParty => "a third party",
        }
    }
}
