//! Contextual segments: of what is on the page, for whoever looks at it. Needs no consent, so a
//! closed gate does not stop it (INV-3).

use crate::engine::batch_log::BatchLog;
use crate::engine::output::Output;
use crate::engine::policy::Policy;
use assent_contract::domain::event::Click;
use assent_contract::domain::pseudonym::SessionKeys;
use assent_contract::domain::segment::encode_contextual;

/// Writes the contextual segments of a decided click, if any holds.
pub fn show_page(
    policy: &Policy,
    sessions: &mut SessionKeys,
    log: &mut BatchLog,
    click: &Click<'_>,
) {
    let rulebook = &policy.setup.rulebook;
    let holding = rulebook.contextual.iter().filter(|rule| rule.condition.holds(click));
    let segments: Vec<&str> = holding.map(|rule| rule.id.as_str()).collect();
    if segments.is_empty() {
        return;
    }
    let token =
        policy.setup.keys.session_token(sessions, click.session_id, click.occurred_at).text();
    let mut body = Vec::with_capacity(128);
    encode_contextual(&token, &segments, click.occurred_at, &rulebook.version, &mut body);
    log.outputs.push(Output::Contextual { session_token: token, body });
}
