//! docs/contract/rulebook.md#minimum-audience, naively: who is in a segment is counted anew for every batch.
//!
//! Knows neither the engine's counts nor its standings, of which it is the judge.

use std::collections::BTreeMap;

use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use assent_core::engine::audience::Heard;

/// What other partitions said counts for so long, and a partition that said nothing for so long is gone.
const HEARD_FOR: Span = Span(30_000);
const GONE_AFTER: Span = Span(7_200_000);

const HOUR: Span = Span(3_600_000);

/// A segment that is not closed. `held`: since when it is below its minimum, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclosed {
    pub held: Option<Timestamp>,
}

/// A purpose's id and a segment's.
pub type Name = (String, String);

#[derive(Clone, Default)]
pub struct Audiences {
    pub unclosed: BTreeMap<Name, Unclosed>,
    /// What the audit stated last.
    stated: Option<Vec<(Name, bool)>>,
}

/// All segments of purposes with a minimum, in the order of the rulebook, and that.
fn all(rulebook: &Rulebook) -> impl Iterator<Item = (Name, u64)> {
    rulebook.purposes.iter().flat_map(|of| {
        let least = of.min_members.map(u64::from);
        let named = move |id: &String| Some(((of.id.clone(), id.clone()), least?));
        of.segments.iter().filter_map(move |segment| named(&segment.id))
    })
}

impl Audiences {
    /// How they stand at `now`; what the audit is to state, where that is news. `own`: how many of this
    /// partition are in each, after its last batch.
    pub fn stand(
        &mut self,
        rulebook: &Rulebook,
        own: &BTreeMap<Name, u64>,
        heard: (Option<&Heard>, &[i32]),
        now: Timestamp,
    ) -> Option<String> {
        let mut told = Vec::new();
        for (place, (name, least)) in all(rulebook).enumerate() {
            let others: Vec<Option<u64>> =
                heard.1.iter().map(|at| counted(heard.0?, *at, place, rulebook, now)).collect();
            let total = own.get(&name).copied().unwrap_or(0) + others.iter().flatten().sum::<u64>();
            let before = self.unclosed.remove(&name);
            let after = match before {
                _ if total >= least => Some(Unclosed { held: None }),
                None => None,
                Some(_) if 2 * total <= least && others.iter().all(Option::is_some) => None,
                Some(Unclosed { held: None }) => Some(Unclosed { held: Some(now) }),
                Some(Unclosed { held: Some(since) }) if now >= since + HOUR => None,
                held => held,
            };
            if let Some(after) = after {
                self.unclosed.insert(name.clone(), after);
                told.push((name, after.held.is_none().then_some(total)));
            }
        }
        let states = told.iter().map(|(name, open)| (name.clone(), open.is_some())).collect();
        let has_any = all(rulebook).next().is_some();
        let is_news = has_any && self.stated.as_ref() != Some(&states);
        self.stated = Some(states);
        is_news.then(|| in_words(&told))
    }

    /// May an assignment name this segment? `named`: the one that is live does.
    pub fn may_name(&self, purpose: &str, segment: &str, named: bool) -> bool {
        let name = (purpose.to_owned(), segment.to_owned());
        self.unclosed.get(&name).is_some_and(|it| named || it.held.is_none())
    }
}

fn counted(
    heard: &Heard,
    partition: i32,
    place: usize,
    rulebook: &Rulebook,
    now: Timestamp,
) -> Option<u64> {
    let said = heard.said.get(&partition)?;
    let is_old = now >= heard.as_of + HEARD_FOR || now >= said.at + GONE_AFTER;
    let counts = said.rulebook == rulebook.sha256 && !is_old;
    said.counts.get(place).copied().filter(|_| counts)
}

fn in_words(told: &[(Name, Option<u64>)]) -> String {
    let one = |((purpose, segment), open): &(Name, Option<u64>)| match open {
        Some(total) => format!("{purpose}/{segment} open {total}"),
        None => format!("{purpose}/{segment} held"),
    };
    let words: Vec<String> = told.iter().map(one).collect();
    let said = if words.is_empty() { "none".to_owned() } else { words.join("; ") };
    format!("audiences: {said}")
}
