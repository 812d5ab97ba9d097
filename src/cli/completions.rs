//! `assent completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::stdout;
use crate::failure::Result;

/// Print a script that completes commands and options in a shell
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent completions bash > /etc/bash_completion.d/assent")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn execute(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::CommandLine::command(), "assent", &mut script);
    stdout::write(&String::from_utf8_lossy(&script))
}
