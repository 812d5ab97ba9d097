//! Contextual segments: of what is on the page, for whoever looks at it. Needs no consent, so a
//! closed gate does not stop it (INV-3).

use super::output::Output;
use super::partition::Partition;
use crate::domain::event::Click;
use crate::domain::segment::encode_contextual;

impl Partition {
    /// Writes the contextual segments of a decided click, if any holds.
    pub(super) fn show_page(&mut self, click: &Click<'_>) {
        let rulebook = &self.mandate.setup.rulebook;
        let holding = rulebook.contextual.iter().filter(|rule| rule.condition.holds(click));
        let segments: Vec<&str> = holding.map(|rule| rule.id.as_str()).collect();
        if segments.is_empty() {
            return;
        }
        let token =
            self.mandate.setup.keys.session_token(click.session_id, click.occurred_at).text();
        let mut body = Vec::with_capacity(128);
        encode_contextual(&token, &segments, click.occurred_at, &rulebook.version, &mut body);
        let work = self.work.as_deref_mut().expect("a batch was begun");
        work.outputs.push(Output::Contextual { session_token: token, body });
    }
}
