//! Progress bars for long work. They show on stderr, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for a known amount of this unit.
pub fn bar(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = format!("{{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{eta}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
