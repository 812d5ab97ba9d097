//! Progress bars for long work. They show on stderr, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::message::BorrowedMessage;

use crate::failure::Result;
use crate::kafka::read::TopicReader;

/// A bar for a known amount of this unit.
pub fn bar(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = format!("{{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{eta}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// Reads to the end as it was when the reader was opened, under a bar that each record may have suspended.
pub fn read_to_end(
    reader: &TopicReader,
    mut each: impl FnMut(&BorrowedMessage<'_>, &ProgressBar) -> Result<()>,
) -> Result<()> {
    let bar = bar(0, "records");
    reader.try_read_to_end(
        |message| each(message, &bar),
        |at| {
            bar.set_length(at.total);
            bar.set_position(at.done);
        },
    )?;
    bar.finish_and_clear();
    Ok(())
}
