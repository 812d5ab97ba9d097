//! A command as the register has it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::serve::keys::KeysInUse;
use assent_contract::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use assent_contract::domain::time::Timestamp;
use assent_intake::source::Heard;
use assent_intake::{Change, Command};

/// 16 random bytes in base64url: 22 characters.
pub fn new_request_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// The same for the same statement, so that one that comes twice is known again; one without a time of its own
/// is new each time. Nobody without the keys can tell what it is of.
pub fn delivery_id(
    keys: &KeysInUse,
    source: &str,
    identity: &str,
    heard: &Heard,
    received_at: Timestamp,
) -> String {
    let said = heard.encode();
    let at = if heard.is_dated() { String::new() } else { received_at.to_string() };
    let text: [&[u8]; 8] = [
        b"delivery\0",
        source.as_bytes(),
        b"\0",
        identity.as_bytes(),
        b"\0",
        at.as_bytes(),
        b"\0",
        &said,
    ];
    URL_SAFE_NO_PAD.encode(keys.ring.finding(&text.concat()))
}

/// As it stands when it was received.
pub fn received(command: &Command, keys: &KeysInUse) -> PrivacyRequest {
    PrivacyRequest {
        request_id: command.request_id.clone(),
        kind: kind(&command.change),
        scope: scope(&command.change),
        manner: command.source.clone(),
        subject: Some(keys.ring.audit_token(command.subject_id.as_bytes())),
        received_at: command.received_at,
        status: RequestStatus::Received,
        honored_at: None,
        chain: None,
        sequence: None,
        basis_of_denial: None,
    }
}

fn kind(change: &Change) -> RequestKind {
    match change {
        Change::Put(_) | Change::Heard(_) => RequestKind::Consent,
        Change::OptOut(_) => RequestKind::OptOut,
        Change::Erase => RequestKind::Erasure,
    }
}

/// A statement about one purpose names it; about more, or about age or guardian, all.
fn scope(change: &Change) -> String {
    match change {
        Change::OptOut(scope) => scope.text().to_owned(),
        Change::Put(statement) if statement.decisions.len() == 1 => {
            statement.decisions.keys().next().cloned().unwrap_or_default()
        }
        Change::Heard(heard) if heard.choices.len() == 1 => {
            heard.choices.keys().next().cloned().unwrap_or_default()
        }
        Change::Put(_) | Change::Heard(_) | Change::Erase => "all".to_owned(),
    }
}
