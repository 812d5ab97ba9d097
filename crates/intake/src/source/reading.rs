//! What one delivery comes to, and the one place where their words become ours.

use super::Source;
use super::heard::{Choice, Dated, Heard, Says};
use super::mapping::Mapping;
use super::moment::Moment;
use assent_contract::domain::consent::Guardian;
use assent_contract::wire::gpp;

/// OneTrust's bound of an identifier, in characters there; a longer one is nobody's.
const IDENTIFIER_BYTES_MAX: usize = 700;

/// Whom a platform means. Holds a raw identifier: no `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    pub kind: String,
    pub text: String,
}

impl Identifier {
    /// `None`: it is empty, or too long to be anybody's. An email address is trimmed and in lower case, since
    /// platforms and shops write the same one in different ways; every other kind is taken byte for byte.
    pub fn new(kind: &str, text: &str) -> Option<Self> {
        let text = if kind == "email" { text.trim().to_lowercase() } else { text.to_owned() };
        let is_usable = !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX;
        is_usable.then(|| Self { kind: kind.to_owned(), text })
    }
}

/// What one person decided.
#[derive(Clone, PartialEq, Eq)]
pub struct Said {
    pub identifier: Identifier,
    pub heard: Heard,
}

/// What one delivery comes to.
#[derive(Clone, Default)]
pub struct Delivery {
    pub said: Vec<Said>,
    pub notes: Notes,
}

/// What of a delivery was left out, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Receipts of tests.
    pub tests: u32,
    /// Nobody is named.
    pub nameless: u32,
    /// Purposes that no mapping has.
    pub purposes: u32,
    /// Words that neither a mapping nor the defaults have; they count as a no.
    pub words: u32,
    /// Grants without a time that can be read; they count for nothing.
    pub undated: u32,
    /// Answers about age that no mapping has.
    pub answers: u32,
}

impl Notes {
    /// By the label of a metric.
    pub fn counts(&self) -> [(&'static str, u32); 6] {
        [
            ("test", self.tests),
            ("nameless", self.nameless),
            ("purpose", self.purposes),
            ("word", self.words),
            ("undated", self.undated),
            ("answer", self.answers),
        ]
    }
}

/// Why nothing can be read of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no JSON.
    Malformed,
    /// A field is not what it should be. What is said of it may hold what it held: it is for the sender alone.
    Field { field: String, message: String },
}

impl Refused {
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), message: message.into() }
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::field(field, format!("missing field `{field}`"))
    }
}

/// What is heard of one person while a delivery is read.
pub(super) struct Building<'a> {
    source: Source,
    mapping: &'a Mapping,
    pub notes: Notes,
    pub heard: Heard,
}

/// One choice as a platform has it.
pub(super) struct Chosen<'a> {
    pub purpose: &'a str,
    pub word: &'a str,
    pub since: Moment,
    pub expires_at: Moment,
}

impl<'a> Building<'a> {
    pub fn new(source: Source, mapping: &'a Mapping) -> Self {
        Self { source, mapping, notes: Notes::default(), heard: Heard::default() }
    }

    /// Takes a choice, if its purpose is mapped.
    pub fn choose(&mut self, chosen: &Chosen<'_>) {
        let says = self.says(chosen.purpose, chosen.word);
        if let Some(says) = says {
            self.take(chosen, says);
        }
    }

    /// What a word means for a purpose that is mapped; `None`: it is not, or no purpose is named.
    pub fn says(&mut self, purpose: &str, word: &str) -> Option<Says> {
        if self.mapping.purpose(purpose).is_none() {
            self.notes.purposes += 1;
            return None;
        }
        let (says, is_known) = self.mapping.says(self.source, word);
        self.notes.words += u32::from(!is_known);
        Some(says)
    }

    /// The same of a topic, which need not be mapped.
    pub fn says_of_topic(&mut self, topic: &str, word: &str) -> Option<Says> {
        self.mapping.purpose(topic)?;
        self.says(topic, word)
    }

    /// What a word means by itself, and whether it is known.
    pub fn meaning(&self, word: &str) -> (Says, bool) {
        self.mapping.says(self.source, word)
    }

    /// A grant must have a time: it would otherwise outdo a refusal that came later.
    pub fn take(&mut self, chosen: &Chosen<'_>, says: Says) {
        let Some(purpose) = self.mapping.purpose(chosen.purpose) else { return };
        let since = chosen.since.0;
        if says <= Says::Granted && since.is_none() {
            self.notes.undated += 1;
            return;
        }
        let expires_at = chosen.expires_at.0.filter(|_| says <= Says::Granted);
        self.heard.choose(purpose.to_owned(), Choice { says, since, expires_at });
    }

    /// A guardian's consent, given at a time that is known, where the mapping says what it is worth.
    pub fn guardian(&mut self, at: Moment) {
        let (Some(terms), Some(verified_at)) = (&self.mapping.guardian, at.0) else { return };
        self.heard.guardian = Some(Guardian {
            verified_at,
            method: Some(terms.method.clone()),
            coppa_consent: terms.coppa_consent,
            coppa_disclosure: terms.coppa_disclosure,
            ccpa_authorization: terms.ccpa_authorization,
        });
    }

    /// A GPP string that opts out, or that can't be read, binds as on a click.
    pub fn gpp(&mut self, text: &str, at: Moment) {
        if gpp::signal(None, Some(text)).is_some() {
            self.heard.signal = Some(Dated { at: at.0 });
        }
    }

    /// Who it is about, and what was said. Nothing is said of nobody.
    pub fn finish(mut self, identifier: Option<&str>) -> Delivery {
        let identifier =
            identifier.and_then(|text| Identifier::new(&self.mapping.identifier_kind, text));
        let Some(identifier) = identifier else {
            self.notes.nameless += 1;
            return Delivery { said: Vec::new(), notes: self.notes };
        };
        let said = Said { identifier, heard: self.heard };
        let said = if said.heard.is_empty() { Vec::new() } else { vec![said] };
        Delivery { said, notes: self.notes }
    }
}

impl Delivery {
    /// With another part of the same delivery.
    pub(super) fn add(&mut self, other: Self) {
        self.said.extend(other.said);
        let (notes, more) = (&mut self.notes, other.notes);
        notes.tests += more.tests;
        notes.nameless += more.nameless;
        notes.purposes += more.purposes;
        notes.words += more.words;
        notes.undated += more.undated;
        notes.answers += more.answers;
    }
}
