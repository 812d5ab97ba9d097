//! The help of every command, as a newcomer reads it: help.txt.
//!
//! `UPDATE_EXPECT=1 cargo test --lib cli::help` writes the file again (CONTRIBUTING.md#words).

use clap::{Command, CommandFactory};
use expect_test::expect_file;

use super::CommandLine;

/// Columns of a terminal.
const WIDTH: usize = 100;

#[test]
fn the_help_of_every_command_is_in_help_txt() {
    let mut pages = Vec::new();
    collect("", CommandLine::command(), &mut pages);
    let text: Vec<String> =
        pages.iter().map(|(name, help)| format!("## {name} --help\n\n{help}\n")).collect();
    expect_file!["help.txt"].assert_eq(&text.join("\n"));
}

#[test]
fn every_help_gives_an_example() {
    let mut pages = Vec::new();
    collect("", CommandLine::command(), &mut pages);
    assert!(pages.len() > 20, "every command is here: {}", pages.len());
    for (name, help) in pages {
        assert!(help.contains("Example:"), "{name} --help lacks an example");
    }
}

/// A one-line help is a phrase, so it has no full stop; and none is missing.
#[test]
fn every_option_and_command_has_a_help_without_a_full_stop() {
    check_short(&CommandLine::command());
}

fn check_short(command: &Command) {
    let name = command.get_name();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let arguments = command.get_arguments().filter(|it| !it.is_hide_set());
    let helps = arguments.map(|it| {
        let help = it.get_help().map(ToString::to_string).unwrap_or_default();
        (format!("{name}: {}", it.get_id()), help)
    });
    for (place, help) in helps.chain([(name.to_owned(), about)]) {
        assert!(help.starts_with(char::is_uppercase), "{place}: {help:?}");
        assert!(!help.ends_with('.'), "{place}: {help:?}");
    }
    for sub in command.get_subcommands() {
        check_short(sub);
    }
}

/// Options of all commands are shown once, with those of `assent` itself.
fn collect(parent: &str, command: Command, pages: &mut Vec<(String, String)>) {
    let name = format!("{parent}{}", command.get_name());
    let mut command = command.bin_name(name.clone()).term_width(WIDTH);
    let help = command.render_long_help().to_string();
    pages.push((name.clone(), help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let sub = sub.clone().mut_args(|it| {
            let is_global = it.is_global_set();
            it.hide(is_global)
        });
        collect(&format!("{name} "), sub, pages);
    }
}
