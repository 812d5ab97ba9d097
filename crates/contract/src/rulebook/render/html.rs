//! A document as one HTML page that needs nothing else: no script, no font, no image, no request.
//!
//! Whatever a rulebook wrote stays text: no character of it becomes markup.

use super::document::{Block, Document, Item, Piece, Section, Text};
use crate::domain::markup::html as escaped;

const STYLE: &str = "\
body{font:16px/1.5 Georgia,serif;color:#1a1a1a;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1.5rem}
h1,h2,h3,h4,th,nav{font-family:Helvetica,Arial,sans-serif}
h1{font-size:1.9rem}h2{margin-top:2.6rem;border-bottom:1px solid #999;padding-bottom:.2rem}h3{margin:1.8rem 0 .4rem}h4{margin:1.4rem 0 .3rem;font-size:1rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:1rem 0}
th,td{border:1px solid #bbb;padding:.35rem .55rem;text-align:left;vertical-align:top}
th{background:#f0f0ec}
code{font:.85em/1.4 Menlo,Consolas,monospace;background:#f4f4f0;padding:0 .2em;overflow-wrap:break-word}
li{margin:.15rem 0}
@media print{body{max-width:none;margin:0;font-size:11pt}tr,h2,h3,h4{break-inside:avoid;break-after:auto}h2,h3,h4{break-after:avoid}}
";

/// Where a reference to a section leads.
pub(super) type Href = fn(Section) -> String;

fn on_this_page(section: Section) -> String {
    format!("#{}", section.anchor())
}

pub(super) fn write(document: &Document) -> String {
    let mut body = String::new();
    put_contents(&mut body, document);
    for block in &document.blocks {
        put_block(&mut body, block, on_this_page);
    }
    page(&document.title, "", &body)
}

/// A whole page. `style` is added to that of all pages; `body` is markup.
pub(super) fn page(title: &str, style: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

fn put_contents(out: &mut String, document: &Document) {
    out.push_str("<nav><ul>\n");
    for block in &document.blocks {
        if let Block::Section(section) = block {
            put(out, &["<li>", &link(&on_this_page(*section), &section.title()), "</li>\n"]);
        }
    }
    out.push_str("</ul></nav>\n");
}

pub(super) fn put_block(out: &mut String, block: &Block, href: Href) {
    match block {
        Block::Section(section) => {
            put(
                out,
                &["<h2 id=\"", section.anchor(), "\">", &escaped(&section.title()), "</h2>\n"],
            );
        }
        Block::Heading(text) => put(out, &["<h3>", &inline(text, href), "</h3>\n"]),
        Block::Subheading(text) => put(out, &["<h4>", &inline(text, href), "</h4>\n"]),
        Block::Paragraph(text) => put(out, &["<p>", &inline(text, href), "</p>\n"]),
        Block::List(items) => put_items(out, items, href),
        Block::Table { head, rows } => put_table(out, head, rows, href),
    }
}

fn put_items(out: &mut String, items: &[Item], href: Href) {
    out.push_str("<ul>\n");
    for item in items {
        put(out, &["<li>", &inline(&item.text, href)]);
        if !item.parts.is_empty() {
            out.push('\n');
            put_items(out, &item.parts, href);
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

fn put_table(out: &mut String, head: &[&str], rows: &[Vec<Text>], href: Href) {
    out.push_str("<table>\n<thead><tr>");
    for name in head {
        put(out, &["<th scope=\"col\">", &escaped(name), "</th>"]);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            put(out, &["<td>", &inline(cell, href), "</td>"]);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}

pub(super) fn put(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn inline(text: &Text, href: Href) -> String {
    text.0.iter().map(|it| piece(it, href)).collect()
}

fn piece(piece: &Piece, href: Href) -> String {
    match piece {
        Piece::Plain(words) => escaped(words),
        Piece::See(section) => link(&href(*section), &section.sign()),
        Piece::Strong(label) => format!("<strong>{}</strong>", escaped(label)),
        Piece::Code(name) => format!("<code>{}</code>", escaped(name)),
    }
}

pub(super) fn link(href: &str, words: &str) -> String {
    format!("<a href=\"{}\">{}</a>", escaped(href), escaped(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stands_alone() {
        let mut document = Document { title: "A & B".to_owned(), blocks: Vec::new() };
        document.section(Section::Words);
        document.list([Item { text: "a".into(), parts: vec![Item::new(Text::code("<b>"))] }]);
        let page = write(&document);
        assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en-US\">"));
        assert!(
            page.contains("<title>A &amp; B</title>")
                && page.contains("<h2 id=\"words\">1. Words</h2>")
        );
        assert!(page.contains("<li>a\n<ul>\n<li><code>&lt;b&gt;</code></li>\n</ul>\n</li>"));
        for reach in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(reach), "{reach}");
        }
    }
}
