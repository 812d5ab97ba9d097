//! Headings, paragraphs, lists, tables and pictures, without a form.
//!
//! What a rulebook, a topic or a file said is only ever text here; the writers escape it.

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Section(String),
    Heading(Text),
    Paragraph(Text),
    List(Vec<Text>),
    Table(Table),
    /// A picture of the table that follows it: SVG of our own making, which HTML alone shows.
    Picture {
        svg: String,
        says: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it is of; a page has it as its caption.
    pub caption: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<Text>>,
}

/// A run of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Plain(String),
    Strong(String),
    /// A name as topics, settings and the rulebook write it.
    Code(String),
    /// What a person has to fill in: who, and what.
    Blank(&'static str, String),
}

impl Text {
    pub fn code(name: impl Into<String>) -> Self {
        Self::default().and_code(name)
    }

    pub fn strong(words: impl Into<String>) -> Self {
        Self(vec![Piece::Strong(words.into())])
    }

    /// What counsel has to say.
    pub fn blank(what: impl Into<String>) -> Self {
        Self(vec![Piece::Blank("counsel", what.into())])
    }

    /// Names with commas between them; `none` where there are none.
    pub fn codes<N: AsRef<str>>(names: impl IntoIterator<Item = N>, none: &str) -> Self {
        let mut text = Self::default();
        for name in names {
            if !text.0.is_empty() {
                text = text.and(", ");
            }
            text = text.and_code(name.as_ref());
        }
        if text.0.is_empty() { Self::from(none) } else { text }
    }

    #[must_use]
    pub fn and(mut self, words: impl Into<String>) -> Self {
        self.0.push(Piece::Plain(words.into()));
        self
    }

    #[must_use]
    pub fn and_code(mut self, name: impl Into<String>) -> Self {
        self.0.push(Piece::Code(name.into()));
        self
    }

    #[must_use]
    pub fn and_text(mut self, text: Self) -> Self {
        self.0.extend(text.0);
        self
    }

    #[must_use]
    pub fn and_blank(self, what: impl Into<String>) -> Self {
        self.and_text(Self::blank(what))
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

impl From<&String> for Text {
    fn from(words: &String) -> Self {
        Self::default().and(words.as_str())
    }
}

impl From<u64> for Text {
    fn from(number: u64) -> Self {
        Self::from(number.to_string())
    }
}

impl Document {
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    pub fn section(&mut self, title: impl Into<String>) {
        self.blocks.push(Block::Section(title.into()));
    }

    pub fn heading(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub fn paragraph(&mut self, text: impl Into<Text>) {
        self.blocks.push(Block::Paragraph(text.into()));
    }

    /// Nothing where there are no items.
    pub fn list<T: Into<Text>>(&mut self, items: impl IntoIterator<Item = T>) {
        let items: Vec<Text> = items.into_iter().map(Into::into).collect();
        if !items.is_empty() {
            self.blocks.push(Block::List(items));
        }
    }

    pub fn table(&mut self, caption: impl Into<String>, head: &[&str], rows: Vec<Vec<Text>>) {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        self.blocks.push(Block::Table(Table { caption: caption.into(), head, rows }));
    }

    pub fn picture(&mut self, svg: String, says: impl Into<String>) {
        self.blocks.push(Block::Picture { svg, says: says.into() });
    }
}
