//! The strict reader of a mapping: only known fields, and each of its own kind.
//!
//! A faulty value is named and stood in for by an empty one, so that every other fault is found in
//! the same run; a rulebook with a fault never runs.

use super::themes;
use crate::domain::time::Span;
use crate::yaml::{Content, Faults, Node, Place, Placed};

/// A mapping whose fields are all known.
pub(super) struct Fields<'n> {
    pub place: Place,
    entries: &'n [(Placed<String>, Node)],
}

impl<'n> Fields<'n> {
    /// `what` is the mapping's name in messages.
    pub fn of(node: &'n Node, what: &str, known: &[&str], faults: &mut Faults) -> Option<Self> {
        let Content::Map(entries) = &node.content else {
            let message = format!("{what} must be a mapping with {}", listed(known));
            faults.add(node.place, message);
            return None;
        };
        for (name, _) in entries {
            if !known.contains(&name.value.as_str()) {
                faults.add(name.place, unknown_field(&name.value, what, known));
            }
        }
        Some(Self { place: node.place, entries })
    }

    pub fn find(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.value == name).map(|(_, node)| node)
    }

    /// `advice` says what to write where it is missing.
    pub fn required(&self, name: &str, advice: &str, faults: &mut Faults) -> Option<&'n Node> {
        let found = self.find(name);
        if found.is_none() {
            faults.add(self.place, format!("`{name}` is missing; {advice}"));
        }
        found
    }

    /// Empty where it is missing or faulty.
    pub fn text(&self, name: &str, advice: &str, faults: &mut Faults) -> Placed<String> {
        match self.required(name, advice, faults) {
            None => self.place.with(String::new()),
            Some(node) => text(node, name, advice, faults),
        }
    }

    pub fn switch(&self, name: &str, advice: &str, faults: &mut Faults) -> bool {
        self.required(name, advice, faults).is_some_and(|node| switch(node, name, faults))
    }

    pub fn switch_or_off(&self, name: &str, faults: &mut Faults) -> bool {
        self.find(name).is_some_and(|node| switch(node, name, faults))
    }

    pub fn duration(&self, name: &str, advice: &str, faults: &mut Faults) -> Option<Placed<Span>> {
        duration(self.required(name, advice, faults)?, name, faults)
    }
}

fn unknown_field(name: &str, what: &str, known: &[&str]) -> String {
    if themes::is_age_field(name) {
        return format!(
            "unknown field `{name}`: no rule may use an exact age or a birth date; use `age_band`, \
             or `product_age_range` for the age that a product is made for"
        );
    }
    format!("unknown field `{name}`: {what} has {}", listed(known))
}

/// `a`, `b` and `c`.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

pub(super) fn text(node: &Node, name: &str, advice: &str, faults: &mut Faults) -> Placed<String> {
    let value = match &node.content {
        _ if node.is_null() => None,
        Content::Text { text, .. } if !text.trim().is_empty() => Some(text.clone()),
        Content::Text { .. } => None,
        Content::List(_) | Content::Map(_) => {
            faults.add(node.place, format!("`{name}` must be a text; {advice}"));
            return node.place.with(String::new());
        }
    };
    if value.is_none() {
        faults.add(node.place, format!("`{name}` is empty; {advice}"));
    }
    node.place.with(value.unwrap_or_default())
}

fn switch(node: &Node, name: &str, faults: &mut Faults) -> bool {
    if let Content::Text { text, plain: true } = &node.content {
        match text.as_str() {
            "true" | "True" | "TRUE" => return true,
            "false" | "False" | "FALSE" => return false,
            _ => {}
        }
    }
    faults.add(node.place, format!("`{name}` must be true or false, without quotes"));
    false
}

/// Whole seconds, and at most 50 years: no click counts that is older, so every one that counts lies after
/// 1970.
fn is_sensible(span: Span) -> bool {
    span.0 % Span::SECOND.0 == 0 && (Span::SECOND.0..=18_262 * Span::DAY.0).contains(&span.0)
}

pub(super) fn duration(node: &Node, name: &str, faults: &mut Faults) -> Option<Placed<Span>> {
    let span = match &node.content {
        Content::Text { text, .. } => Span::parse(text).filter(|span| is_sensible(*span)),
        Content::List(_) | Content::Map(_) => None,
    };
    if span.is_none() {
        let message = format!(
            "`{name}` must be a duration; write a whole number above 0 with s, m, h or d, for \
             example 7d, of at most 50 years"
        );
        faults.add(node.place, message);
    }
    span.map(|span| node.place.with(span))
}

pub(super) fn integer(node: &Node, name: &str, faults: &mut Faults) -> Option<Placed<i64>> {
    let number = match &node.content {
        Content::Text { text, plain: true } => text.parse::<i64>().ok(),
        _ => None,
    };
    if number.is_none() {
        faults.add(node.place, format!("`{name}` must be a whole number, without quotes"));
    }
    number.map(|number| node.place.with(number))
}

/// The items of a list that must not be empty.
pub(super) fn items<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> &'n [Node] {
    match &node.content {
        Content::List(items) if !items.is_empty() => items,
        Content::List(_) => {
            faults.add(node.place, format!("`{name}` is an empty list; name at least one value"));
            &[]
        }
        Content::Text { .. } | Content::Map(_) => {
            faults.add(node.place, format!("`{name}` must be a list; write [..]"));
            &[]
        }
    }
}

/// One value, or a list of them that must not be empty.
pub(super) fn one_or_more<'n>(node: &'n Node, name: &str, faults: &mut Faults) -> &'n [Node] {
    match &node.content {
        Content::List(_) => items(node, name, faults),
        _ => std::slice::from_ref(node),
    }
}
