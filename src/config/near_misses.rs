//! Names that look like what is read here and are not: without a word they would be ignored, and the
//! default would hold where a person believes they set something.

use std::collections::BTreeSet;

use super::entries::{SECTIONS, VARIABLE_PREFIX};
use super::keys;

/// What is wrong with a variable's name, in upper case; `None`: it is ours as it should be, or
/// somebody else's. Kubernetes sets `ASSENT_SERVICE_HOST` and the like beside a service of that name.
pub(super) fn of_variable(name: &str) -> Option<String> {
    if !name.starts_with("ASSENT_") {
        return None;
    }
    let right = if name.starts_with(VARIABLE_PREFIX) {
        keys::variables().find(|known| collapsed(known) == collapsed(name) && *known != name)
    } else {
        keys::variables().find(|known| collapsed(known) == collapsed(name)).or_else(|| {
            let beginnings = SECTIONS.iter().map(|section| variable_beginning(section));
            beginnings
                .filter(|start| {
                    has_separators(name) && collapsed(name).starts_with(&collapsed(start))
                })
                .max_by_key(String::len)
                .map(|start| start + "..")
        })
    }?;
    Some(format!(
        "unknown variable that looks like {right} (the parts of a key are separated by two \
         underscores); rename it, or unset it"
    ))
}

fn has_separators(name: &str) -> bool {
    name["ASSENT_".len()..].contains("__")
}

fn variable_beginning(section: &str) -> String {
    format!("{VARIABLE_PREFIX}{}__", section.to_ascii_uppercase().replace('.', "__"))
}

/// One underscore in the place of each run of them.
fn collapsed(name: &str) -> String {
    let parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    parts.join("_") + if name.ends_with('_') { "_" } else { "" }
}

/// Two ids that a variable's name may have confused.
pub(super) fn of_ids<'a>(ids: &BTreeSet<&'a str>) -> Option<(&'a str, &'a str)> {
    let alike = |one: &str, other: &str| one.replace('-', "_") == other.replace('-', "_");
    ids.iter().find_map(|one| {
        let other = ids.iter().find(|other| one < *other && alike(one, other))?;
        Some((*one, *other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(name: &str) -> Option<String> {
        let message = of_variable(&name.to_ascii_uppercase())?;
        let (_, after) = message.split_once("looks like ")?;
        after.split_once(" (").map(|(right, _)| right.to_owned())
    }

    #[test]
    fn a_miscounted_underscore_is_named() {
        for (name, expect) in [
            ("ASSENT_KAFKA__GROUP_ID", "ASSENT__KAFKA__GROUP_ID"),
            ("ASSENT_KAFKA_GROUP_ID", "ASSENT__KAFKA__GROUP_ID"),
            ("ASSENT__KAFKA_GROUP_ID", "ASSENT__KAFKA__GROUP_ID"),
            ("ASSENT__KAFKA___GROUP_ID", "ASSENT__KAFKA__GROUP_ID"),
            ("ASSENT__KAFKA__GROUP__ID", "ASSENT__KAFKA__GROUP_ID"),
            ("assent_rulebook", "ASSENT__RULEBOOK"),
            ("ASSENT___KEYSET", "ASSENT__KEYSET"),
            ("ASSENT_SCHEMA_REGISTRY__PASSWORD_FILE", "ASSENT__SCHEMA_REGISTRY__PASSWORD_FILE"),
            ("ASSENT_KAFKA__PROPERTIES__SASL_PASSWORD", "ASSENT__KAFKA__PROPERTIES__.."),
            ("ASSENT_KAFKA__PROPERTIES_SASL_PASSWORD", "ASSENT__KAFKA__PROPERTIES__.."),
            ("ASSENT_CONSENT__SOURCES__CMP__ON_SILENCE", "ASSENT__CONSENT__SOURCES__.."),
            ("ASSENT_KAFKA__GRUOP", "ASSENT__KAFKA__.."),
        ] {
            assert_eq!(right(name).as_deref(), Some(expect), "{name}");
        }
    }

    #[test]
    fn what_is_ours_or_somebody_elses_is_let_be() {
        for name in keys::variables() {
            assert_eq!(of_variable(&name), None, "{name}");
        }
        for name in [
            "ASSENT_REVISION",
            "ASSENT_CRASH_AT",
            "ASSENT_SERVICE_HOST",
            "ASSENT_PORT_9464_TCP_ADDR",
            "ASSENT_KAFKA_SERVICE_PORT",
            "ASSENT_KAFKA_PORT",
            "ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD",
            "ASSENT__CONSENT__SOURCES__WEB___CMP__MAX_SILENCE",
            "ASSENTIAL__X",
            "HOME",
        ] {
            assert_eq!(of_variable(name), None, "{name}");
        }
    }

    #[test]
    fn ids_that_differ_in_their_dash_are_two_names_of_one() {
        let check = |ids: &[&str]| of_ids(&ids.iter().copied().collect()).is_some();
        assert!(check(&["web-cmp", "web_cmp"]));
        assert!(!check(&["web-cmp", "web", "cmp_web"]));
    }
}
