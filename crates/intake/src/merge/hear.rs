//! What a platform says, taken into what stands. A platform is believed in a refusal at once, in a grant only
//! where it is the later word, and in a lower age; nothing that it leaves out changes.

use std::collections::BTreeMap;

use super::precedence;
use crate::source::{Choice, Heard, Says, Source};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent_contract::domain::time::Timestamp;

/// `stood`: the record before, if there was one.
pub fn hear(
    record: &mut ConsentRecord,
    heard: &Heard,
    stood: Option<&ConsentRecord>,
    received_at: Timestamp,
) {
    for (purpose, choice) in &heard.choices {
        choose(&mut record.decisions, purpose, choice, received_at);
    }
    if let Some(signal) = heard.signal {
        let at = signal.at.unwrap_or(received_at).min(received_at);
        record.opt_out_signal_at = record.opt_out_signal_at.max(Some(at));
    }
    if let Some(guardian) = &heard.guardian {
        let said =
            Guardian { verified_at: guardian.verified_at.min(received_at), ..guardian.clone() };
        if stood.is_none_or(|stood| is_news(&said, stood)) {
            record.guardian = Some(with(record.guardian.take(), said));
        }
    }
    if let Some(band) = heard.age_band {
        lower(record, band);
    }
}

fn choose(
    decisions: &mut BTreeMap<String, Decision>,
    purpose: &str,
    choice: &Choice,
    received_at: Timestamp,
) {
    let since = choice.since.unwrap_or(received_at).min(received_at);
    let Some(status) = choice.says.status() else {
        if let Some(stands) = decisions.get_mut(purpose) {
            extend(stands, since, choice.expires_at);
        }
        return;
    };
    let said = Decision { status, since, expires_at: choice.expires_at, notice_version: None };
    let outdone = |stands: &Decision| {
        // That nobody asked is no decision: it ends none, whenever it was said.
        choice.says == Says::NotAsked
            || (choice.since.is_none() && stands.status == status)
            || precedence(stands, &said).is_ge()
    };
    if !decisions.get(purpose).is_some_and(outdone) {
        decisions.insert(purpose.to_owned(), said);
    }
}

/// A grant that stands goes on, with the end that is given. One that had ended by then stays ended.
fn extend(stands: &mut Decision, since: Timestamp, expires_at: Option<Timestamp>) {
    let had_ended = stands.expires_at.is_some_and(|end| end <= since);
    if stands.status != ConsentStatus::Granted || since < stands.since || had_ended {
        return;
    }
    if let Some(end) = expires_at {
        stands.expires_at = Some(stands.expires_at.map_or(end, |before| before.max(end)));
    }
}

/// A guardian's consent that is older than what the shop itself wrote is not taken: the shop may have written
/// that there is none any more. What a platform wrote never says so.
fn is_news(said: &Guardian, stood: &ConsentRecord) -> bool {
    let is_of_platform = Source::of_word(&stood.source).is_some();
    is_of_platform || said.verified_at > stood.recorded_at
}

/// What was permitted before stays; what is permitted now is as of now.
fn with(before: Option<Guardian>, said: Guardian) -> Guardian {
    let Some(before) = before else { return said };
    let adds = (said.coppa_consent && !before.coppa_consent)
        || (said.coppa_disclosure && !before.coppa_disclosure)
        || (said.ccpa_authorization && !before.ccpa_authorization);
    if !adds {
        return before;
    }
    Guardian {
        verified_at: before.verified_at.max(said.verified_at),
        method: said.method,
        coppa_consent: before.coppa_consent || said.coppa_consent,
        coppa_disclosure: before.coppa_disclosure || said.coppa_disclosure,
        ccpa_authorization: before.ccpa_authorization || said.ccpa_authorization,
    }
}

/// The younger of two. Whoever was not under 13 before has no guardian who may decide for them: a survey must
/// not make one count.
fn lower(record: &mut ConsentRecord, band: AgeBand) {
    if rank(band) >= rank(record.age_band) {
        return;
    }
    if !matches!(record.age_band, AgeBand::Unknown | AgeBand::Under13) {
        record.guardian = record.guardian.take().filter(|_| band != AgeBand::Under13);
    }
    record.age_band = band;
}

/// By what may be done: an unknown age is treated as one under 13, and knowing it is less.
fn rank(band: AgeBand) -> u8 {
    match band {
        AgeBand::Under13 => 0,
        AgeBand::Unknown => 1,
        AgeBand::From13To15 => 2,
        AgeBand::From16To17 => 3,
        AgeBand::From18 => 4,
    }
}
