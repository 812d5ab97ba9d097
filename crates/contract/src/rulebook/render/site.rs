//! The document as a static site: an index, a page for each section, and the history of the rulebook.
//!
//! Says what the document says, from the same blocks. Knows no clock: the day is given. The pages refer to each
//! other by relative links and need no network and no script.

use super::document::{Block, Document, Item, Section, Text};
use super::{document, html, picture};
use crate::domain::markup::html as escaped;
use crate::rulebook::Rulebook;
use crate::rulebook::diff::{Change, changes};

/// A file of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub name: String,
    pub html: String,
}

const INDEX: &str = "index.html";
const HISTORY: &str = "history.html";
const HISTORY_TITLE: &str = "History";

const STYLE: &str = "\
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;font-size:.9rem}
footer{margin-top:3rem;border-top:1px solid #999;font-size:.85rem;color:#444}
a{color:#0b4f8a}[aria-current]{font-weight:bold}
svg{width:100%;height:auto}svg text{font:13px Helvetica,Arial,sans-serif}
svg rect{fill:#f4f4f0;stroke:#555}svg path{fill:none;stroke:#555}svg .page{stroke-dasharray:5 4}
@media print{nav{display:none}}
";

/// What the pages have in common.
struct Site<'r> {
    rulebook: &'r Rulebook,
    dated: &'r str,
    sections: Vec<Section>,
}

/// All pages. `earlier`: the rulebooks before this one, the oldest first. `dated`: the day on which the site is
/// made, as it is to be read.
pub fn site(rulebook: &Rulebook, earlier: &[Rulebook], dated: &str) -> Vec<Page> {
    let mut parts = split(document(rulebook));
    let opening = parts.remove(0).1;
    let sections = parts.iter().filter_map(|(section, _)| *section).collect();
    let site = Site { rulebook, dated, sections };
    let mut pages = vec![site.index(&opening)];
    for (section, blocks) in parts {
        let Some(section) = section else { continue };
        let drawn = section == Section::DataMap;
        let picture = if drawn { picture::of(rulebook) } else { String::new() };
        pages.push(site.page(&file_of(section), &section.title(), &picture, &blocks));
    }
    let blocks = history(rulebook, earlier);
    pages.push(site.page(HISTORY, HISTORY_TITLE, "", &blocks));
    pages
}

/// The blocks before the first section, then each section with its own.
fn split(document: Document) -> Vec<(Option<Section>, Vec<Block>)> {
    let mut parts = vec![(None, Vec::new())];
    for block in document.blocks {
        if let Block::Section(section) = block {
            parts.push((Some(section), Vec::new()));
        } else if let Some((_, blocks)) = parts.last_mut() {
            blocks.push(block);
        }
    }
    parts
}

fn file_of(section: Section) -> String {
    let name = if section == Section::Words { "glossary" } else { section.anchor() };
    format!("{name}.html")
}

impl Site<'_> {
    fn index(&self, opening: &[Block]) -> Page {
        let mut list = String::from("<h2>Contents</h2>\n<ul>\n");
        for section in &self.sections {
            let link = html::link(&file_of(*section), &section.title());
            html::put(&mut list, &["<li>", &link, "</li>\n"]);
        }
        html::put(&mut list, &["<li>", &html::link(HISTORY, HISTORY_TITLE), "</li>\n</ul>\n"]);
        let title = format!("Rulebook {}", self.rulebook.version);
        // The contents stand in for the navigation of the other pages.
        let body = self.body("", "", opening, &list);
        Page { name: INDEX.to_owned(), html: html::page(&title, STYLE, &body) }
    }

    /// `before`: markup above the blocks.
    fn page(&self, name: &str, title: &str, before: &str, blocks: &[Block]) -> Page {
        let navigation = self.navigation(name);
        let body = self.body(&navigation, before, blocks, "");
        Page { name: name.to_owned(), html: html::page(title, STYLE, &body) }
    }

    fn body(&self, navigation: &str, before: &str, blocks: &[Block], after: &str) -> String {
        let mut body = navigation.to_owned();
        body.push_str("<main>\n");
        body.push_str(before);
        for block in blocks {
            html::put_block(&mut body, block, file_of);
        }
        body.push_str(after);
        body.push_str("</main>\n");
        body.push_str(&self.footer());
        body
    }

    fn navigation(&self, current: &str) -> String {
        let sections = self.sections.iter().map(|section| (file_of(*section), section.title()));
        let index = (INDEX.to_owned(), format!("Rulebook {}", self.rulebook.version));
        let history = (HISTORY.to_owned(), HISTORY_TITLE.to_owned());
        let mut out = String::from("<nav aria-label=\"Pages\"><ul>\n");
        for (file, title) in [index].into_iter().chain(sections).chain([history]) {
            let link = html::link(&file, &title);
            let link = if file == current {
                link.replacen("<a ", "<a aria-current=\"page\" ", 1)
            } else {
                link
            };
            html::put(&mut out, &["<li>", &link, "</li>\n"]);
        }
        out.push_str("</ul></nav>\n");
        out
    }

    fn footer(&self) -> String {
        format!(
            "<footer><p>Rulebook {}, SHA-256 <code>{}</code>. Made on {} by assent rules doc, from the \
             rules that Assent applies.</p></footer>\n",
            escaped(&self.rulebook.version),
            self.rulebook.sha256_hex(),
            escaped(self.dated),
        )
    }
}

/// What each version changed, the newest first.
fn history(rulebook: &Rulebook, earlier: &[Rulebook]) -> Vec<Block> {
    let mut document = Document { title: HISTORY_TITLE.to_owned(), blocks: Vec::new() };
    document.paragraph(
        "What each version of the rulebook changed against the one before it, and what that does to \
         live keys. A change that is material asks for a risk assessment within 45 days, and new \
         processing for one before it starts.",
    );
    let versions: Vec<&Rulebook> = earlier.iter().chain([rulebook]).collect();
    for pair in versions.windows(2).rev() {
        put_version(&mut document, pair[1]);
        let changes = changes(pair[0], pair[1]);
        if changes.is_empty() {
            document.paragraph("No decision changes: comments, order or layout differ.");
        }
        document.list(changes.iter().map(item));
    }
    if let Some(first) = versions.first() {
        put_version(&mut document, first);
        document.paragraph("The first version that this page was given.");
    }
    document.blocks
}

fn put_version(document: &mut Document, rulebook: &Rulebook) {
    document.heading(format!("Rulebook {}", rulebook.version));
    document.paragraph(Text::from("SHA-256 ").and_code(rulebook.sha256_hex()));
}

fn item(change: &Change) -> Item {
    let mut item = Item::new(format!("{}: {}", change.headline(), change.says));
    item.parts.push(Item::labeled("Live keys", change.live_keys.as_str()));
    if let Some(material) = change.material {
        item.parts.push(Item::labeled("Material", material.why));
    }
    item
}
