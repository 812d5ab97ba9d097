//! The rulebook as a document for people: what it says, and what Assent does with it.
//!
//! Made from the [`Rulebook`] that runs, so the two can't disagree
//! (docs/contract/rulebook.md#documents). Knows no file and no clock: the same rulebook gives the same
//! bytes.

mod approaches;
mod data_map;
mod document;
mod fields;
mod gate;
mod holdout;
mod html;
mod markdown;
mod opening;
mod picture;
mod purposes;
mod retention;
mod segments;
mod site;
#[cfg(test)]
mod tests;

pub use site::{Page, site};

use self::document::Document;
use super::Rulebook;

/// The forms of the document; both say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Markdown,
    /// One page that needs nothing else.
    Html,
}

/// The whole document, in UTF-8, with a line break at its end.
pub fn render(rulebook: &Rulebook, format: Format) -> String {
    let document = document(rulebook);
    match format {
        Format::Markdown => markdown::write(&document),
        Format::Html => html::write(&document),
    }
}

/// Of what is done with people's data: the canary is nobody, and is named once.
fn document(rulebook: &Rulebook) -> Document {
    let has_canary = rulebook.has_canary();
    let rulebook = &rulebook.clone().without_canary();
    let title = format!("Rulebook {}", rulebook.version);
    let mut document = Document { title, blocks: Vec::new() };
    opening::put(&mut document, rulebook, has_canary);
    purposes::put(&mut document, rulebook);
    segments::put(&mut document, rulebook);
    fields::put(&mut document, rulebook);
    retention::put(&mut document, rulebook);
    approaches::put(&mut document, rulebook);
    gate::put(&mut document);
    data_map::put(&mut document, rulebook);
    document
}
