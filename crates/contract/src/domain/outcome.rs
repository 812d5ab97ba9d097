//! The closed sets of answers: what became of an input, what the gate said, why a key was removed.
//!
//! Every set's order is that of the schema's symbols, so `as i64` is the Avro index.

use serde::{Deserialize, Serialize};

/// Declares an enum with the schema's symbols in the schema's order.
macro_rules! symbols {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $symbol:literal / $label:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $symbol)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The schema's symbol.
            pub fn symbol(self) -> &'static str {
                match self { $(Self::$variant => $symbol),+ }
            }

            /// The symbol in lower case, as in metric labels and tombstone headers.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}

symbols! {
    /// `AuditEntry.outcome`: every input ends in exactly one (INV-8).
    Outcome {
        Decided = "DECIDED" / "decided",
        TooLate = "TOO_LATE" / "too_late",
        DeadLettered = "DEAD_LETTERED" / "dead_lettered",
        Applied = "APPLIED" / "applied",
        Superseded = "SUPERSEDED" / "superseded",
        Erased = "ERASED" / "erased",
        Unreadable = "UNREADABLE" / "unreadable",
        Forwarded = "FORWARDED" / "forwarded",
        Elapsed = "ELAPSED" / "elapsed",
        Revised = "REVISED" / "revised",
    }
}

symbols! {
    /// The gate's answer. The first three allow.
    Verdict {
        OptIn = "OPT_IN" / "opt_in",
        GuardianOptIn = "GUARDIAN_OPT_IN" / "guardian_opt_in",
        NotOptedOut = "NOT_OPTED_OUT" / "not_opted_out",
        ConsentStale = "CONSENT_STALE" / "consent_stale",
        NoConsentRecord = "NO_CONSENT_RECORD" / "no_consent_record",
        ConsentUnreadable = "CONSENT_UNREADABLE" / "consent_unreadable",
        PurposeSuspended = "PURPOSE_SUSPENDED" / "purpose_suspended",
        OptedOut = "OPTED_OUT" / "opted_out",
        OptOutSignal = "OPT_OUT_SIGNAL" / "opt_out_signal",
        GuardianConsentMissing = "GUARDIAN_CONSENT_MISSING" / "guardian_consent_missing",
        OwnOptInMissing = "OWN_OPT_IN_MISSING" / "own_opt_in_missing",
        OptInMissing = "OPT_IN_MISSING" / "opt_in_missing",
        ConsentExpired = "CONSENT_EXPIRED" / "consent_expired",
        CollectedBeforeConsent = "COLLECTED_BEFORE_CONSENT" / "collected_before_consent",
    }
}

symbols! {
    /// `AuditEntry.input`.
    InputKind {
        Consent = "CONSENT" / "consent",
        Timer = "TIMER" / "timer",
        Click = "CLICK" / "click",
        Upkeep = "UPKEEP" / "upkeep",
    }
}

symbols! {
    /// `DeadLetter.reason`; docs/contract/bad-input.md#clicks says which applies first.
    DeadLetterReason {
        Undecodable = "UNDECODABLE" / "undecodable",
        UnknownSchema = "UNKNOWN_SCHEMA" / "unknown_schema",
        InvalidField = "INVALID_FIELD" / "invalid_field",
        NullValue = "NULL_VALUE" / "null_value",
        WrongKey = "WRONG_KEY" / "wrong_key",
        WrongPartition = "WRONG_PARTITION" / "wrong_partition",
        EventTimeAhead = "EVENT_TIME_AHEAD" / "event_time_ahead",
    }
}

symbols! {
    /// `SegmentAssignment.basis`: the verdict that allowed the use.
    Basis {
        OptIn = "OPT_IN" / "opt_in",
        GuardianOptIn = "GUARDIAN_OPT_IN" / "guardian_opt_in",
        NotOptedOut = "NOT_OPTED_OUT" / "not_opted_out",
    }
}

impl Verdict {
    /// Why the use is allowed; `None`: it is withheld.
    pub fn basis(self) -> Option<Basis> {
        match self {
            Self::OptIn => Some(Basis::OptIn),
            Self::GuardianOptIn => Some(Basis::GuardianOptIn),
            Self::NotOptedOut => Some(Basis::NotOptedOut),
            _ => None,
        }
    }

    pub fn allows(self) -> bool {
        self.basis().is_some()
    }
}

/// The header `reason` of a tombstone (docs/contract/topics.md#tombstones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TombstoneReason {
    /// The gate withholds: the verdict says why.
    Withheld(Verdict),
    Erasure,
    SegmentsLeft,
    RulebookChanged,
    KeyRetired,
}

impl TombstoneReason {
    pub fn label(self) -> &'static str {
        match self {
            Self::Withheld(verdict) => verdict.label(),
            Self::Erasure => "erasure",
            Self::SegmentsLeft => "segments_left",
            Self::RulebookChanged => "rulebook_changed",
            Self::KeyRetired => "key_retired",
        }
    }
}
