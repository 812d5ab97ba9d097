//! What a platform said, by what is to be done with it: a change where its subject is known, held where it is
//! not, nothing where it came before.

use std::collections::BTreeSet;

use super::changelog::Changelog;
use super::identities::{Identities, key_of};
use super::intake::kept::Held;
use super::intake::{Offer, delivery_id, received};
use super::keys::KeysInUse;
use super::register::Register;
use assent_contract::domain::request::RequestStatus;
use assent_contract::domain::time::Timestamp;
use assent_intake::source::Said;
use assent_intake::{Change, Command};

pub struct Sorted {
    /// Commands with their requests, and what is held.
    pub offer: Offer,
    /// Statements that came before.
    pub known: u32,
}

pub fn sort(
    said: Vec<Said>,
    source: &str,
    keys: &KeysInUse,
    identities: &Identities,
    register: &Register,
    changelog: &Changelog,
    received_at: Timestamp,
) -> Sorted {
    let mut sorted = Sorted { offer: Offer::default(), known: 0 };
    let mut seen = BTreeSet::new();
    for Said { identifier, heard } in said {
        let identity = key_of(keys, &identifier);
        let request_id = delivery_id(keys, source, &identity, &heard, received_at);
        let before = register.find(&request_id);
        let is_known = before.is_some_and(|request| request.status != RequestStatus::Failed);
        if is_known || !seen.insert(request_id.clone()) {
            sorted.known += 1;
            continue;
        }
        let Some(subject_id) = identities.subject(&identity) else {
            let held = Held {
                request_id,
                source: source.to_owned(),
                kind: identifier.kind,
                received_at,
                heard,
            };
            sorted.offer.held.push((held.key(&identity), held));
            continue;
        };
        let partition = changelog.partition_of(&subject_id);
        let command = Command {
            request_id,
            subject_id,
            source: source.to_owned(),
            received_at,
            change: Change::Heard(heard),
        };
        sorted.offer.requests.push(received(&command, keys));
        sorted.offer.commands.push((partition, command));
    }
    sorted
}
