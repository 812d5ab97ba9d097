//! `kafka.properties`: which of librdkafka's properties a person may set, within which bounds, and
//! under which one name. What is not listed is refused, with the reason where there is one: an
//! invariant may rest on it, or it would run somebody's code in this process.
//!
//! Each property has one name here, so the order in which librdkafka is told doesn't matter.

mod page;
mod table;
mod together;

pub(super) use page::page;
pub(super) use together::check_together;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::tls;
use table::{ALLOWED, Allowed, REFUSED, REFUSED_BEGINNINGS, Value};

/// The name under which a property is kept: aliases are one property.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    find(name).map(|allowed| allowed.name)
}

fn find(name: &str) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|allowed| allowed.name == name || allowed.aliases.contains(&name))
}

/// Why this property can't be used. Never repeats the value, which may be a secret.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(allowed) = find(name) else { return Err(refusal(name)) };
    allowed.value.check(value)?;
    if let Some(refusal) = tls::refusal_of_property(allowed.name, value) {
        return Err(refusal);
    }
    if allowed.is_own {
        return Ok(());
    }
    match set(name, value) {
        Ok(()) => Ok(()),
        Err(KafkaError::ClientConfig(_, description, ..)) if !description.contains(value) => {
            Err(format!("{description}; see librdkafka's CONFIGURATION.md"))
        }
        Err(_) => Err("librdkafka refuses this value; see its CONFIGURATION.md".to_owned()),
    }
}

impl Value {
    fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Any => Ok(()),
            Self::Whole(least, most) => match value.parse() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(format!("must be a whole number from {least} to {most}")),
            },
            Self::OneOf(words) if words.contains(&value.to_ascii_lowercase().as_str()) => Ok(()),
            Self::OneOf(words) => Err(format!("must be {}", words.join(" or "))),
        }
    }
}

fn refusal(name: &str) -> String {
    // librdkafka takes off one `topic.`, whatever follows.
    let plain = name.strip_prefix("topic.").unwrap_or(name);
    let listed = |name: &str| REFUSED.iter().find(|(names, _)| names.contains(&name));
    let begun = |name: &str| REFUSED_BEGINNINGS.iter().find(|(start, _)| name.starts_with(start));
    if let Some((_, reason)) = listed(name).or_else(|| listed(plain)) {
        return format!("is set by Assent: {reason}; remove it");
    }
    if let Some((_, reason)) = begun(name).or_else(|| begun(plain)) {
        return format!("can't be set: {reason}; remove it");
    }
    if let Some(allowed) = find(plain) {
        return format!("write {}, without `topic.`", allowed.name);
    }
    match set(name, "1") {
        Err(KafkaError::ClientConfig(_, description, ..))
            if description.starts_with("No such configuration property") =>
        {
            format!("{description}; {LISTED}")
        }
        _ => format!("is not one of the properties that Assent passes on; {LISTED}"),
    }
}

const LISTED: &str = "docs/configuration.md lists the ones that can be set";

fn set(name: &str, value: &str) -> Result<(), KafkaError> {
    let mut client = ClientConfig::new();
    client.set(name, value);
    client.create_native_config().map(drop)
}

#[cfg(test)]
mod tests;
