//! Raw configuration: every key's text and where it comes from; later sources win.
//!
//! File, then `ASSENT__SECTION__KEY` variables, then the files that `<key>_file` names. Knows which
//! sections there are, and nothing of what values mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{keys, near_misses, properties, yaml};
use crate::failure::{Failure, Result};

pub(super) const SECTIONS: &[&str] = &[
    "kafka",
    "kafka.properties",
    "schema_registry",
    "topics",
    "consent",
    "consent.sources",
    "pipeline",
    "http",
    "audit",
    "serve",
    "serve.tls",
    "serve.clients",
    "serve.subject_tokens",
    "intake",
    "intake.sources",
];

pub(super) const PROPERTIES: &str = "kafka.properties.";
pub(super) const SOURCES: &str = "consent.sources.";
pub(super) const CLIENTS: &str = "serve.clients.";
pub(super) const INTAKE_SOURCES: &str = "intake.sources.";

/// Sections in which a person chooses ids, what each of them has, and how a message says so. In the name of a
/// variable, `___` stands for the `-` of an id.
const IDENTIFIED: &[(&str, &[&str], &str)] = &[
    (SOURCES, &["max_silence", "on_silence"], "a source has max_silence and on_silence"),
    (CLIENTS, &["token_file", "allow", "publishable"], CLIENT_HAS),
    (
        INTAKE_SOURCES,
        &[
            "secret_file",
            "identifier_kind",
            "purposes",
            "statuses",
            "age_questions",
            "guardian.method",
            "guardian.permits",
            "api.url",
            "api.token_file",
            "api.ca_file",
        ],
        "a source of the intake has secret_file, identifier_kind, purposes, statuses, age_questions, \
         guardian {method, permits} and api {url, token_file, ca_file}",
    ),
];

pub(super) const CLIENT_HAS: &str = "a client has id, token_file, allow and publishable";

pub(super) const VARIABLE_PREFIX: &str = "ASSENT__";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File { line: usize, column: usize },
    Variable(String),
    Default,
}

/// Not printed: `text` may be a secret.
#[derive(Clone)]
pub(super) struct Entry {
    /// `None`: written as null, which is the default.
    pub text: Option<String>,
    pub origin: Origin,
}

pub(super) struct Entries {
    /// As a person named it; for messages.
    file: PathBuf,
    map: BTreeMap<String, Entry>,
}

impl Entries {
    /// `file` and `yaml`: the configuration file's name and text; no text: there is none.
    pub fn read(
        file: &Path,
        yaml: Option<&str>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut entries = Self { file: file.to_owned(), map: BTreeMap::new() };
        let flat = yaml::flatten(yaml.unwrap_or_default())
            .map_err(|fault| Failure::config(format!("{}:{fault}", file.display())))?;
        for (key, entry) in flat {
            entries.take(&key, entry)?;
        }
        entries.refuse_unknown()?;
        entries.overlay(variables)?;
        entries.refuse_unknown()?;
        entries.read_secret_files()?;
        Ok(entries)
    }

    /// A key of the file. A property's alias is the property.
    fn take(&mut self, written: &str, entry: Entry) -> Result<()> {
        let key = one_name(written);
        if self.map.insert(key.clone(), entry).is_none() {
            return Ok(());
        }
        Err(self.refuse(
            &key,
            &format!("{written} is another name of this property and is set too; keep one"),
        ))
    }

    pub fn get(&self, key: &str) -> Option<(&str, &Origin)> {
        let entry = self.map.get(key)?;
        Some((entry.text.as_deref()?, &entry.origin))
    }

    /// The keys that have a text below a prefix that ends in a dot, without it.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.map
            .iter()
            .filter(|(_, entry)| entry.text.is_some())
            .filter_map(move |(key, _)| key.strip_prefix(prefix))
    }

    /// One message: where it was written, the key, what is wrong and what to do.
    pub fn refuse(&self, key: &str, message: &str) -> Failure {
        let origin = self.map.get(key).map_or(&Origin::Default, |entry| &entry.origin);
        Failure::config(match origin {
            Origin::File { line, column } => {
                format!("{}:{line}:{column}: {key}: {message}", self.file.display())
            }
            Origin::Variable(name) => format!("{name}: {key}: {message}"),
            Origin::Default => format!("{key}: {message}"),
        })
    }

    fn refuse_unknown(&self) -> Result<()> {
        for (key, entry) in &self.map {
            if SECTIONS.contains(&key.as_str()) && entry.text.is_some() {
                return Err(self.refuse(key, "this is a section; write its keys below it"));
            }
            if !is_known(key, entry.text.is_some()) {
                return Err(self.refuse(key, &format!("unknown key; {}", neighbors_of(key))));
            }
        }
        Ok(())
    }

    fn overlay(&mut self, variables: &BTreeMap<String, String>) -> Result<()> {
        for (name, value) in variables {
            let upper = name.to_ascii_uppercase();
            if let Some(message) = near_misses::of_variable(&upper) {
                return Err(Failure::config(format!("{name}: {message}")));
            }
            let Some(path) = upper.strip_prefix(VARIABLE_PREFIX) else { continue };
            let key = one_name(&key_of_variable(path));
            if let Some(Entry { origin: Origin::Variable(other), .. }) = self.map.get(&key) {
                let message = format!("{other} and {name} both set {key}; unset one");
                return Err(Failure::config(message));
            }
            self.map.remove(&twin(&key));
            let entry = Entry { text: Some(value.clone()), origin: Origin::Variable(name.clone()) };
            self.map.insert(key, entry);
        }
        Ok(())
    }

    /// Puts what `<key>_file` names in the place of `<key>`.
    fn read_secret_files(&mut self) -> Result<()> {
        let keys: Vec<String> =
            self.map.keys().filter(|key| is_secret_file(key)).cloned().collect();
        for key in keys {
            let Some((path, origin)) = self.get(&key) else { continue };
            let secret_key = twin(&key);
            if self.get(&secret_key).is_some() {
                return Err(
                    self.refuse(&key, &format!("{secret_key} is set too; keep one of the two"))
                );
            }
            let path = self.folder().join(path);
            let secret = std::fs::read_to_string(&path)
                .map_err(|e| self.refuse(&key, &format!("{}: {e}", path.display())))?;
            let text = Some(secret.trim_end_matches(['\r', '\n']).to_owned());
            let entry = Entry { text, origin: origin.clone() };
            self.map.remove(&key);
            self.map.insert(secret_key, entry);
        }
        Ok(())
    }

    /// The ids below a prefix that ends in a dot, also those with nothing said of them.
    pub fn ids(&self, prefix: &str) -> BTreeSet<&str> {
        let below = self.map.keys().filter_map(|key| key.strip_prefix(prefix));
        below.map(|rest| rest.split_once('.').map_or(rest, |(id, _)| id)).collect()
    }

    /// What relative paths are relative to.
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

fn is_known(key: &str, has_text: bool) -> bool {
    if let Some(name) = key.strip_prefix(PROPERTIES) {
        return !name.is_empty();
    }
    for (prefix, names, _) in IDENTIFIED {
        if let Some(rest) = key.strip_prefix(prefix) {
            return rest.split_once('.').map_or(!has_text, |(_, name)| names.contains(&name));
        }
    }
    keys::is_declared(key) || SECTIONS.contains(&key)
}

fn neighbors_of(key: &str) -> String {
    if let Some((_, _, said)) = IDENTIFIED.iter().find(|(prefix, ..)| key.starts_with(prefix)) {
        return (*said).to_owned();
    }
    let is_above =
        |section: &&&str| key.strip_prefix(**section).is_some_and(|rest| rest.starts_with('.'));
    let Some(section) = SECTIONS.iter().filter(is_above).max_by_key(|section| section.len()) else {
        return "the top-level keys are kafka, schema_registry, topics, consent, pipeline, http, \
                audit, serve, intake, rulebook and keyset"
            .to_owned();
    };
    let prefix = format!("{section}.");
    let sections = SECTIONS.iter().filter_map(|known| known.strip_prefix(&prefix));
    let names: Vec<&str> = keys::names_below(&prefix).chain(sections).collect();
    format!("{section} has {}", names.join(", "))
}

/// `KAFKA__PROPERTIES__SASL_PASSWORD` → `kafka.properties.sasl.password`, and
/// `CONSENT__SOURCES__WEB___CMP__ON_SILENCE` → `consent.sources.web-cmp.on_silence`.
fn key_of_variable(path: &str) -> String {
    let path = path.to_ascii_lowercase();
    let mut beginnings = IDENTIFIED.iter().map(|(prefix, ..)| prefix.replace('.', "__"));
    let path = match beginnings.find(|beginning| path.starts_with(beginning)) {
        Some(start) => format!("{start}{}", path[start.len()..].replace("___", "-")),
        None => path,
    };
    let key = path.replace("__", ".");
    match key.strip_prefix(PROPERTIES) {
        Some(name) => format!("{PROPERTIES}{}", property_of_variable(name)),
        None => key,
    }
}

fn property_of_variable(name: &str) -> String {
    let (name, suffix) = match name.strip_suffix("_file") {
        Some(name) => (name, "_file"),
        None => (name, ""),
    };
    format!("{}{suffix}", name.replace('_', "."))
}

/// The key under which a property is kept, whichever of its names was written.
fn one_name(key: &str) -> String {
    let Some(name) = key.strip_prefix(PROPERTIES) else { return key.to_owned() };
    let (name, suffix) = name.strip_suffix("_file").map_or((name, ""), |name| (name, "_file"));
    format!("{PROPERTIES}{}{suffix}", properties::canonical(name).unwrap_or(name))
}

fn is_secret_file(key: &str) -> bool {
    key == "schema_registry.password_file"
        || (key.starts_with(PROPERTIES) && key.ends_with("_file"))
}

/// `<key>` for `<key>_file`, and the other way round.
fn twin(key: &str) -> String {
    match key.strip_suffix("_file") {
        Some(key) => key.to_owned(),
        None => format!("{key}_file"),
    }
}
