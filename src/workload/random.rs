//! What a workload draws: a seed gives the same workload on every machine.

use assent_sim::SplitMix64;

#[derive(Clone, Debug)]
pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A stream of its own for one thing (a subject, a kind of event) of this seed.
    pub fn stream(seed: u64, thing: u64) -> Self {
        let mut mixed = SplitMix64::new(seed ^ thing.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self::new(mixed.next_u64())
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 0 to `bound` − 1, `bound` at least one; the bias is below bound / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// One of weighted values; the weights add up to more than zero.
    pub fn weighted<'a, T>(&mut self, from: &'a [(T, u64)]) -> &'a T {
        let total = from.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total);
        for (value, weight) in from {
            if left < *weight {
                return value;
            }
            left -= weight;
        }
        &from[0].0
    }

    /// A rank from 0 to `count` − 1, `count` at least one, in Zipf's order by octaves: first an
    /// octave, then evenly within it, so rank k comes up in proportion to 1 / 2^⌊log2(k + 1)⌋.
    pub fn zipf(&mut self, count: u64) -> u64 {
        let octaves = u64::from(count.ilog2()) + 1;
        loop {
            let first = 1 << self.below(octaves);
            let rank = first - 1 + self.below(first);
            if rank < count {
                return rank;
            }
        }
    }

    /// A version 4 UUID as text.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_come_up_most_and_all_stay_in_range() {
        let mut random = Random::new(7);
        let mut counts = [0u32; 10];
        for _ in 0..20_000 {
            counts[random.zipf(10) as usize] += 1;
        }
        assert!(counts[0] > counts[2] && counts[2] > counts[5], "{counts:?}");
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        assert_eq!(random.zipf(1), 0);
    }

    #[test]
    fn a_uuid_has_its_form() {
        let uuid = Random::new(3).uuid();
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
