//! A document as Markdown. Whatever came from outside stays text: no character of it becomes markup.

use super::document::{Block, Document, Piece, Table, Text};
use assent_contract::domain::markup::markdown as escaped;

pub fn write(document: &Document) -> String {
    let mut out = format!("# {}\n", escaped(&document.title));
    for block in &document.blocks {
        if !matches!(block, Block::Picture { .. }) {
            out.push('\n');
        }
        put(&mut out, block);
    }
    out
}

fn put(out: &mut String, block: &Block) {
    match block {
        Block::Section(title) => line(out, &["## ", &escaped(title)]),
        Block::Heading(text) => line(out, &["### ", &inline(text)]),
        Block::Paragraph(text) => line(out, &[&inline(text)]),
        Block::List(items) => {
            for item in items {
                line(out, &["- ", &inline(item)]);
            }
        }
        Block::Table(table) => put_table(out, table),
        Block::Picture { .. } => {} // the table below has its numbers
    }
}

fn put_table(out: &mut String, table: &Table) {
    let head: Vec<String> = table.head.iter().map(|name| escaped(name)).collect();
    line(out, &["| ", &head.join(" | "), " |"]);
    line(out, &["|", &"---|".repeat(head.len())]);
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(inline).collect();
        line(out, &["| ", &cells.join(" | "), " |"]);
    }
}

fn line(out: &mut String, parts: &[&str]) {
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
        Piece::Strong(words) => format!("**{}**", escaped(words)),
        Piece::Blank(who, what) => format!("**\\[{who}: {}\\]**", escaped(what)),
        // A code span can't hold a backtick, nor a table's cell a bar.
        Piece::Code(name) if name.contains(|c: char| "`|".contains(c) || c.is_control()) => {
            escaped(name)
        }
        Piece::Code(name) => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_stays_text() {
        for (words, expected) in [
            ("a_b and _c_", "a_b and \\_c\\_"),
            ("<script>|`x`", "\\<script\\>\\|\\`x\\`"),
            ("- no list\nno line", "\\- no list no line"),
        ] {
            assert_eq!(escaped(words), expected);
        }
        assert_eq!(inline(&Text::code("a`|\nb")), "a\\`\\| b");
    }

    #[test]
    fn a_blank_is_marked() {
        assert_eq!(inline(&Text::blank("is it needed?")), "**\\[counsel: is it needed?\\]**");
    }
}
