//! A document as one HTML page that needs nothing else: no script, no font, no file, no request.
//!
//! Whatever came from outside stays text: no character of it becomes markup.

use super::document::{Block, Document, Piece, Table, Text};
use assent_contract::domain::markup::html as escaped;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1a1a;--page:#fff;--line:#8a8a84;--head:#f0f0ec;--blank:#fff1b8;--on-blank:#1a1a1a}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--page:#16181b;--line:#7d8288;--head:#26292e;--blank:#5a4a00;--on-blank:#fff}}
body{font:16px/1.5 Georgia,serif;color:var(--ink);background:var(--page);max-width:64rem;margin:2rem auto;padding:0 1.5rem}
h1,h2,h3,th,caption{font-family:Helvetica,Arial,sans-serif}
h1{font-size:1.9rem}h2{margin-top:2.4rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}h3{margin:1.6rem 0 .4rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:1rem 0}
caption{text-align:left;font-weight:bold;padding:.3rem 0}
th,td{border:1px solid var(--line);padding:.35rem .55rem;text-align:left;vertical-align:top}
th{background:var(--head)}
code{font:.85em/1.4 Menlo,Consolas,monospace;background:var(--head);padding:0 .2em;overflow-wrap:anywhere}
mark{background:var(--blank);color:var(--on-blank)}
figure{margin:1rem 0}svg{max-width:100%;height:auto}
svg [fill=\"#1A1A1A\"]{fill:var(--ink)}svg [stroke=\"#1A1A1A\"]{stroke:var(--ink)}
@media print{:root{--ink:#000;--page:#fff;--head:#eee;--line:#777;--blank:#ffef9e;--on-blank:#000}body{max-width:none;margin:0;font-size:11pt}.wide{overflow:visible}tr,figure{break-inside:avoid}h2,h3,caption{break-after:avoid}}
";

pub fn write(document: &Document) -> String {
    let title = escaped(&document.title);
    let mut body = String::new();
    for block in &document.blocks {
        put(&mut body, block);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         {body}</main>\n</body>\n</html>\n"
    )
}

fn put(out: &mut String, block: &Block) {
    match block {
        Block::Section(title) => add(out, &["<h2>", &escaped(title), "</h2>\n"]),
        Block::Heading(text) => add(out, &["<h3>", &inline(text), "</h3>\n"]),
        Block::Paragraph(text) => add(out, &["<p>", &inline(text), "</p>\n"]),
        Block::List(items) => {
            out.push_str("<ul>\n");
            for item in items {
                add(out, &["<li>", &inline(item), "</li>\n"]);
            }
            out.push_str("</ul>\n");
        }
        Block::Table(table) => put_table(out, table),
        Block::Picture { svg, says } => put_picture(out, svg, says),
    }
}

fn put_table(out: &mut String, table: &Table) {
    // One that is wider than a small screen scrolls by itself, with the keyboard, too.
    add(out, &["<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\""]);
    add(out, &[&escaped(&table.caption), "\">\n<table>\n"]);
    add(out, &["<caption>", &escaped(&table.caption), "</caption>\n<thead><tr>"]);
    for name in &table.head {
        add(out, &["<th scope=\"col\">", &escaped(name), "</th>"]);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let (open, close) =
                if at == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            add(out, &[open, &inline(cell), close]);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn put_picture(out: &mut String, svg: &str, says: &str) {
    let says = escaped(says);
    let named = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{says}\" "), 1);
    add(out, &["<figure>\n", &named, "</figure>\n"]);
}

fn add(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn inline(text: &Text) -> String {
    text.0.iter().map(piece).collect()
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Plain(words) => escaped(words),
        Piece::Strong(words) => format!("<strong>{}</strong>", escaped(words)),
        Piece::Code(name) => format!("<code>{}</code>", escaped(name)),
        Piece::Blank(who, what) => format!("<mark>[{who}: {}]</mark>", escaped(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_stays_text_wherever_it_stands() {
        let evil = "<img src=x onerror='a' b=\"c\">&amp;\u{0}";
        let safe = "&lt;img src=x onerror=&#39;a&#39; b=&quot;c&quot;&gt;&amp;amp; ";
        let mut document = Document::titled(evil);
        document.section(evil);
        document.heading(evil);
        document.paragraph(Text::code(evil).and_blank(evil).and_text(Text::strong(evil)));
        document.list([evil]);
        document.table(evil, &[evil], vec![vec![evil.into()]]);
        document.picture("<svg ></svg>".to_owned(), evil);
        let page = write(&document);
        assert_eq!(page.matches(safe).count(), 13, "{page}");
        assert!(!page.contains("<img"));
    }

    #[test]
    fn a_page_stands_alone() {
        let mut document = Document::titled("A");
        document.paragraph("b");
        let page = write(&document);
        assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en-US\">"));
        for reach in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(reach), "{reach}");
        }
    }
}
