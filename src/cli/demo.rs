//! `assent demo`: the whole of Assent in one process, for somebody who wants to see it.

use super::interruption::interruption;
use super::{Globals, when};
use crate::demo::{self, Options};
use crate::failure::{Exit, Failure, Result};

/// Watch clicks become segments and opt-outs become tombstones; needs no Kafka
///
/// Starts librdkafka's mock cluster in this process, generates the clicks and consent of a
/// fictional family shop, and runs the same pipeline as `run` on them. The first lines are the
/// addresses of two pages at 127.0.0.1: a toy shop, which asks the same service as `serve`, and a
/// live view of what Assent decides. Prints a summary when the time of --for is over, or on
/// Ctrl-C; while a page is open, the demo goes on. Set NO_COLOR to turn off color.
///
/// The mock cluster is not Kafka. It does not compact, and it drops the oldest records of a
/// partition beyond 5 MB. It does not fence a member that left, does not store the offsets that a
/// transaction sends, and shows aborted records to readers. The demo therefore uses one worker and
/// a limited rate, and proves nothing about exactly-once. The first message takes about 3 s. For
/// everything else, run `assent run` against Apache Kafka.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent demo --for 30s")]
pub struct Args {
    /// How long to run (30s, 2m)
    #[arg(long = "for", value_name = "DURATION", default_value = "30s")]
    length: String,
    /// Clicks per second, 1 to 1000
    #[arg(long, value_name = "R", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
    /// Keep serving the pages and /metrics after the summary, until Ctrl-C
    #[arg(long)]
    keep_running: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let length = when::duration(&args.length)
        .map_err(|why| Failure::new(Exit::Usage, format!("--for: {why}")))?;
    let Args { rate, keep_running, .. } = *args;
    let (is_json, is_plain) = (globals.json, globals.is_plain());
    let options = Options { length, rate, keep_running, is_json, is_plain };
    demo::run(&options, &*interruption()?)
}
