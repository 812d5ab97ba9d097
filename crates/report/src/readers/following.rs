//! One purpose's topic, record by record: what each reader has not applied, and which keys it may have used after
//! their person had asked to be left out.

use std::collections::BTreeMap;

use super::position::Position;
use super::{BUSINESS_DAYS, Key, OfPurpose, OfReader, Told, Unapplied};
use crate::period::{business_days_after, business_days_past};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::{Purpose, Reader};

/// Reasons of tombstones that follow a person's own request.
const REQUESTED: [&str; 3] = ["opted_out", "opt_out_signal", "erasure"];

/// When people acted, by purpose, time of decision and reason: as a tombstone names them. Several decisions of one
/// batch share these; the earliest request counts, the strictest reading.
#[derive(Default)]
pub struct Requests(BTreeMap<(String, Timestamp, String), Timestamp>);

impl Requests {
    pub fn is_request(reason: &str) -> bool {
        REQUESTED.contains(&reason)
    }

    pub fn note(&mut self, purpose: &str, decided_at: Timestamp, reason: &str, at: Timestamp) {
        let key = (purpose.to_owned(), decided_at, reason.to_owned());
        let known = self.0.entry(key).or_insert(at);
        *known = at.min(*known);
    }

    /// Never later than the decision: clocks of two hosts.
    fn of(&self, purpose: &str, decided_at: Timestamp, reason: &str) -> Option<Timestamp> {
        let key = (purpose.to_owned(), decided_at, reason.to_owned());
        self.0.get(&key).map(|at| (*at).min(decided_at))
    }
}

/// A record of a segment topic.
pub struct Segment<'r> {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: &'r str,
    /// Reason and time of decision of a tombstone; `None`: an assignment.
    pub tombstone: Option<(&'r str, Timestamp)>,
}

/// The last assignment of a key that was seen.
#[derive(Clone, Copy)]
struct Last {
    offset: i64,
    timestamp: Timestamp,
}

/// Takes some 80 bytes for each key of the partition that is being read.
pub struct Following<'a> {
    requests: &'a Requests,
    now: Timestamp,
    /// Most keys that are named.
    limit: usize,
    last: BTreeMap<String, Last>,
    found: OfPurpose,
}

impl<'a> Following<'a> {
    /// `positions`: of each reader of the purpose, each partition of its topic, in order.
    pub fn of(
        purpose: &Purpose,
        positions: Vec<Vec<Position>>,
        requests: &'a Requests,
        now: Timestamp,
        limit: usize,
    ) -> Self {
        let readers = purpose.readers.iter().zip(positions);
        let found = OfPurpose {
            purpose: purpose.id.clone(),
            sale_or_share: purpose.sale_or_share,
            readers: readers.map(|(reader, partitions)| standing(reader, partitions)).collect(),
            keys: Vec::new(),
            keys_count: 0,
        };
        Self { requests, now, limit, last: BTreeMap::new(), found }
    }

    /// Another partition begins: keys of two partitions are different ones.
    pub fn next_partition(&mut self) {
        self.last.clear();
    }

    /// The next record of the partition.
    pub fn see(&mut self, record: &Segment<'_>) {
        let Some((reason, decided_at)) = record.tombstone else {
            let Segment { offset, timestamp, .. } = *record;
            self.last.insert(record.key.to_owned(), Last { offset, timestamp });
            return;
        };
        let requested_at = self.requests.of(&self.found.purpose, decided_at, reason);
        for reader in &mut self.found.readers {
            if !has_applied(reader, record) {
                reader.unapplied_tombstones += 1;
                note_oldest(reader, record, (reason, decided_at), requested_at, self.now);
            }
        }
        let last = self.last.remove(record.key);
        if Requests::is_request(reason) {
            self.name(record, (reason, decided_at), requested_at, last);
        }
    }

    fn name(
        &mut self,
        record: &Segment<'_>,
        (reason, removed_at): (&str, Timestamp),
        requested_at: Option<Timestamp>,
        last: Option<Last>,
    ) {
        let mut told = Vec::new();
        for reader in &mut self.found.readers {
            // A tombstone follows an assignment: one that compaction has removed may have been read.
            let may_have_read =
                last.is_none_or(|last| next_offset(reader, record.partition) > last.offset);
            if may_have_read {
                reader.keys_count += 1;
                let has_applied = has_applied(reader, record);
                told.push(Told { reader: reader.reader.clone(), has_applied });
            }
        }
        if told.is_empty() {
            return;
        }
        self.found.keys_count += 1;
        if self.found.keys.len() < self.limit {
            self.found.keys.push(Key {
                key: record.key.to_owned(),
                reason: reason.to_owned(),
                requested_at,
                removed_at,
                written_after_request: requested_at.and_then(|at| Some(last?.timestamp >= at)),
                readers: told,
            });
        }
    }

    pub fn finish(self) -> OfPurpose {
        self.found
    }
}

fn standing(reader: &Reader, partitions: Vec<Position>) -> OfReader {
    OfReader {
        reader: reader.id.clone(),
        kind: reader.kind,
        group_id: reader.group_id.clone(),
        partitions,
        unapplied_tombstones: 0,
        oldest: None,
        keys_count: 0,
    }
}

fn next_offset(reader: &OfReader, partition: i32) -> i64 {
    let of_partition = reader.partitions.iter().find(|it| it.partition == partition);
    of_partition.map_or(0, |it| it.next_offset)
}

fn has_applied(reader: &OfReader, record: &Segment<'_>) -> bool {
    record.offset < next_offset(reader, record.partition)
}

/// A time limit runs from the request, where it is known: that is earlier than the tombstone.
fn note_oldest(
    reader: &mut OfReader,
    record: &Segment<'_>,
    (reason, removed_at): (&str, Timestamp),
    requested_at: Option<Timestamp>,
    now: Timestamp,
) {
    let due_at = business_days_after(requested_at.unwrap_or(removed_at), BUSINESS_DAYS);
    let began = |it: &Unapplied| it.requested_at.unwrap_or(it.removed_at);
    if reader.oldest.as_ref().is_some_and(|it| began(it) <= requested_at.unwrap_or(removed_at)) {
        return;
    }
    reader.oldest = Some(Unapplied {
        partition: record.partition,
        offset: record.offset,
        reason: reason.to_owned(),
        requested_at,
        removed_at,
        due_at,
        overdue_business_days: business_days_past(due_at, now),
    });
}

#[cfg(test)]
mod tests {
    use super::super::position::Source;
    use super::*;
    use assent_contract::domain::time::Span;
    use assent_contract::rulebook::ReaderKind;

    const DAY: i64 = Span::DAY.0;

    fn purpose(readers: &[&str]) -> Purpose {
        let text = format!(
            "rulebook: a\ndefault_segment: all\npurposes:\n  - {{id: ads, title: Ads, sale_or_share: true, \
             requires_opt_in: true, retention: 30d, readers: [{}]}}\nsegments:\n  - {{id: s, title: S, why: W, \
             owner: o@shop.example, approach: behavioral, purpose: ads, \
             when: {{count: {{of: any, within: 7d, at_least: 1}}}}}}\n",
            readers
                .iter()
                .map(|id| format!("{{id: {id}, kind: third_party, group_id: g-{id}}}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let rulebook = assent_contract::rulebook::compile(text.as_bytes()).expect("it compiles");
        rulebook.purposes[0].clone()
    }

    fn at(next_offset: i64) -> Vec<Position> {
        vec![Position { partition: 0, source: Source::Committed, next_offset, end: 9, at: None }]
    }

    fn record(offset: i64, key: &str, day: i64) -> Segment<'_> {
        Segment { partition: 0, offset, timestamp: Timestamp(day * DAY), key, tombstone: None }
    }

    fn removed<'r>(offset: i64, key: &'r str, reason: &'r str, day: i64) -> Segment<'r> {
        let tombstone = Some((reason, Timestamp(day * DAY)));
        Segment { tombstone, ..record(offset, key, day) }
    }

    fn follow(records: &[Segment<'_>], requests: &Requests, now: i64, limit: usize) -> OfPurpose {
        let positions = vec![at(2), at(9), at(0)];
        let purpose = purpose(&["behind", "current", "new"]);
        let mut following =
            Following::of(&purpose, positions, requests, Timestamp(now * DAY), limit);
        for record in records {
            following.see(record);
        }
        following.finish()
    }

    #[test]
    fn the_oldest_is_by_the_request_and_overdue_after_fifteen_business_days() {
        let mut requests = Requests::default();
        // 1970-01-05 is a Monday, day 4.
        requests.note("ads", Timestamp(20 * DAY), "opted_out", Timestamp(6 * DAY));
        requests.note("ads", Timestamp(20 * DAY), "opted_out", Timestamp(4 * DAY));
        let records = [
            record(0, "a", 1),
            record(1, "b", 1),
            removed(2, "b", "segments_left", 10),
            removed(3, "a", "opted_out", 20),
        ];
        let found = follow(&records, &requests, 27, 10);
        let [behind, current, new] = &found.readers[..] else { panic!("three") };
        let oldest = behind.oldest.as_ref().expect("one");
        assert_eq!((oldest.offset, oldest.requested_at), (3, Some(Timestamp(4 * DAY))));
        assert_eq!((oldest.due_at, oldest.overdue_business_days), (Timestamp(26 * DAY), 2));
        assert_eq!((behind.unapplied_tombstones, new.unapplied_tombstones), (2, 2));
        assert_eq!((current.unapplied_tombstones, &current.oldest), (0, &None));
        assert_eq!(behind.kind, ReaderKind::ThirdParty);
    }

    #[test]
    fn who_has_read_a_key_between_request_and_tombstone_is_named() {
        let mut requests = Requests::default();
        requests.note("ads", Timestamp(20 * DAY), "opted_out", Timestamp(15 * DAY));
        let records = [
            record(0, "early", 1),
            record(1, "late", 16),
            removed(3, "early", "opted_out", 20),
            removed(4, "late", "opted_out", 20),
            removed(5, "compacted", "erasure", 21),
            removed(6, "over", "segments_left", 21),
        ];
        let found = follow(&records, &requests, 22, 10);
        let names: Vec<_> =
            found.keys.iter().map(|key| (&*key.key, key.written_after_request)).collect();
        assert_eq!(names, [("early", Some(false)), ("late", Some(true)), ("compacted", None)]);
        let told = |at: usize| -> Vec<(&str, bool)> {
            found.keys[at].readers.iter().map(|it| (&*it.reader, it.has_applied)).collect()
        };
        assert_eq!(told(0), [("behind", false), ("current", true)], "`new` has read nothing");
        assert_eq!(told(2), [("behind", false), ("current", true), ("new", false)]);
        assert_eq!((found.keys_count, found.readers[0].keys_count), (3, 3));
        let few = follow(&records, &requests, 22, 1);
        assert_eq!((few.keys.len(), few.keys_count), (1, 3), "counted, not named");
    }
}
