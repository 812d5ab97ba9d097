//! `assent segments get`: one pseudonym's assignment for one purpose.

use super::super::stdout;
use super::list::Live;
use super::{chosen, render};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_keyset};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::assignments::SegmentTopics;
use crate::kafka::read::TopicReader;
use crate::registry::Reading;
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::pseudonym::{KeyRing, Pseudonym};
use assent_contract::rulebook::Rulebook;

/// Show the live assignment of one pseudonym; exits with code 1 if there is none
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent segments get --subject family-000042 --purpose personalized-offers"
)]
pub struct Args {
    /// Pseudonym to look up: 23 characters
    #[arg(required_unless_present = "subject")]
    pseudonym: Option<String>,
    /// Compute the pseudonym from this subject id and the active key of the keyset
    #[arg(long, value_name = "ID", conflicts_with = "pseudonym")]
    subject: Option<String>,
    /// Purpose of the assignment
    #[arg(long)]
    purpose: String,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let purposes = chosen(Some(&args.purpose), rulebook)?;
    let pseudonym = args.pseudonym(config, &purposes)?;
    let topics = SegmentTopics::new(config, &purposes);
    let reader = TopicReader::key_partition(config, &topics.names()[0], pseudonym.as_bytes())?;
    let mut live = Live::read(&topics, &reader, &mut Reading::open(config)?)?;
    let found = live.assignments.remove(&(args.purpose.clone(), pseudonym));
    match found.filter(|assignment| assignment.expires_at > SystemClock.now()) {
        Some(assignment) if is_json => stdout::json(&assignment),
        Some(assignment) => stdout::line(&render(&assignment)),
        None => {
            if is_json {
                stdout::line("null")?;
            }
            Err(Failure::failed(format!(
                "no live assignment for purpose {}; a front end shows the default segment",
                args.purpose
            )))
        }
    }
}

impl Args {
    /// The pseudonym that was given, or the subject's under the active key.
    fn pseudonym(&self, config: &Config, purposes: &[String]) -> Result<String> {
        if let Some(subject) = &self.subject {
            if !is_valid_id(subject) {
                return Err(usage(
                    "--subject: must have 1 to 512 bytes and must not begin with __assent_",
                ));
            }
            let keyset = read_keyset(&config.keyset)?;
            return Ok(KeyRing::new(&keyset, purposes).pseudonym(0, subject.as_bytes()).text());
        }
        let text = self.pseudonym.as_deref().unwrap_or_default();
        match Pseudonym::parse(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err(usage(
                "PSEUDONYM: not a pseudonym; give 23 characters of base64url, or use --subject to \
                 compute it from a subject id",
            )),
        }
    }
}

fn usage(message: &str) -> Failure {
    Failure::new(Exit::Usage, message)
}
