//! `verify` finds every assignment of somebody whom the rulebook holds out.

use assent_contract::domain::pseudonym::{KeyHistory, Keyset};
use assent_verify::Record;
use proptest::prelude::*;

use crate::histories::SUBJECTS;
use crate::plans;
use crate::verified::{SECRET, config, lived, purposes, verify};

proptest! {
    #![proptest_config(config())]

    /// An engine that knows of no holdout.
    #[test]
    fn an_assignment_of_somebody_held_out_is_found(history in plans::history()) {
        let mut other = history.clone();
        other.rulebook.purposes.iter_mut().for_each(|purpose| purpose.measure = None);
        let logs = lived(&other);
        let found = verify(&history, &logs);
        let found = found.iter().filter(|it| it.invariant == "INV-10").count();
        let keys = KeyHistory::new(&Keyset::first(SECRET), &purposes(&history));
        let is_held_out = |purpose: usize, record: &Record| {
            let is_of = |subject: &&&str| {
                let pseudonym = keys.pseudonym(1, purpose, subject.as_bytes()).map(|it| it.text());
                record.key.as_deref() == pseudonym.as_deref().map(str::as_bytes)
            };
            let subject = SUBJECTS.iter().find(is_of).expect("somebody's");
            let number = keys.holdout_number(purpose, subject.as_bytes());
            let measure = history.rulebook.purposes[purpose].measure.as_ref();
            record.value.is_some() && measure.is_some_and(|it| it.takes(number))
        };
        let written = logs.segments.iter().map(|(purpose, records)| {
            records.iter().filter(|record| is_held_out(*purpose, record)).count()
        });
        prop_assert_eq!(found, written.sum::<usize>());
    }
}
