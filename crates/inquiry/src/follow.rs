//! A subject's entries in the order of the audit, with what the two inputs still have of them: what stood when
//! one of them was decided.

use std::collections::BTreeMap;

use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

use crate::row::Found;
use crate::story::{Story, Told};

/// What the inputs still have of one subject.
#[derive(Default)]
pub struct Inputs<'a> {
    /// By offset: every record under the subject's key.
    pub consent: BTreeMap<i64, Told<'a>>,
    /// By offset: of the clicks that bear an opt-out signal, when they occurred.
    pub signals: BTreeMap<i64, Timestamp>,
    /// The first offset that the clickstream still holds. Of earlier clicks nobody tells what they bore.
    pub clicks_from: i64,
}

/// Rulebooks by the hash of their file.
pub type Rulebooks<'a> = &'a dyn Fn(&Sha256Hash) -> Option<&'a Rulebook>;

/// Follows the entries up to and with `until`; `None`: all of them. `whole`: the audit is told from its beginning.
pub fn follow<'p>(
    purposes: impl IntoIterator<Item = &'p str>,
    entries: &[Found],
    until: Option<&Found>,
    inputs: &Inputs<'_>,
    rulebooks: Rulebooks<'_>,
    whole: bool,
) -> Story {
    let mut story = Story::new(purposes, whole);
    take_unaudited(&mut story, entries, inputs, rulebooks);
    for found in entries {
        if until.is_some_and(|until| (found.at, found.place) > (until.at, until.place)) {
            break;
        }
        step(&mut story, found, inputs, rulebooks);
    }
    story
}

/// Records from before the audit that is still there: nobody tells what became of them, so they are merged as
/// they come.
fn take_unaudited(
    story: &mut Story,
    entries: &[Found],
    inputs: &Inputs<'_>,
    rulebooks: Rulebooks<'_>,
) {
    let Some(first) = entries.first() else { return };
    let audited = entries.iter().filter(|it| it.entry.input == InputKind::Consent);
    let begin = audited.filter_map(|it| it.entry.offset).min().unwrap_or(first.head.consent_from);
    for (_, told) in inputs.consent.range(..begin) {
        let now = match told {
            Told::Record { append_time, .. } | Told::Erasure { append_time } => *append_time,
            Told::Undecodable | Told::Gone => Timestamp::MIN,
        };
        story.take(now, None, *told, rulebooks(&first.head.rulebook_sha256));
    }
}

fn step(story: &mut Story, found: &Found, inputs: &Inputs<'_>, rulebooks: Rulebooks<'_>) {
    let (head, entry) = (&found.head, &found.entry);
    let now = head.decided_at;
    match (entry.input, entry.offset) {
        (InputKind::Consent, Some(offset)) => {
            let told = inputs.consent.get(&offset).copied().unwrap_or(Told::Gone);
            story.take(now, Some(entry.outcome), told, rulebooks(&head.rulebook_sha256));
        }
        (InputKind::Click, Some(offset)) => {
            story.pass(now);
            match inputs.signals.get(&offset) {
                Some(at) => story.signal(now, *at),
                None if offset < inputs.clicks_from => story.lost.signal |= may_bear_signal(found),
                None => {}
            }
        }
        _ => story.pass(now),
    }
    if !matches!(entry.outcome, Outcome::TooLate | Outcome::DeadLettered | Outcome::Forwarded) {
        story.stands(entry.consent_version);
    }
}

/// A click that bears a signal allows no sale or sharing, as long as nothing lifted it. Of one that was not
/// decided only a signal names the subject.
fn may_bear_signal(found: &Found) -> bool {
    found.entry.verdicts.is_empty() || found.entry.verdicts.iter().any(|it| !it.allows())
}

/// Must the click itself be looked at, to know whether it bears a signal?
pub fn is_candidate(found: &Found) -> bool {
    found.entry.input == InputKind::Click && may_bear_signal(found)
}
