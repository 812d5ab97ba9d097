//! Logs on stderr, as text for people or JSON for collectors; the level comes from `RUST_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::failure::{Exit, Failure, Result};

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sets up logging for the whole process; once. `level` is `RUST_LOG`'s text where it is set; `is_plain`:
/// without color, also on a terminal.
pub fn init(format: LogFormat, level: Option<&str>, is_plain: bool) -> Result<()> {
    let filter = EnvFilter::try_new(level.unwrap_or("info")).map_err(|error| {
        Failure::new(Exit::Usage, format!("RUST_LOG: {error}; use for example RUST_LOG=info"))
    })?;
    let is_colored = std::io::stderr().is_terminal() && !is_plain;
    let subscriber = subscriber(format, filter, std::io::stderr, is_colored);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Failure::failed(format!("logging can't start: {error}")))
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    writer: W,
    ansi: bool,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Told of a log that nobody reads any more, tracing would write to the same closed pipe, and panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(builder.with_ansi(ansi).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("not shown");
            tracing::info!(http.listen = %"127.0.0.1:1", "serving metrics and health");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_one_plain_line() {
        let line = logged(LogFormat::Text);
        assert!(line.ends_with("serving metrics and health http.listen=127.0.0.1:1\n"), "{line}");
        assert!(!line.contains('\u{1b}'));
    }

    #[test]
    fn json_is_one_object_with_flat_fields() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(line["http.listen"], "127.0.0.1:1");
        assert_eq!(line["message"], "serving metrics and health");
    }

    #[test]
    fn a_faulty_level_is_named() {
        let failure = init(LogFormat::Text, Some("assent=loud=very"), true).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("RUST_LOG: "), "{failure}");
    }
}
