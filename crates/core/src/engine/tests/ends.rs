//! An assignment's end: a grant that becomes shorter shows at once, one that becomes longer before the
//! value ends, and nothing else of a new record shows at all (INV-7).

use super::*;

/// A record that grants until then, and says nothing else that is new.
fn granted(version: i64, end: Option<Span>) -> ConsentRecord {
    let mut record = record(version, ConsentStatus::Granted);
    let grant = record.decisions.get_mut("offers").unwrap();
    grant.expires_at = end.map(|end| START + end);
    record
}

fn batch(partition: &mut Driver, at: Span, open: bool, say: Option<&ConsentRecord>) -> Vec<i64> {
    partition.begin(START + at, open);
    let consent = partition.positions().map_or(0, |at| at.next_consent);
    if let Some(record) = say {
        give(partition, consent, record);
    }
    partition.timers();
    let click = partition.positions().map_or(0, |at| at.next_click);
    if click == 0 {
        look(partition, 0, START);
        look(partition, 1, START);
    }
    let output = end(partition, click.max(2), consent + i64::from(say.is_some()));
    partition.confirm();
    let ends = output.outputs.iter().filter_map(|it| match it {
        Output::Assignment { body, .. } => Some((ends_at(body) - START).0),
        _ => None,
    });
    ends.collect()
}

/// The last but one of its fields; the rulebook's version, one character, follows.
fn ends_at(body: &[u8]) -> Timestamp {
    let end = &body[..body.len() - 2];
    let from = (1..end.len()).rev().find(|&at| end[at - 1] < 0x80).unwrap();
    Timestamp(assent_contract::domain::binary::Reader::new(&end[from..]).long().unwrap())
}

#[test]
fn a_grant_that_ends_earlier_is_written_at_once_and_another_version_alone_never() {
    let mut partition = fresh(&setup());
    let day = Span::DAY;
    assert_eq!(batch(&mut partition, Span(0), true, Some(&granted(1, None))), [LEASE.0]);
    assert_eq!(batch(&mut partition, Span::MINUTE, true, Some(&granted(2, None))), [0; 0]);
    let beyond = granted(3, Some(Span(9 * day.0)));
    assert_eq!(batch(&mut partition, Span::MINUTE, true, Some(&beyond)), [0; 0]);
    let shorter = granted(4, Some(day));
    assert_eq!(batch(&mut partition, Span::MINUTE, true, Some(&shorter)), [day.0]);
    assert_eq!(batch(&mut partition, Span::MINUTE, true, Some(&granted(5, Some(day)))), [0; 0]);
}

#[test]
fn a_grant_that_ends_earlier_behind_a_closed_gate_is_written_when_it_opens() {
    let mut partition = fresh(&setup());
    batch(&mut partition, Span(0), true, Some(&granted(1, None)));
    let shorter = granted(2, Some(Span::DAY));
    assert_eq!(batch(&mut partition, Span::MINUTE, false, Some(&shorter)), [0; 0]);
    assert_eq!(batch(&mut partition, Span::MINUTE, true, None), [Span::DAY.0]);
}

#[test]
fn a_grant_that_ends_later_is_renewed_before_its_value_ends() {
    let mut partition = fresh(&setup());
    batch(&mut partition, Span(0), true, Some(&granted(1, Some(Span(2 * Span::MINUTE.0)))));
    let longer = granted(2, None);
    assert_eq!(batch(&mut partition, Span::SECOND, true, Some(&longer)), [0; 0]);
    assert_eq!(partition.next_due(), Some(START + Span::MINUTE), "half of what it was given");
    let renewed = Span::MINUTE.0 + LEASE.0;
    assert_eq!(batch(&mut partition, Span::MINUTE, true, None), [renewed]);
}
