//! What a person sees: one line an event, and on a terminal a last line that keeps up to date.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::live::Live;
use crate::failure::{Failure, Result};

/// Ordinary assignments and tombstones shown a second; the rest is counted. The stories are always
/// shown.
const SHOWN_A_SECOND: u32 = 2;

/// Characters of a pseudonym that are shown.
const PSEUDONYM_SHOWN: usize = 8;

/// Columns of a line at most.
const WIDTH: usize = 80;

/// Columns before a line's text: its time and sign.
const MARGIN: usize = 11;

const LEGEND: &str = "»  what somebody does    +  an assignment: in these segments now
-  a tombstone: in no segment now    =  totals so far
";

/// How a line is set off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Story,
    Assigned,
    Removed,
    Status,
}

impl Mark {
    /// For the live view.
    fn word(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Assigned => "assigned",
            Self::Removed => "removed",
            Self::Status => "status",
        }
    }
}

pub struct Screen<'a> {
    started: Instant,
    /// Is told every line.
    live: Arc<Live>,
    /// `None`: stdout is no terminal, so the state is told in lines now and then.
    status: Option<ProgressBar>,
    is_colored: bool,
    /// Set where nobody reads any more (`… | head`): the demo is over then.
    interrupted: &'a AtomicBool,
    /// Nothing is shown: the result is for a program.
    is_quiet: bool,
    second: u64,
    shown: u32,
}

impl<'a> Screen<'a> {
    /// `is_plain`: no color, whatever stdout is.
    pub fn new(
        started: Instant,
        live: Arc<Live>,
        is_quiet: bool,
        is_plain: bool,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && !is_quiet;
        Self {
            started,
            live,
            status: is_terminal.then(status_line),
            is_colored: is_terminal && !is_plain,
            interrupted,
            is_quiet,
            second: 0,
            shown: 0,
        }
    }

    /// What the signs mean.
    pub fn legend(&self) -> Result<()> {
        if self.is_quiet { Ok(()) } else { print(LEGEND, self.interrupted) }
    }

    /// A line that is always shown.
    pub fn line(&self, mark: Mark, text: &str) -> Result<()> {
        if mark != Mark::Status {
            self.live.tell(mark.word(), text);
        }
        self.print_line(mark, text)
    }

    fn print_line(&self, mark: Mark, text: &str) -> Result<()> {
        if self.is_quiet {
            return Ok(());
        }
        let elapsed = self.started.elapsed().as_secs_f64();
        let line = format!("{elapsed:>5.1} s  {}", self.painted(mark, text));
        match &self.status {
            Some(bar) => bar.suspend(|| print(&line, self.interrupted)),
            None => print(&line, self.interrupted),
        }
    }

    /// A line that gives way in the terminal where there are many.
    pub fn sample(&mut self, mark: Mark, text: &str) -> Result<()> {
        let second = self.started.elapsed().as_secs();
        if second != self.second {
            (self.second, self.shown) = (second, 0);
        }
        self.shown += 1;
        self.live.tell(mark.word(), text);
        if self.shown > SHOWN_A_SECOND { Ok(()) } else { self.print_line(mark, text) }
    }

    /// Where everything stands. On a terminal it replaces the one before it.
    pub fn status(&self, text: &str) -> Result<()> {
        match &self.status {
            Some(bar) => {
                bar.set_message(text.to_owned());
                bar.tick();
                Ok(())
            }
            None => self.line(Mark::Status, text),
        }
    }

    /// How often the state is told.
    pub fn status_every(&self) -> Duration {
        Duration::from_millis(if self.status.is_some() { 200 } else { 5_000 })
    }

    /// The last line goes; what follows is the summary.
    pub fn finish(&self) {
        if let Some(bar) = &self.status {
            bar.finish_and_clear();
        }
    }

    fn painted(&self, mark: Mark, text: &str) -> String {
        let (sign, color) = match mark {
            Mark::Story => ("»", "1"),
            Mark::Assigned => ("+", "32"),
            Mark::Removed => ("-", "31"),
            Mark::Status => ("=", "2"),
        };
        let text = wrapped(text, MARGIN);
        if self.is_colored {
            format!("\u{1b}[{color}m{sign} {text}\u{1b}[0m")
        } else {
            format!("{sign} {text}")
        }
    }
}

fn status_line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>3}  {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// The beginning of a pseudonym: enough to tell it from its neighbors.
pub fn short(pseudonym: &str) -> String {
    pseudonym.chars().take(PSEUDONYM_SHOWN).chain(['…']).collect()
}

/// Milliseconds, with a tenth below ten.
pub fn milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// Text that begins after so many columns, and goes on there where it takes more than a line.
pub fn wrapped(text: &str, indent: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for word in text.split_inclusive(' ') {
        if column + word.trim_end().chars().count() > WIDTH && column > indent {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

/// One line, or more. `interrupted` is set where nobody reads any more.
pub fn print(line: &str, interrupted: &AtomicBool) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            interrupted.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(|error| Failure::failed(format!("stdout: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_goes_on_beneath_itself() {
        let text = "one two  three ".repeat(10) + "end";
        let lines = wrapped(&text, MARGIN);
        assert!(lines.lines().count() > 1);
        for (at, line) in lines.lines().enumerate() {
            let width = line.chars().count() + if at == 0 { MARGIN } else { 0 };
            assert!(width <= WIDTH, "{line}");
            assert!(at == 0 || line.starts_with(&" ".repeat(MARGIN)), "{line}");
            assert_eq!(line.trim_end(), line);
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines), words(&text));
        assert_eq!(wrapped("short  text", MARGIN), "short  text");
        assert_eq!(wrapped(&"x".repeat(200), MARGIN), "x".repeat(200), "a word stays whole");
    }

    #[test]
    fn the_legend_fits_and_names_every_sign() {
        assert!(LEGEND.lines().all(|line| line.chars().count() <= WIDTH));
        for sign in ['»', '+', '-', '='] {
            assert!(LEGEND.contains(sign), "{sign}");
        }
    }
}
