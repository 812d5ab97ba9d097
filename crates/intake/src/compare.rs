//! What a platform has, beside what stands: what is stricter there was lost on the way here.

use crate::merge::outdoes;
use crate::source::{Choice, Heard, Says};
use assent_contract::domain::consent::{ConsentRecord, ConsentStatus};
use assent_contract::domain::time::Timestamp;

/// How they differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Refusals that would win here. They are to be written.
    pub stricter: Heard,
    /// Grants that are not here, by purpose and since when. Nothing is to be written: here somebody may have
    /// refused, and a grant that was lost can be given again.
    pub looser: Vec<(String, Option<Timestamp>)>,
}

/// `stands`: `None`: nothing does.
pub fn compare(stands: Option<&ConsentRecord>, heard: &Heard, now: Timestamp) -> Compared {
    let mut compared = Compared::default();
    for (purpose, choice) in &heard.choices {
        let decision = stands.and_then(|record| record.decisions.get(purpose));
        let status = decision.map(|decision| decision.status);
        let is_refused = matches!(status, Some(ConsentStatus::Denied | ConsentStatus::Withdrawn));
        match choice.says {
            Says::Denied | Says::Withdrawn
                if !is_refused
                    && decision.is_none_or(|decision| outdoes(choice, decision, now)) =>
            {
                compared.stricter.choices.insert(purpose.clone(), choice.clone());
            }
            Says::Granted if status != Some(ConsentStatus::Granted) => {
                compared.looser.push((purpose.clone(), choice.since));
            }
            _ => {}
        }
    }
    compared
}

/// The refusals of it: what may be kept of somebody who can't be compared.
pub fn refusals(heard: &Heard) -> Heard {
    let is_refusal = |choice: &Choice| matches!(choice.says, Says::Denied | Says::Withdrawn);
    let refused = heard.choices.iter().filter(|(_, choice)| is_refusal(choice));
    Heard {
        choices: refused.map(|(purpose, choice)| (purpose.clone(), choice.clone())).collect(),
        ..Heard::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn heard(says: Says, since: i64) -> Heard {
        let choice = Choice { says, since: Some(Timestamp(since)), expires_at: None };
        Heard { choices: BTreeMap::from([("ads".to_owned(), choice)]), ..Heard::default() }
    }

    fn record(status: &str, since: i64) -> ConsentRecord {
        serde_json::from_str(&format!(
            r#"{{"subject_id": "s", "version": 1, "recorded_at": 0,
                "decisions": {{"ads": {{"status": "{status}", "since": {since}}}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn what_is_stricter_there_is_written_and_what_is_looser_is_told() {
        let check = |stands: Option<ConsentRecord>, says, since, stricter: bool, looser: bool| {
            let found = compare(stands.as_ref(), &heard(says, since), Timestamp(100));
            assert_eq!(!found.stricter.is_empty(), stricter, "{says:?} {since}");
            assert_eq!(!found.looser.is_empty(), looser, "{says:?} {since}");
        };
        check(Some(record("GRANTED", 5)), Says::Withdrawn, 6, true, false);
        check(Some(record("GRANTED", 5)), Says::Withdrawn, 5, true, false);
        check(Some(record("GRANTED", 5)), Says::Withdrawn, 4, false, false);
        check(Some(record("NOT_ASKED", 5)), Says::Denied, 6, true, false);
        check(Some(record("DENIED", 5)), Says::Withdrawn, 6, false, false);
        check(Some(record("WITHDRAWN", 5)), Says::Granted, 6, false, true);
        check(Some(record("WITHDRAWN", 5)), Says::Granted, 4, false, true);
        check(Some(record("GRANTED", 5)), Says::Granted, 6, false, false);
        check(Some(record("GRANTED", 5)), Says::NotAsked, 6, false, false);
        check(None, Says::Denied, 1, true, false);
        check(None, Says::Granted, 1, false, true);
        check(None, Says::Extended, 1, false, false);
    }

    #[test]
    fn of_a_stranger_the_refusals_are_kept() {
        assert!(refusals(&heard(Says::Granted, 1)).is_empty());
        assert_eq!(refusals(&heard(Says::Withdrawn, 1)), heard(Says::Withdrawn, 1));
    }
}
