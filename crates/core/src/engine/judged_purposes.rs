//! The purposes that a batch judges: those of the rulebook and, after a change of rulebook, former ones
//! that still have live keys. Audit entries and outputs refer to a purpose by its index here.

use std::sync::Arc;

use super::stats::Stats;
use assent_contract::domain::gate::PurposeTerms;
use assent_contract::domain::merge::{NameId, PurposeNames};
use assent_contract::rulebook::Rulebook;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedPurposes {
    /// Sorted by id.
    pub purposes: Vec<JudgedPurpose>,
    /// The purposes' ids, as the audit and the outputs name them.
    pub ids: Arc<[String]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedPurpose {
    pub id: String,
    pub terms: PurposeTerms,
    /// Index into the rulebook's purposes; `None`: it lacks this one, which is judged
    /// PURPOSE_SUSPENDED until its last live key is gone.
    pub rule: Option<usize>,
}

impl JudgedPurposes {
    /// `declared`: the names of the rulebook's purposes, in its order.
    pub fn new(
        rulebook: &Rulebook,
        declared: &[NameId],
        names: &PurposeNames,
        stats: &Stats,
    ) -> Self {
        let mut purposes: Vec<JudgedPurpose> = rulebook
            .purposes
            .iter()
            .zip(declared)
            .enumerate()
            .map(|(rule, (purpose, &name))| JudgedPurpose {
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
        purposes.extend(left.map(|name| JudgedPurpose {
            id: names.name(name).to_owned(),
            terms: PurposeTerms {
                name,
                sale_or_share: false,
                requires_opt_in: false,
                suspended: true,
            },
            rule: None,
        }));
        purposes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let ids = purposes.iter().map(|judged| judged.id.clone()).collect();
        Self { purposes, ids }
    }

    /// Is a purpose judged that the rulebook lacks?
    pub fn has_left_over(&self) -> bool {
        self.purposes.iter().any(|judged| judged.rule.is_none())
    }
}
