//! Commands that a message tells a person to run, so that they run as pasted: with the configuration
//! that this command was given.

use std::path::Path;

use crate::config::shell_word;

/// The message, with `--config FILE` in each of Assent's own commands that stand in backticks.
pub fn as_pasted(message: &str, config: Option<&Path>) -> String {
    let Some(config) = config.and_then(Path::to_str) else { return message.to_owned() };
    let parts = message.split('`').enumerate().map(|(at, part)| {
        let is_command = at % 2 == 1 && part.starts_with("assent ") && !part.contains("--config");
        if is_command { format!("{part} --config {}", shell_word(config)) } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_acts_on_the_configuration_that_it_is_told_of() {
        let told =
            "topic a: run `assent topics create`, or set `kafka.group_id`; `kafka-acls.sh x`";
        assert_eq!(as_pasted(told, None), told);
        assert_eq!(
            as_pasted(told, Some(Path::new("my shop.yaml"))),
            "topic a: run `assent topics create --config 'my shop.yaml'`, or set `kafka.group_id`; \
             `kafka-acls.sh x`"
        );
        assert_eq!(as_pasted("odd ` one", Some(Path::new("a"))), "odd ` one");
    }
}
