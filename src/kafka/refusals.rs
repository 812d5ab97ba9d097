//! What clients were refused, as they hear it: notes for whoever looks what it was (`pipeline::rights`).
//!
//! librdkafka goes on trying after each of these. Some it tells once and no more, so that a note says when to
//! look, not what holds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::rights::is_refusal_code;
use assent_contract::domain::foreign_text::shown;

#[derive(Default)]
struct Notes {
    /// Something came since the last look.
    is_new: bool,
    /// A producer was refused its transactional id, and none was let in since.
    transactions: bool,
    /// Why a login, or TLS, failed last.
    login: Option<String>,
}

static NOTES: Mutex<Notes> = Mutex::new(Notes { is_new: false, transactions: false, login: None });

fn notes() -> MutexGuard<'static, Notes> {
    NOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error that a client met; `reason` is librdkafka's own.
pub fn note(code: Code, reason: &str) {
    let is_login =
        matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL);
    if !is_login && !is_refusal_code(code) {
        return;
    }
    let mut notes = notes();
    notes.is_new = true;
    notes.transactions |= code == Code::TransactionalIdAuthorizationFailed;
    if is_login {
        notes.login = Some(shown(reason));
    }
}

/// Did anything come since this was asked last?
pub fn is_new() -> bool {
    std::mem::take(&mut notes().is_new)
}

/// Is a transactional id refused?
pub fn of_transactions() -> bool {
    notes().transactions
}

/// A producer was let in.
pub fn transactions_begin() {
    notes().transactions = false;
}

/// Why a login, or TLS, failed last.
pub fn of_login() -> Option<String> {
    notes().login.clone()
}

/// The brokers answer this user.
pub fn is_let_in() {
    notes().login = None;
}
