//! Sums of the pipeline's metrics, as the demo shows them.

use std::collections::BTreeMap;

use prometheus::IntCounterVec;
use prometheus::core::Collector;

/// The sum over all labels.
pub fn total(counter: &IntCounterVec) -> u64 {
    by(counter, |_| String::new()).values().sum()
}

/// The sums by one label, without those that are 0.
pub fn by_label(counter: &IntCounterVec, label: &str) -> BTreeMap<String, u64> {
    by(counter, |labels| labels.get(label).cloned().unwrap_or_default())
}

/// The sums by two labels, without those that are 0.
pub fn by_labels(
    counter: &IntCounterVec,
    first: &str,
    second: &str,
) -> BTreeMap<String, BTreeMap<String, u64>> {
    let label = |labels: &BTreeMap<String, String>, name: &str| {
        labels.get(name).cloned().unwrap_or_default()
    };
    let firsts = by(counter, |labels| label(labels, first)).into_keys();
    let seconds = firsts.map(|one| {
        let sums = by(counter, |labels| {
            if label(labels, first) == one { label(labels, second) } else { String::new() }
        });
        (one, sums.into_iter().filter(|(name, _)| !name.is_empty()).collect())
    });
    seconds.collect()
}

fn by(
    counter: &IntCounterVec,
    group: impl Fn(&BTreeMap<String, String>) -> String,
) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for family in counter.collect() {
        for metric in family.get_metric() {
            let labels = metric
                .get_label()
                .iter()
                .map(|label| (label.name().to_owned(), label.value().to_owned()))
                .collect();
            let value = metric.get_counter().get_value() as u64;
            if value > 0 {
                *sums.entry(group(&labels)).or_default() += value;
            }
        }
    }
    sums
}

/// `a 1, b 2`; `none` where there is nothing.
pub fn render(sums: &BTreeMap<String, u64>) -> String {
    let parts: Vec<_> = sums
        .iter()
        .filter(|(_, sum)| **sum > 0)
        .map(|(name, sum)| format!("{name} {sum}"))
        .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn counters_are_summed_by_one_label() {
        let metrics = Metrics::new();
        for (topic, outcome, by) in [("a", "decided", 3), ("b", "decided", 4), ("b", "applied", 5)]
        {
            metrics.outcomes_total.with_label_values(&[topic, outcome]).inc_by(by);
        }
        let sums = by_label(&metrics.outcomes_total, "outcome");
        assert_eq!(render(&sums), "applied 5, decided 7");
        assert_eq!(total(&metrics.outcomes_total), 12);
        let by_topic = by_labels(&metrics.outcomes_total, "topic", "outcome");
        assert_eq!(render(&by_topic["a"]), "decided 3");
        assert_eq!(render(&by_topic["b"]), "applied 5, decided 4");
        assert_eq!(render(&BTreeMap::new()), "none");
    }
}
