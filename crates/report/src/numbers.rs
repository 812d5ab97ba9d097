//! Medians and the like of times in milliseconds.

use serde::{Serialize, Serializer};

/// Milliseconds, written as seconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s", self.0)
    }
}

/// Of some times; nothing where there are none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    pub median: Seconds,
    /// The nearest rank: the smallest of them that 99 in 100 don't exceed.
    pub p99: Seconds,
    pub max: Seconds,
}

/// Sorts them, too.
pub fn quantiles(times_ms: &mut [i64]) -> Option<Quantiles> {
    times_ms.sort_unstable();
    let max = *times_ms.last()?;
    let rank = (times_ms.len() * 99).div_ceil(100);
    Some(Quantiles {
        median: Seconds(median(times_ms)? / 1_000.0),
        p99: Seconds(times_ms[rank - 1] as f64 / 1_000.0),
        max: Seconds(max as f64 / 1_000.0),
    })
}

/// Of sorted numbers; of an even count the mean of the two in the middle.
pub fn median(sorted: &[i64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle] as f64),
        _ => Some(f64::midpoint(sorted[middle - 1] as f64, sorted[middle] as f64)),
    }
}

pub fn mean(numbers: &[i64]) -> Option<f64> {
    let sum: i128 = numbers.iter().map(|it| i128::from(*it)).sum();
    (!numbers.is_empty()).then(|| sum as f64 / numbers.len() as f64)
}

/// For a person; a dash where there is none.
pub fn or_dash<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_the_nearest_rank_and_the_worst() {
        assert_eq!(quantiles(&mut []), None);
        let of = |times: &[i64]| {
            let found = quantiles(&mut times.to_vec()).unwrap();
            (found.median.0, found.p99.0, found.max.0)
        };
        assert_eq!(of(&[5_000]), (5.0, 5.0, 5.0));
        assert_eq!(of(&[3, 1, 2, 5]), (0.0025, 0.005, 0.005));
        let hundred: Vec<i64> = (1..=100).map(|it| it * 1_000).collect();
        assert_eq!(of(&hundred), (50.5, 99.0, 100.0));
        let more: Vec<i64> = (1..=101).map(|it| it * 1_000).collect();
        assert_eq!(of(&more), (51.0, 100.0, 101.0));
        assert_eq!(mean(&[1, 2]), Some(1.5));
    }
}
