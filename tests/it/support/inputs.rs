//! What a test's people say and do, as JSON to change at will and to give to [`super::Shop`].

use serde_json::{Value, json};

use super::now_ms;

/// An adult who decided a minute ago, the same for each of these purposes, in both steps.
pub fn consent(subject_id: &str, version: i64, status: &str, purposes: &[&str]) -> Value {
    let since = now_ms() - 60_000;
    let decision =
        json!({"status": status, "since": since, "expires_at": null, "notice_version": null});
    let decisions: serde_json::Map<String, Value> =
        purposes.iter().map(|purpose| ((*purpose).to_owned(), decision.clone())).collect();
    json!({
        "subject_id": subject_id, "version": version, "recorded_at": now_ms(),
        "age_band": "FROM_18", "decisions": decisions, "guardian": null,
        "double_opt_in_at": since, "opt_out_signal_at": null, "source": "test", "receipt_id": null,
    })
}

/// A look at a preschool toy, now, by a browser that asks for nothing.
pub fn view(subject_id: &str) -> Value {
    json!({
        "event_id": "5f0c3b8e-9a51-4f4a-8f65-3f1d0b8a4a11",
        "subject_id": subject_id, "session_id": format!("session-of-{subject_id}"),
        "occurred_at": now_ms(), "kind": "PRODUCT_VIEW", "category": "preschool-toys",
        "product_id": "p-1", "product_age_range": null, "value_cents": null, "region": null,
        "gpc": false, "gpp": null,
    })
}

/// The JSON with these fields instead of its own.
#[allow(clippy::needless_pass_by_value)] // a `json!` at every call
pub fn with(mut json: Value, fields: Value) -> Value {
    super::shop::merge(&mut json, &fields);
    json
}
