//! Which sequences of a chain were there: runs, however many batches they hold.

/// Ascending, with a gap between each two.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    runs: Vec<(i64, i64)>,
}

impl Seen {
    pub fn insert(&mut self, sequence: i64) {
        let at = self.runs.partition_point(|(_, last)| *last < sequence);
        if self.runs.get(at).is_some_and(|(first, _)| *first <= sequence) {
            return;
        }
        let joins_before = at > 0 && self.runs[at - 1].1 + 1 == sequence;
        let joins_after = self.runs.get(at).is_some_and(|(first, _)| sequence + 1 == *first);
        match (joins_before, joins_after) {
            (true, true) => self.runs[at - 1].1 = self.runs.remove(at).1,
            (true, false) => self.runs[at - 1].1 = sequence,
            (false, true) => self.runs[at].0 = sequence,
            (false, false) => self.runs.insert(at, (sequence, sequence)),
        }
    }

    pub fn has(&self, sequence: i64) -> bool {
        self.first_missing(sequence, sequence).is_none()
    }

    /// Of this range, the first that was not there.
    pub fn first_missing(&self, first: i64, last: i64) -> Option<i64> {
        let at = self.runs.partition_point(|(_, end)| *end < first);
        match self.runs.get(at) {
            Some((from, to)) if *from <= first => (*to < last).then_some(to + 1),
            _ => Some(first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_in_any_order_become_runs() {
        let mut seen = Seen::default();
        for sequence in [5, 6, 1, 2, 4, 9, 6, 3, 0] {
            seen.insert(sequence);
        }
        assert_eq!(seen.runs, [(0, 6), (9, 9)]);
        for (range, missing) in
            [((0, 6), None), ((0, 7), Some(7)), ((7, 9), Some(7)), ((9, 9), None)]
        {
            assert_eq!(seen.first_missing(range.0, range.1), missing, "{range:?}");
        }
        assert!(seen.has(0) && !seen.has(8) && !seen.has(10));
        assert_eq!(Seen::default().first_missing(0, 3), Some(0));
    }
}
