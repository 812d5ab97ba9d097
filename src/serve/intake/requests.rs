//! A command as the register has it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::serve::keys::KeysInUse;
use assent_contract::domain::request::{PrivacyRequest, RequestKind, RequestStatus};
use assent_intake::{Change, Command};

/// 16 random bytes in base64url: 22 characters.
pub fn new_request_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
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
        Change::Put(_) => RequestKind::Consent,
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
        Change::Put(_) | Change::Erase => "all".to_owned(),
    }
}
