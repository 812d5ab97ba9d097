//! `assent man`: the manual pages, one for each command.

use std::path::PathBuf;

use clap::CommandFactory;

use crate::failure::{Failure, Result};

/// Write the manual pages, one for each command
///
/// Packages install them. The text is that of --help.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent man --out man1 && man ./man1/assent.1")]
pub struct Args {
    /// Directory to write to; it must exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn execute(args: &Args) -> Result<()> {
    clap_mangen::generate_to(super::CommandLine::command(), &args.out).map_err(|error| {
        let folder = args.out.display();
        Failure::failed(format!("{folder}: the manual pages can't be written: {error}"))
    })
}
