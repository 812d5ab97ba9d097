//! The steps of a round, at each of which it may fail.

/// Label `step` of assent_canary_failures_total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The brokers did not answer, so that no round began.
    Reach,
    OptIn,
    Click,
    Assignment,
    OptOut,
    Tombstone,
}

impl Step {
    pub const ALL: [Self; 6] =
        [Self::Reach, Self::OptIn, Self::Click, Self::Assignment, Self::OptOut, Self::Tombstone];

    pub fn label(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::OptIn => "opt_in",
            Self::Click => "click",
            Self::Assignment => "assignment",
            Self::OptOut => "opt_out",
            Self::Tombstone => "tombstone",
        }
    }

    /// What went wrong there, and where to look.
    pub fn says(self) -> &'static str {
        match self {
            Self::Reach => "no broker answered",
            Self::OptIn => "the opt-in was not acknowledged; look at the consent topic's brokers",
            Self::Click => "the click was not acknowledged; look at the clickstream's brokers",
            Self::Assignment => {
                "no assignment came; see /readyz of `assent run`: it may be stopped, behind, or \
                 have a closed gate"
            }
            Self::OptOut => "the opt-out was not acknowledged; look at the consent topic's brokers",
            Self::Tombstone => {
                "the opt-out has no tombstone: those of people may wait, too; see /readyz of \
                 `assent run`"
            }
        }
    }
}
