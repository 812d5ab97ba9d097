//! What a person sees: one line an event, and on a terminal a last line that keeps up to date.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Result};

/// Ordinary assignments and tombstones shown a second; the rest is counted. The stories are always
/// shown.
const SHOWN_A_SECOND: u32 = 2;

/// Characters of a pseudonym that are shown.
const PSEUDONYM_SHOWN: usize = 8;

/// How a line is set off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Story,
    Assigned,
    Removed,
    Status,
}

pub struct Screen {
    started: Instant,
    /// `None`: stdout is no terminal, so the state is told in lines now and then.
    status: Option<ProgressBar>,
    /// Nothing is shown: the result is for a program.
    is_quiet: bool,
    second: u64,
    shown: u32,
}

impl Screen {
    pub fn new(started: Instant, is_quiet: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && !is_quiet;
        Self { started, status: is_terminal.then(status_line), is_quiet, second: 0, shown: 0 }
    }

    /// A line that is always shown.
    pub fn line(&self, mark: Mark, text: &str) -> Result<()> {
        if self.is_quiet {
            return Ok(());
        }
        let elapsed = self.started.elapsed().as_secs_f64();
        let line = format!("{elapsed:>5.1} s  {}", self.painted(mark, text));
        match &self.status {
            Some(bar) => bar.suspend(|| print(&line)),
            None => print(&line),
        }
    }

    /// A line that gives way where there are many.
    pub fn sample(&mut self, mark: Mark, text: &str) -> Result<()> {
        let second = self.started.elapsed().as_secs();
        if second != self.second {
            (self.second, self.shown) = (second, 0);
        }
        self.shown += 1;
        if self.shown > SHOWN_A_SECOND { Ok(()) } else { self.line(mark, text) }
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
        match self.status {
            Some(_) => format!("\u{1b}[{color}m{sign} {text}\u{1b}[0m"),
            None => format!("{sign} {text}"),
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

pub fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::failed(format!("stdout: {error}")))
}
