//! The purposes that a batch judges: the rulebook's, and after a change those that it lacks and that
//! still have live keys. A purpose's place here is its index in audit entries and outputs.

use std::sync::Arc;

use super::stats::Stats;
use crate::domain::gate::PurposeTerms;
use crate::domain::merge::{NameId, PurposeNames};
use crate::domain::rules::Rulebook;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// Sorted by id.
    pub places: Vec<Place>,
    /// The places' ids, as the audit and the outputs name them.
    pub ids: Arc<[String]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub id: String,
    pub terms: PurposeTerms,
    /// Index into the rulebook's purposes; `None`: it lacks this one, which is judged
    /// PURPOSE_SUSPENDED until its last live key is gone.
    pub rule: Option<usize>,
}

impl Roster {
    /// `declared`: the names of the rulebook's purposes, in its order.
    pub fn new(
        rulebook: &Rulebook,
        declared: &[NameId],
        names: &PurposeNames,
        stats: &Stats,
    ) -> Self {
        let mut places: Vec<Place> = rulebook
            .purposes
            .iter()
            .zip(declared)
            .enumerate()
            .map(|(rule, (purpose, &name))| Place {
                id: purpose.id.clone(),
                terms: PurposeTerms {
                    name,
                    sale_or_share: purpose.sale_or_share,
                    requires_opt_in: purpose.requires_opt_in,
                    suspended: purpose.suspended,
                },
                rule: Some(rule),
            })
            .collect();
        let left = stats.names_with_live_keys().filter(|name| !declared.contains(name));
        places.extend(left.map(|name| Place {
            id: names.name(name).to_owned(),
            terms: PurposeTerms {
                name,
                sale_or_share: false,
                requires_opt_in: false,
                suspended: true,
            },
            rule: None,
        }));
        places.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let ids = places.iter().map(|place| place.id.clone()).collect();
        Self { places, ids }
    }

    /// Is a purpose judged that the rulebook lacks?
    pub fn has_left_over(&self) -> bool {
        self.places.iter().any(|place| place.rule.is_none())
    }
}
