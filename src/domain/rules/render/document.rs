//! A document before it has a form: headings, paragraphs, lists and tables of text.
//!
//! Knows no Markdown and no HTML. What a rulebook wrote is only ever text here; the writers escape it.

pub(super) struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

pub(super) enum Block {
    Section { anchor: &'static str, title: &'static str },
    Heading(Text),
    Paragraph(Text),
    List(Vec<Item>),
    Table { head: &'static [&'static str], rows: Vec<Vec<Text>> },
}

pub(super) struct Item {
    pub text: Text,
    pub parts: Vec<Item>,
}

/// A run of pieces.
#[derive(Default)]
pub(super) struct Text(pub Vec<Piece>);

pub(super) enum Piece {
    Plain(String),
    Strong(&'static str),
    /// A name as the topics and the rulebook write it.
    Code(String),
}

impl Text {
    pub fn code(name: impl Into<String>) -> Self {
        Self::default().and_code(name)
    }

    /// Names, with commas between them; `none` where there are none.
    pub fn codes<'n>(names: impl IntoIterator<Item = &'n str>, none: &str) -> Self {
        let mut text = Self::default();
        for name in names {
            if !text.0.is_empty() {
                text = text.and(", ");
            }
            text = text.and_code(name);
        }
        if text.0.is_empty() { Self::from(none) } else { text }
    }

    pub fn strong(label: &'static str) -> Self {
        Self(vec![Piece::Strong(label)])
    }

    pub fn and(mut self, words: impl Into<String>) -> Self {
        self.0.push(Piece::Plain(words.into()));
        self
    }

    pub fn and_code(mut self, name: impl Into<String>) -> Self {
        self.0.push(Piece::Code(name.into()));
        self
    }

    pub fn and_text(mut self, text: Self) -> Self {
        self.0.extend(text.0);
        self
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        Self::default().and(words)
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        Self::default().and(words)
    }
}

impl Item {
    pub fn new(text: impl Into<Text>) -> Self {
        Self { text: text.into(), parts: Vec::new() }
    }

    /// `Label: text`.
    pub fn labeled(label: &'static str, text: impl Into<Text>) -> Self {
        Self::new(Text::strong(label).and(": ").and_text(text.into()))
    }
}

impl Document {
    pub fn section(&mut self, anchor: &'static str, title: &'static str) {
        self.blocks.push(Block::Section { anchor, title });
    }

    pub fn heading(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub fn paragraph(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Paragraph(text.into()));
    }

    pub fn list(&mut self, items: impl IntoIterator<Item = Item>) {
        self.blocks.push(Block::List(items.into_iter().collect()));
    }

    pub fn table(&mut self, head: &'static [&'static str], rows: Vec<Vec<Text>>) {
        self.blocks.push(Block::Table { head, rows });
    }
}
