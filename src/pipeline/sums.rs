//! Gauges that are sums over workers. Of members and live keys, where their purpose has a minimum audience, only
//! sums that reach it are shown.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A sample of a summed gauge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    OptOutsPending,
    StateBytes,
    Subjects(&'static str),
    LiveKeys { purpose: String, key_version: u8 },
    Members { purpose: String, segment: String },
}

/// Of purposes with a minimum audience: each worker's part.
#[derive(Default)]
pub struct SmallCounts(Mutex<BTreeMap<Sum, BTreeMap<usize, i64>>>);

impl SmallCounts {
    /// Takes one worker's part, and shows the sum of all; `None`: it is below `least`.
    pub fn show(
        &self,
        of: &Sum,
        (worker, part): (usize, i64),
        least: u32,
        show: impl FnOnce(Option<i64>),
    ) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = counts.entry(of.clone()).or_default();
        parts.insert(worker, part);
        let sum: i64 = parts.values().sum();
        show(Some(sum).filter(|sum| *sum >= i64::from(least)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_together_reach_a_minimum_or_nothing_is_shown() {
        let counts = SmallCounts::default();
        let shown = |worker, part| {
            let mut told = None;
            counts.show(&Sum::StateBytes, (worker, part), 5, |sum| told = Some(sum));
            told.expect("it was told")
        };
        assert_eq!(shown(0, 3), None);
        assert_eq!(shown(1, 2), Some(5));
        assert_eq!(shown(0, 2), None, "it fell");
        assert_eq!(shown(0, 9), Some(11));
    }
}
