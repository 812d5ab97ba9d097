//! Properties that say something only together: how to log in.

use std::collections::BTreeMap;

use super::table::MECHANISMS;

const LOGIN: &[&str] = &["sasl.mechanism", "sasl.username", "sasl.password"];

/// The property at fault, and why; by their one name each.
pub(in crate::config) fn check_together(
    properties: &BTreeMap<String, String>,
) -> Result<(), (&'static str, String)> {
    let lower = |name: &str| properties.get(name).map(|text| text.to_ascii_lowercase());
    let protocol = lower("security.protocol").unwrap_or_else(|| "plaintext".to_owned());
    if !protocol.starts_with("sasl_") {
        return match LOGIN.iter().find(|name| properties.contains_key(**name)) {
            None => Ok(()),
            Some(set) => Err((
                "security.protocol",
                format!(
                    "is {protocol}, which does not log in, so {set} would be ignored; set it to \
                     SASL_SSL or SASL_PLAINTEXT, or remove the properties that begin with sasl."
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
    let missing = |name: &&&str| !properties.contains_key(**name);
    match ["sasl.username", "sasl.password"].iter().find(missing) {
        Some(name) if mechanism != "oauthbearer" => {
            Err((name, format!("is not set, but sasl.mechanism {mechanism} needs it; set it")))
        }
        _ => Ok(()),
    }
}
