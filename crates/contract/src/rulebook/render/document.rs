//! A document before it has a form: headings, paragraphs, lists and tables of text.
//!
//! Knows no Markdown and no HTML. What a rulebook wrote is only ever text here; the writers escape it.

pub(super) struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

/// The sections, in their order. A reference to one is `§` and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Words,
    Purposes,
    Segments,
    Fields,
    Retention,
    Approaches,
    Gate,
    DataMap,
}

impl Section {
    /// (anchor, title)
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Words => ("words", "Words"),
            Self::Purposes => ("purposes", "Purposes"),
            Self::Segments => ("segments", "Segments by purpose"),
            Self::Fields => ("fields", "Fields of a click that are read, and why"),
            Self::Retention => ("retention", "Retention"),
            Self::Approaches => ("approaches", "Risk and auditability of each approach"),
            Self::Gate => ("gate", "The gate: when data may be used"),
            Self::DataMap => ("data-map", "Data map"),
        }
    }

    pub fn anchor(self) -> &'static str {
        self.names().0
    }

    /// With its number, as its heading has it.
    pub fn title(self) -> String {
        format!("{}. {}", self.number(), self.names().1)
    }

    /// As others refer to it.
    pub fn sign(self) -> String {
        format!("§{}", self.number())
    }

    fn number(self) -> usize {
        self as usize + 1
    }
}

pub(super) enum Block {
    Section(Section),
    Heading(Text),
    /// Under a heading.
    Subheading(Text),
    Paragraph(Text),
    List(Vec<Item>),
    Table {
        head: &'static [&'static str],
        rows: Vec<Vec<Text>>,
    },
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
    /// A reference to a section.
    See(Section),
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

    pub fn and_see(mut self, section: Section) -> Self {
        self.0.push(Piece::See(section));
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
    pub fn section(&mut self, section: Section) {
        self.blocks.push(Block::Section(section));
    }

    pub fn heading(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub fn subheading(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Subheading(text.into()));
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
