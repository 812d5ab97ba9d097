//! A document as Markdown (CommonMark, with GitHub's tables).
//!
//! Whatever a rulebook wrote stays text: no character of it becomes markup.

use super::document::{Block, Document, Item, Piece, Text};
use crate::domain::markup::markdown as escaped;

pub(super) fn write(document: &Document) -> String {
    let mut out = format!("# {}\n", escaped(&document.title));
    for block in &document.blocks {
        out.push('\n');
        put_block(&mut out, block);
    }
    out
}

fn put_block(out: &mut String, block: &Block) {
    match block {
        Block::Section(section) => put_line(out, &["## ", &section.title()]),
        Block::Heading(text) => put_line(out, &["### ", &inline(text)]),
        Block::Subheading(text) => put_line(out, &["#### ", &inline(text)]),
        Block::Paragraph(text) => put_line(out, &[&inline(text)]),
        Block::List(items) => put_items(out, items, 0),
        Block::Table { head, rows } => put_table(out, head, rows),
    }
}

fn put_items(out: &mut String, items: &[Item], depth: usize) {
    for item in items {
        put_line(out, &[&"  ".repeat(depth), "- ", &inline(&item.text)]);
        put_items(out, &item.parts, depth + 1);
    }
}

fn put_table(out: &mut String, head: &[&str], rows: &[Vec<Text>]) {
    put_line(out, &["| ", &head.join(" | "), " |"]);
    put_line(out, &["|", &"---|".repeat(head.len())]);
    for row in rows {
        let cells: Vec<String> = row.iter().map(inline).collect();
        put_line(out, &["| ", &cells.join(" | "), " |"]);
    }
}

fn put_line(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
    out.push('\n');
}

fn inline(text: &Text) -> String {
    text.0.iter().map(piece).collect()
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Plain(words) => escaped(words),
        Piece::Strong(label) => format!("**{label}**"),
        Piece::See(section) => format!("[{}](#{})", section.sign(), slug(&section.title())),
        // A code span can't hold a backtick, nor a table's cell a bar.
        Piece::Code(name) if name.contains(['`', '|', '\n', '\r']) => escaped(name),
        Piece::Code(name) => format!("`{name}`"),
    }
}

/// What GitHub makes of a heading, to be linked to.
fn slug(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::document::Section;
    use super::*;

    #[test]
    fn a_name_that_no_code_span_can_hold_is_text() {
        assert_eq!(inline(&Text::code("a-b").and(" ").and_code("a`|b")), "`a-b` a\\`\\|b");
    }

    #[test]
    fn a_reference_is_a_link_to_the_headings_own_anchor() {
        let text = Text::from("see ").and_see(Section::Gate);
        assert_eq!(inline(&text), "see [§7](#7-the-gate-when-data-may-be-used)");
    }

    #[test]
    fn lists_nest_and_tables_have_a_head() {
        let mut document = Document { title: "T".to_owned(), blocks: Vec::new() };
        document.list([Item { text: "a".into(), parts: vec![Item::new("b")] }]);
        document.table(&["x", "y"], vec![vec!["1".into(), Text::code("z")]]);
        assert_eq!(write(&document), "# T\n\n- a\n  - b\n\n| x | y |\n|---|---|\n| 1 | `z` |\n");
    }
}
