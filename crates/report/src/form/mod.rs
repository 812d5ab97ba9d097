//! The forms of a report. [`Document`] is a report before it has one.

mod document;
mod html;
mod markdown;

pub use document::{Block, Document, Piece, Table, Text};

/// What can be shown as a document.
pub trait Report {
    fn document(&self) -> Document;
}

/// CommonMark with GitHub's tables, with a line break at its end.
pub fn markdown(document: &Document) -> String {
    markdown::write(document)
}

/// One page that needs nothing else.
pub fn html(document: &Document) -> String {
    html::write(document)
}
