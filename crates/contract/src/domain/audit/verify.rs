//! Is a chain whole? Batches are shown in the order in which they lie; any alteration, removal or
//! reordering is found, and located (INV-9).
//!
//! Serves whoever re-reads the audit. Knows neither Kafka nor what a batch decided. Keeps one hash,
//! [`GAPS_MAX`] gaps and [`FAULTS_MAX`] faults, however long the chain is and whatever was done to it.

use super::Sha256Hash;
use super::chain::GENESIS;

/// Gaps that a late batch may still fill. Beyond, the oldest counts as missing.
pub const GAPS_MAX: usize = 10_000;

/// Faults that are named; the others are counted.
pub const FAULTS_MAX: usize = 10_000;

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The batch whose hash its successor contradicts, or for the last one the state's head.
    Altered,
    /// The first that is not there.
    Missing,
    /// It lies behind a later one.
    Reordered,
    /// A second batch of one sequence.
    Forked,
}

impl FaultKind {
    pub fn label(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Reordered => "reordered",
            Self::Forked => "forked",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub sequence: i64,
    pub kind: FaultKind,
    /// Where the batch lies that shows it; `None`: there is none.
    pub offset: Option<i64>,
}

/// A batch, as far as the chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub sequence: i64,
    pub previous: Sha256Hash,
    /// Of the batch's own body.
    pub hash: Sha256Hash,
    /// Where it lies.
    pub offset: i64,
}

/// Sequences that did not come yet, though later ones did.
#[derive(Clone, Copy, Debug)]
struct Gap {
    first: i64,
    last: i64,
    /// Of the batch before the gap; `None`: unknown.
    before: Option<(Sha256Hash, i64)>,
    /// What the batch after it names as its predecessor; `None`: unknown.
    after: Option<Sha256Hash>,
    shown_at: i64,
}

/// Takes the links of one chain, in the order of their offsets.
#[derive(Debug, Default)]
pub struct ChainVerifier {
    first: Option<i64>,
    /// Where the first one lies if it is not number 0, and nothing lies before it.
    begins_late_at: Option<i64>,
    /// The first batch that there ever was must be there.
    expects_first: bool,
    /// The link with the highest sequence.
    last: Option<Link>,
    gaps: Vec<Gap>,
    /// The last link does not follow the one before it.
    jumped: bool,
    unreadable: bool,
    /// The state's: next sequence, and the hash of the one before it.
    head: Option<(i64, Sha256Hash)>,
    faults: Vec<Fault>,
    faults_left_off: u64,
}

impl ChainVerifier {
    /// `head`: what the state says of the chain, read before the chain's end was asked for.
    pub fn new(head: Option<(i64, Sha256Hash)>) -> Self {
        Self { head, ..Self::default() }
    }

    pub fn first_sequence(&self) -> Option<i64> {
        self.first
    }

    /// The highest sequence.
    pub fn last_sequence(&self) -> Option<i64> {
        self.last.map(|link| link.sequence)
    }

    /// The state's next sequence, when it was read.
    pub fn next_in_state(&self) -> Option<i64> {
        self.head.map(|(next, _)| next)
    }

    /// The log still holds whatever was written to it first: a chain that begins later lacks its
    /// beginning.
    pub fn expect_first(&mut self) {
        self.expects_first = true;
    }

    /// The hash of the batch with the highest sequence.
    pub fn head(&self) -> Option<Sha256Hash> {
        self.last.map(|link| link.hash)
    }

    /// Is there a gap, or what is no batch, directly before the link that came last?
    pub fn jumped(&self) -> bool {
        self.jumped
    }

    /// The next batch as it lies in the log. Returns whether it continues the chain: nothing that
    /// does not may be taken for what was decided next.
    pub fn push(&mut self, link: Link) -> bool {
        if self.head.is_some_and(|(next, hash)| link.sequence == next - 1 && link.hash != hash) {
            self.fault(link.sequence, FaultKind::Altered, Some(link.offset));
        }
        let Some(last) = self.last else {
            if link.sequence == 0 && link.previous != GENESIS {
                self.fault(0, FaultKind::Altered, Some(link.offset));
            }
            self.first = Some(link.sequence);
            let begins_late = link.sequence > 0 && !self.unreadable;
            self.begins_late_at = begins_late.then_some(link.offset);
            self.last = Some(link);
            return true;
        };
        if link.sequence <= last.sequence {
            self.take_late(link);
            return false;
        }
        self.jumped = std::mem::take(&mut self.unreadable) || link.sequence > last.sequence + 1;
        if link.sequence == last.sequence + 1 {
            if link.previous != last.hash {
                self.fault(last.sequence, FaultKind::Altered, Some(last.offset));
            }
        } else {
            self.note_gap(Gap {
                first: last.sequence + 1,
                last: link.sequence - 1,
                before: Some((last.hash, last.offset)),
                after: Some(link.previous),
                shown_at: link.offset,
            });
        }
        self.last = Some(link);
        true
    }

    /// A value that is no batch stands where the next one should.
    pub fn push_unreadable(&mut self, hash: Sha256Hash, offset: i64) {
        self.unreadable = true;
        let sequence = self.last.map_or(0, |last| last.sequence + 1);
        self.fault(sequence, FaultKind::Altered, Some(offset));
        if let Some(last) = self.last {
            self.last = Some(Link { sequence, previous: last.hash, hash, offset });
        }
    }

    /// One that later ones lie before: it fills a gap, or is there a second time.
    fn take_late(&mut self, link: Link) {
        let holds = |gap: &Gap| (gap.first..=gap.last).contains(&link.sequence);
        let Some(at) = self.gaps.iter().position(holds) else {
            let before_first = self.first.is_some_and(|first| link.sequence < first);
            let kind = if before_first { FaultKind::Reordered } else { FaultKind::Forked };
            if link.sequence == 0 {
                self.begins_late_at = None; // it is there, though late
            }
            self.fault(link.sequence, kind, Some(link.offset));
            return;
        };
        self.fault(link.sequence, FaultKind::Reordered, Some(link.offset));
        let gap = self.gaps.swap_remove(at);
        if link.sequence == gap.first
            && let Some((hash, offset)) = gap.before
            && link.previous != hash
        {
            self.fault(link.sequence - 1, FaultKind::Altered, Some(offset));
        }
        if link.sequence == gap.last && gap.after.is_some_and(|previous| previous != link.hash) {
            self.fault(link.sequence, FaultKind::Altered, Some(link.offset));
        }
        if gap.first < link.sequence {
            let after = Some(link.previous);
            self.note_gap(Gap { last: link.sequence - 1, after, ..gap });
        }
        if link.sequence < gap.last {
            let before = Some((link.hash, link.offset));
            self.note_gap(Gap { first: link.sequence + 1, before, ..gap });
        }
    }

    fn note_gap(&mut self, gap: Gap) {
        if self.gaps.len() >= GAPS_MAX {
            let oldest = self.gaps.swap_remove(0);
            self.fault(oldest.first, FaultKind::Missing, Some(oldest.shown_at));
        }
        self.gaps.push(gap);
    }

    /// All faults, by sequence. A chain that ends before the state's head misses what is between.
    pub fn finish(self) -> Vec<Fault> {
        self.finish_counting().0
    }

    /// The same, and how many were left off.
    pub fn finish_counting(mut self) -> (Vec<Fault>, u64) {
        for gap in std::mem::take(&mut self.gaps) {
            self.fault(gap.first, FaultKind::Missing, Some(gap.shown_at));
        }
        if let Some(offset) = self.begins_late_at.filter(|_| self.expects_first) {
            self.fault(0, FaultKind::Missing, Some(offset));
        }
        if let Some((next, _)) = self.head {
            let unread = if self.expects_first { 0 } else { next - 1 };
            let expected = self.last.map_or(unread, |last| last.sequence + 1);
            if expected < next && next > 0 {
                self.fault(expected, FaultKind::Missing, None);
            }
        }
        self.faults.sort_unstable();
        self.faults.dedup_by_key(|fault| (fault.sequence, fault.kind));
        (self.faults, self.faults_left_off)
    }

    fn fault(&mut self, sequence: i64, kind: FaultKind, offset: Option<i64>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { sequence, kind, offset });
        } else {
            self.faults_left_off += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{AuditBatch, chain};

    /// A sound chain of this many links, at offsets 10, 20, …
    fn links(count: usize) -> Vec<Link> {
        let mut previous = GENESIS;
        (0..count)
            .map(|at| {
                let hash = chain::body_hash(&[at as u8]);
                let link = Link { sequence: at as i64, previous, hash, offset: at as i64 * 10 };
                previous = hash;
                link
            })
            .collect()
    }

    fn faults(links: &[Link], head: Option<(i64, Sha256Hash)>) -> Vec<(i64, FaultKind)> {
        let mut verifier = ChainVerifier::new(head);
        for link in links {
            verifier.push(*link);
        }
        verifier.finish().into_iter().map(|fault| (fault.sequence, fault.kind)).collect()
    }

    #[test]
    fn the_contracts_chain_is_whole() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../tests/vectors/vectors.json"))
                .unwrap();
        let cases = vectors["audit_chain"]["batches"].as_array().unwrap();
        let links: Vec<Link> = cases
            .iter()
            .enumerate()
            .map(|(at, case)| {
                let hex = case["body_hex"].as_str().unwrap();
                let body: Vec<u8> = (0..hex.len() / 2)
                    .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
                    .collect();
                let batch = AuditBatch::decode(&body).unwrap();
                let hash = chain::body_hash(&body);
                assert_eq!(crate::domain::hex::hex(&hash), case["sha256"].as_str().unwrap());
                let AuditBatch { sequence, previous, .. } = batch;
                Link { sequence, previous, hash, offset: at as i64 }
            })
            .collect();
        assert_eq!(links.len(), 2);
        let head = Some((2, links[1].hash));
        assert_eq!(faults(&links, head), []);
        assert_eq!(faults(&links[..1], head), [(1, FaultKind::Missing)]);
        assert_eq!(faults(&links[1..], head), [], "retention took the first");
    }

    #[test]
    fn a_sound_chain_has_no_fault_wherever_it_begins() {
        let links = links(6);
        for from in 0..5 {
            assert_eq!(faults(&links[from..], Some((6, links[5].hash))), []);
            assert_eq!(faults(&links[from..], Some((5, links[4].hash))), [], "read on since");
        }
        assert_eq!(faults(&[], None), []);
        assert_eq!(faults(&[], Some((0, GENESIS))), []);
    }

    #[test]
    fn every_single_alteration_is_located() {
        for at in 0..6 {
            let mut links = links(6);
            let head = Some((6, links[5].hash));
            links[at].hash = [0xee; 32];
            assert_eq!(faults(&links, head), [(at as i64, FaultKind::Altered)]);
        }
        let mut links = links(3);
        links[0].previous = [1; 32];
        assert_eq!(faults(&links, None), [(0, FaultKind::Altered)]);
    }

    #[test]
    fn every_removal_is_located() {
        let links = links(6);
        let head = Some((6, links[5].hash));
        for at in 1..6 {
            let rest: Vec<Link> = links.iter().copied().filter(|l| l.sequence != at).collect();
            assert_eq!(faults(&rest, head), [(at, FaultKind::Missing)]);
        }
        let rest: Vec<Link> =
            links.iter().copied().filter(|l| ![1, 2, 4].contains(&l.sequence)).collect();
        assert_eq!(faults(&rest, head), [(1, FaultKind::Missing), (4, FaultKind::Missing)]);
        assert_eq!(faults(&[], head), [(5, FaultKind::Missing)]);
    }

    #[test]
    fn the_removal_of_the_first_is_located_where_the_log_still_begins_with_it() {
        let links = links(6);
        for from in 0..=6 {
            let mut verifier = ChainVerifier::new(Some((6, links[5].hash)));
            links[from..].iter().for_each(|link| assert!(verifier.push(*link)));
            verifier.expect_first();
            let found = verifier.finish();
            let offset = links.get(from).map(|link| link.offset);
            let missing = Fault { sequence: 0, kind: FaultKind::Missing, offset };
            assert_eq!(found, if from == 0 { vec![] } else { vec![missing] });
        }
    }

    #[test]
    fn every_reordering_and_every_second_batch_is_located() {
        let links = links(6);
        let head = Some((6, links[5].hash));
        for at in 1..5 {
            let mut swapped = links.clone();
            swapped.swap(at, at + 1);
            assert_eq!(faults(&swapped, head), [(at as i64, FaultKind::Reordered)]);
        }
        for at in 0..6 {
            let mut doubled = links.clone();
            doubled.insert(at + 1, Link { offset: 99, ..links[at] });
            assert_eq!(faults(&doubled, head), [(at as i64, FaultKind::Forked)]);
            let mut forked = links.clone();
            forked.push(Link { hash: [3; 32], ..links[at] });
            assert!(faults(&forked, None).contains(&(at as i64, FaultKind::Forked)));
        }
        let mut verifier = ChainVerifier::new(head);
        verifier.expect_first();
        for link in [1, 0, 2, 3, 4, 5].map(|at| links[at]) {
            verifier.push(link);
        }
        let found = verifier.finish();
        assert_eq!((found.len(), found[0].sequence, found[0].kind), (1, 0, FaultKind::Reordered));
        let moved = [links[0], links[4], links[1], links[3], links[2], links[5]];
        let late = [1, 2, 3].map(|at| (at, FaultKind::Reordered));
        assert_eq!(faults(&moved, head), late);
    }

    #[test]
    fn a_chain_in_ruins_takes_no_more_memory_than_a_whole_one() {
        let mut verifier = ChainVerifier::new(None);
        let ruin = |sequence| Link { sequence, previous: [1; 32], hash: [2; 32], offset: sequence };
        for at in 0..3 * FAULTS_MAX as i64 {
            verifier.push(ruin(2 * at));
        }
        assert_eq!(verifier.gaps.len(), GAPS_MAX);
        let (faults, left_off) = verifier.finish_counting();
        assert_eq!((faults.len(), left_off), (FAULTS_MAX, 2 * FAULTS_MAX as u64));
    }

    #[test]
    fn what_is_no_batch_stands_for_one() {
        let links = links(3);
        let mut verifier = ChainVerifier::new(None);
        verifier.push(links[0]);
        verifier.push_unreadable([9; 32], 10);
        assert!(verifier.push(links[2]) && verifier.jumped());
        let faults = verifier.finish();
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].sequence, faults[0].kind), (1, FaultKind::Altered));
        assert_eq!(faults[0].offset, Some(10));
    }
}
