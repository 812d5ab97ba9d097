//! Properties that say something only together: how to log in.

use std::collections::BTreeMap;

use super::table::MECHANISMS;
use crate::config::oauth::{NEEDED, PROPERTIES_OF_LOGIN};

const LOGIN: &[&str] = &["sasl.mechanism", "sasl.username", "sasl.password"];

/// The property at fault, and why; by their one name each.
pub(in crate::config) fn check_together(
    properties: &BTreeMap<String, String>,
) -> Result<(), (&'static str, String)> {
    let lower = |name: &str| properties.get(name).map(|text| text.to_ascii_lowercase());
    let is_set = |name: &&&str| properties.contains_key(**name);
    let protocol = lower("security.protocol").unwrap_or_else(|| "plaintext".to_owned());
    if !protocol.starts_with("sasl_") {
        return match LOGIN.iter().chain(PROPERTIES_OF_LOGIN).find(is_set) {
            None => Ok(()),
            Some(set) => Err((
                "security.protocol",
                format!(
                    "is {protocol}, which does not log in, so {set} would be ignored; set it to \
                     SASL_SSL or SASL_PLAINTEXT, or remove the properties of the login"
                ),
            )),
        };
    }
    let Some(mechanism) = lower("sasl.mechanism") else {
        let known = MECHANISMS.join(", ").to_ascii_uppercase();
        return Err((
            "sasl.mechanism",
            format!("is not set, but security.protocol is {protocol}; set it to one of {known}"),
        ));
    };
    let password = &LOGIN[1..];
    let (needed, ignored) = match mechanism.as_str() {
        "oauthbearer" => (NEEDED, password),
        _ => (password, PROPERTIES_OF_LOGIN),
    };
    if let Some(name) = needed.iter().find(|name| !is_set(name)) {
        let why = format!("is not set, but sasl.mechanism {mechanism} needs it; set it");
        return Err((name, why));
    }
    match ignored.iter().find(is_set) {
        None => Ok(()),
        Some(name) => {
            let why = format!("is set, but sasl.mechanism {mechanism} ignores it; remove it");
            Err((name, why))
        }
    }
}
