//! How an accepted loss stands in the audit: a batch without entries, under a "rulebook" that is the
//! statement of what was lost. Its `click_to` and `consent_to` are where the inputs go on: beyond
//! what was removed, or earlier where a topic was made anew or consent is read again. From there on
//! offsets are counted anew.

/// What the field `rulebook` of such a batch begins with; no rulebook's version may.
pub const MARK: &str = "accept-loss: ";

/// The field `rulebook` of the batch that records this statement.
pub fn in_audit(statement: &str) -> String {
    format!("{MARK}{statement}")
}

/// What was lost, if that is what this field says.
pub fn statement(rulebook: &str) -> Option<&str> {
    rulebook.strip_prefix(MARK)
}
