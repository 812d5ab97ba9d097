//! The data map as a picture: topic → gate → output → reader, in SVG that stands in a page.
//!
//! The table beneath it says the same, and more. A long name is cut; its whole is in the element's title.

use super::data_map::{CLICKS, CONSENT, CONTEXTUAL, FRONT_END, MARKETING, topic_of};
use crate::domain::markup::html as escaped;
use crate::rulebook::{Purpose, Rulebook};

const ROW: usize = 56;
const BOX_HEIGHT: usize = 34;
/// (left edge, width) of inputs, gate, outputs and readers.
const COLUMNS: [(usize, usize); 4] = [(10, 170), (250, 130), (450, 270), (790, 200)];
const WIDTH: usize = 1_000;
/// Of a box's text: so many fit into 13 px of Helvetica.
const PIXELS_A_CHARACTER: usize = 8;

/// What the dashed lines are.
const DASHED: &str = "<p>Dashed: chosen by the current page alone, whoever looks at it. No data of a person is used, so it \
    passes by the gate.</p>\n";

/// From what, to whom.
struct Output {
    name: String,
    reader: String,
    /// Not asked of the gate.
    is_page: bool,
}

pub(super) fn of(rulebook: &Rulebook) -> String {
    let outputs = outputs(rulebook);
    let height = outputs.len().max(2) * ROW + 10;
    let (clicks, consent, gate) = (height / 4, height * 3 / 4, height / 2);
    let mut lines = vec![edge((0, clicks), (1, gate), ""), edge((0, consent), (1, gate), "")];
    let mut boxes =
        vec![node(0, clicks, CLICKS), node(0, consent, CONSENT), node(1, gate, "the gate")];
    for (row, output) in outputs.iter().enumerate() {
        let at = row * ROW + ROW / 2 + 5;
        // What depends on the page alone passes by the gate.
        let (from, class) = if output.is_page { ((0, clicks), "page") } else { ((1, gate), "") };
        lines.extend([edge(from, (2, at), class), edge((2, at), (3, at), class)]);
        boxes.extend([node(2, at, &output.name), node(3, at, &output.reader)]);
    }
    let is_dashed = outputs.iter().any(|output| output.is_page);
    let caption = if is_dashed { DASHED } else { "" };
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Data map: clicks and consent pass \
         the gate, and become segments for their readers; the table below says the same\">\n{}{}</svg>\n{caption}",
        lines.concat(),
        boxes.concat(),
    )
}

fn outputs(rulebook: &Rulebook) -> Vec<Output> {
    let mut outputs: Vec<Output> = rulebook
        .purposes
        .iter()
        .map(|purpose| Output { name: topic_of(purpose), reader: readers(purpose), is_page: false })
        .collect();
    let fixed = |name: &str, reader: &str, is_page| Output {
        name: name.to_owned(),
        reader: reader.to_owned(),
        is_page,
    };
    outputs.push(fixed("segmentation-audit", "privacy, legal, auditors", false));
    if !rulebook.contextual.is_empty() {
        outputs.push(fixed(CONTEXTUAL, FRONT_END, true));
    }
    outputs
}

fn readers(purpose: &Purpose) -> String {
    let ids: Vec<&str> = purpose.readers.iter().map(|reader| reader.id.as_str()).collect();
    if ids.is_empty() { MARKETING.to_owned() } else { ids.join(", ") }
}

/// `at`: the height of its middle.
fn node(column: usize, at: usize, name: &str) -> String {
    let (left, width) = COLUMNS[column];
    let (top, middle) = (at - BOX_HEIGHT / 2, left + width / 2);
    let most = width / PIXELS_A_CHARACTER;
    let shown = if name.chars().count() > most {
        format!("{}…", name.chars().take(most - 1).collect::<String>())
    } else {
        name.to_owned()
    };
    format!(
        "<g><title>{}</title><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" \
         rx=\"4\"/><text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>\n",
        escaped(name),
        at + 5,
        escaped(&shown),
    )
}

/// From the right edge of one box to the left edge of another.
fn edge(from: (usize, usize), to: (usize, usize), class: &str) -> String {
    let (left, width) = COLUMNS[from.0];
    let (start, end) = (left + width, COLUMNS[to.0].0);
    let middle = usize::midpoint(start, end);
    format!(
        "<path class=\"{class}\" d=\"M{start} {}C{middle} {} {middle} {} {end} {}\"/>\n",
        from.1, from.1, to.1, to.1
    )
}
