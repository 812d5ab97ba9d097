//! What was lost of a partition, judged from what is still there: the stops of
//! docs/contract/bad-input.md#stops.
//!
//! Pure: the rim brings a [`View`], and a person reads what [`find`] says. Nothing here goes on; that
//! is `accept.rs`, after somebody said so. Keeps INV-5 and INV-9: where the state is not what the
//! audit ends with, going on would fork the chain.

use std::fmt;

use super::absence::{AbsenceBound, in_words};
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::time::{Span, Timestamp};

/// The cluster's id of a topic; 0: not known.
pub type TopicId = u128;

/// The ids of the two inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicIds {
    pub clicks: TopicId,
    pub consent: TopicId,
}

/// The end of a partition's audit chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    pub next_sequence: i64,
    pub hash: Sha256Hash,
    pub click_to: i64,
    pub consent_to: i64,
    pub decided_at: Timestamp,
}

/// Where the state says that the partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHead {
    pub next_click: i64,
    pub next_consent: i64,
    pub next_sequence: i64,
    pub head: Sha256Hash,
    pub topics: TopicIds,
    /// An accepted loss of the state is not worked off yet.
    pub recovering: bool,
    /// Up to when consent is known to be applied.
    pub consent_synced_at: Timestamp,
}

/// What the group has: the next click, and the sequence that was written with it, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMark {
    pub offset: i64,
    pub metadata: String,
}

/// What an input still holds: its first offset, and one past its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub start: i64,
    pub end: i64,
}

/// What no client can read of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub range: Range,
    /// What the client says, for a person.
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { range: Range { start, end }, reason } = self;
        write!(f, "offsets {start} to {} can't be read by any client: {reason}", end - 1)
    }
}

/// All that is there of a partition.
pub struct View {
    /// `Ok(None)`: the state holds nothing of it. `Err`: it can't be read, and why.
    pub state: Result<Option<StateHead>, String>,
    pub group: Option<GroupMark>,
    /// `None`: the audit holds nothing of its chain.
    pub audit: Option<AuditHead>,
    /// What nobody can read of the audit, behind that.
    pub unreadable_audit: Option<Unreadable>,
    pub topics: TopicIds,
    pub clicks: Range,
    pub consent: Range,
    /// Consent that nobody can read, where it is known to be what comes next.
    pub unreadable: Option<Range>,
    /// When it is looked at, by the wall clock.
    pub now: Timestamp,
    /// How long consent may go unread; `None`: the changelog never loses an erasure.
    pub absence: Option<AbsenceBound>,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputLoss {
    /// Offsets `from` up to `to`, which is still there, went before they were decided.
    Removed { from: i64, to: i64 },
    /// The log ends before what was decided.
    CutOff { from: i64, end: i64 },
    /// The topic is another one under the same name.
    Remade { from: i64, start: i64 },
    /// Offsets `from` up to `to` are there, and nobody can read them.
    Unreadable { from: i64, to: i64 },
    /// Consent was not read from here on for so long that erasures may be gone.
    Unread { from: i64, unread_for: Span },
}

/// What became of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateLoss {
    Missing,
    Damaged(String),
    /// The audit went on from another state than this one.
    Behind {
        state: i64,
        audit: i64,
    },
    /// Its loss was accepted, and that was not finished.
    Unfinished,
}

/// Everything that was lost of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub clicks: Option<InputLoss>,
    pub consent: Option<InputLoss>,
    pub state: Option<StateLoss>,
    /// The audit does not show where the chain ends: what of it nobody can read.
    pub audit: Option<Unreadable>,
    /// The group says otherwise than state and audit: what it says.
    pub group: Option<GroupMark>,
    /// Where the partition goes on once the loss is accepted.
    pub resume: Resume,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    pub next_click: i64,
    pub next_consent: i64,
}

impl Losses {
    pub fn is_empty(&self) -> bool {
        self.clicks.is_none()
            && self.consent.is_none()
            && self.state.is_none()
            && self.audit.is_none()
            && self.group.is_none()
    }

    /// Is the consent of the partition's subjects in doubt?
    pub fn doubts_consent(&self) -> bool {
        self.consent.is_some() || self.state.is_some()
    }

    /// Where a partition begins of which nothing was decided yet: nothing before that is covered.
    pub fn begins(&self) -> Resume {
        match self.consent {
            Some(InputLoss::Unreadable { from, .. }) => {
                Resume { next_consent: from, ..self.resume }
            }
            _ => self.resume,
        }
    }

    /// May opt-out signals be gone, of clicks or of consent records?
    pub fn doubts_signals(&self) -> bool {
        self.clicks.is_some() || self.doubts_consent()
    }
}

/// Compares what is there.
pub fn find(view: &View) -> Losses {
    let (state, audit) = (state_loss(view), view.unreadable_audit.clone());
    let mut losses = Losses { state, audit, ..Losses::default() };
    let base = Base::of(view, losses.state.is_some());
    let clicks = base.next_click.map(|next| (next, base.topics.clicks, view.topics.clicks));
    let consent = base.next_consent.map(|next| (next, base.topics.consent, view.topics.consent));
    losses.clicks = clicks.and_then(|(next, was, is)| input_loss(next, view.clicks, was, is));
    losses.consent = match consent {
        Some((next, was, is)) => consent_loss(next, view, was, is)
            .or_else(|| unread(next, view).filter(|_| losses.state.is_none())),
        // Nothing was decided yet, and what comes first can't be read.
        None if losses.state.is_none() => unreadable(view.consent.start, view.unreadable),
        None => None,
    };
    if let (None, Ok(Some(state)), Some(group)) = (&losses.state, &view.state, &view.group)
        && (group.offset != state.next_click || group.metadata != state.next_sequence.to_string())
    {
        losses.group = Some(group.clone());
    }
    losses.resume = Resume {
        next_click: match losses.clicks {
            None => base.next_click.unwrap_or(view.clicks.start),
            Some(InputLoss::Removed { to, .. } | InputLoss::Unreadable { to, .. }) => to,
            // What of it was decided can't be told: to decide a click twice would count it twice.
            Some(InputLoss::CutOff { end, .. }) => end,
            Some(InputLoss::Remade { start, .. }) => start,
            Some(InputLoss::Unread { from, .. }) => from,
        },
        next_consent: match losses.consent {
            // What it still holds of a person may be the grant before the denial that is gone.
            Some(InputLoss::CutOff { end, .. }) => end,
            Some(InputLoss::Unreadable { to, .. }) => to,
            _ if losses.doubts_consent() => view.consent.start,
            _ => base.next_consent.unwrap_or(view.consent.start),
        },
    };
    losses
}

/// Up to where the inputs are known to be decided.
struct Base {
    next_click: Option<i64>,
    next_consent: Option<i64>,
    topics: TopicIds,
}

impl Base {
    /// Without a state the audit says it; without an audit, of clicks, the group.
    fn of(view: &View, state_is_lost: bool) -> Self {
        match (&view.state, &view.audit, &view.group) {
            (Ok(Some(state)), _, _) if !state_is_lost || state.recovering => Self {
                next_click: Some(state.next_click),
                next_consent: Some(state.next_consent),
                topics: state.topics,
            },
            (_, Some(audit), _) => Self {
                next_click: Some(audit.click_to),
                next_consent: Some(audit.consent_to),
                topics: TopicIds::default(),
            },
            (_, None, Some(group)) => Self {
                next_click: Some(group.offset),
                next_consent: None,
                topics: TopicIds::default(),
            },
            _ => Self { next_click: None, next_consent: None, topics: TopicIds::default() },
        }
    }
}

fn state_loss(view: &View) -> Option<StateLoss> {
    let state = match &view.state {
        Err(detail) => return Some(StateLoss::Damaged(detail.clone())),
        Ok(None) if view.group.is_none() && view.audit.is_none() => return None,
        Ok(None) => return Some(StateLoss::Missing),
        Ok(Some(state)) => state,
    };
    let ahead = match &view.audit {
        Some(audit) => {
            let forks = audit.next_sequence == state.next_sequence && audit.hash != state.head;
            (audit.next_sequence > state.next_sequence || forks).then_some(audit.next_sequence)
        }
        // No audit to ask: the group's own number was written with the state's.
        None => sequence_of(view.group.as_ref()).filter(|&group| group > state.next_sequence),
    };
    match ahead {
        Some(audit) => Some(StateLoss::Behind { state: state.next_sequence, audit }),
        None if state.recovering => Some(StateLoss::Unfinished),
        None => None,
    }
}

/// The audit sequence that the group's metadata names.
pub fn sequence_of(group: Option<&GroupMark>) -> Option<i64> {
    group.and_then(|group| group.metadata.parse().ok())
}

fn consent_loss(next: i64, view: &View, was: TopicId, is: TopicId) -> Option<InputLoss> {
    let known = was != 0 && is != 0;
    match input_loss(next, view.consent, was, is) {
        // It may be the old log with its old grants.
        Some(InputLoss::Remade { from, .. }) if !known => {
            Some(InputLoss::CutOff { from, end: view.consent.end })
        }
        None => unreadable(next, view.unreadable),
        loss => loss,
    }
}

fn unreadable(next: i64, range: Option<Range>) -> Option<InputLoss> {
    let Range { start, end } = range?;
    (start..end).contains(&next).then_some(InputLoss::Unreadable { from: next, to: end })
}

fn unread(next: i64, view: &View) -> Option<InputLoss> {
    let state = view.state.as_ref().ok()?.as_ref()?;
    let unread_for = view.now - state.consent_synced_at;
    let is_too_long = view.absence.is_some_and(|bound| unread_for > bound.max());
    is_too_long.then_some(InputLoss::Unread { from: next, unread_for })
}

fn input_loss(next: i64, range: Range, was: TopicId, is: TopicId) -> Option<InputLoss> {
    let known = was != 0 && is != 0;
    if known && was != is {
        Some(InputLoss::Remade { from: next, start: range.start })
    } else if next < range.start {
        Some(InputLoss::Removed { from: next, to: range.start })
    } else if next > range.end {
        // Without ids a log that ends too early is taken for another one, read from its beginning.
        let (from, end, start) = (next, range.end, range.start);
        Some(if known {
            InputLoss::CutOff { from, end }
        } else {
            InputLoss::Remade { from, start }
        })
    } else {
        None
    }
}

impl fmt::Display for InputLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Removed { from, to } => write!(
                f,
                "offsets {from} to {} were removed before they were decided, {} in total (the \
                 topic now begins at {to})",
                to - 1,
                to - from
            ),
            Self::CutOff { from, end } => {
                write!(
                    f,
                    "offsets {end} to {} were decided, but the topic now ends at {end}",
                    from - 1
                )
            }
            Self::Unreadable { from, to } => write!(
                f,
                "offsets {from} to {} can't be read by any client: the batch is damaged, or too large \
                 once it is decompressed (the log says more)",
                to - 1
            ),
            Self::Unread { unread_for, .. } => write!(
                f,
                "consent was not read for {}: erasures may be gone unread",
                in_words(unread_for)
            ),
            Self::Remade { from, start } => write!(
                f,
                "it was recreated: records of the old topic from offset {from} on were not decided \
                 and are lost; the new topic begins at {start}"
            ),
        }
    }
}

impl fmt::Display for StateLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => {
                write!(
                    f,
                    "the state of the partition is missing, but the partition was decided before"
                )
            }
            Self::Damaged(detail) => write!(f, "the state can't be read ({detail})"),
            Self::Behind { state, audit } => write!(
                f,
                "the state says audit sequence {state}, but the audit went on to {audit}: \
                 continuing from this state would fork the chain"
            ),
            Self::Unfinished => write!(f, "accepting its loss was interrupted"),
        }
    }
}

#[cfg(test)]
mod tests;
