//! `assent segments get`: one pseudonym's assignment for one purpose.

use super::super::stdout;
use super::list::Live;
use super::{chosen, live_pseudonyms, render};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_keyset};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::assignments::SegmentTopics;
use crate::kafka::read::TopicReader;
use crate::registry::Reading;
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::pseudonym::{KeyRing, Pseudonym};
use assent_contract::domain::segment::SegmentAssignment;
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
    /// Compute the pseudonyms from this subject id and the live keys of the keyset
    #[arg(long, value_name = "ID", conflicts_with = "pseudonym")]
    subject: Option<String>,
    /// Purpose of the assignment
    #[arg(long)]
    purpose: String,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let purposes = chosen(Some(&args.purpose), rulebook)?;
    match find(&args.pseudonyms(config, &purposes)?, config, &purposes)? {
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

/// What is live under the first of these that has something.
fn find(
    pseudonyms: &[Pseudonym],
    config: &Config,
    purposes: &[String],
) -> Result<Option<SegmentAssignment>> {
    let topics = SegmentTopics::new(config, purposes);
    let mut schemas = Reading::open(config)?;
    for pseudonym in pseudonyms {
        let pseudonym = pseudonym.text();
        let reader = TopicReader::key_partition(config, &topics.names()[0], pseudonym.as_bytes())?;
        let mut live = Live::read(&topics, &reader, &mut schemas)?;
        let found = live.assignments.remove(&(purposes[0].clone(), pseudonym));
        let found = found.filter(|assignment| assignment.expires_at > SystemClock.now());
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Args {
    /// The pseudonym that was given, or the subject's.
    fn pseudonyms(&self, config: &Config, purposes: &[String]) -> Result<Vec<Pseudonym>> {
        if let Some(subject) = &self.subject {
            if !is_valid_id(subject) {
                return Err(usage(
                    "--subject: must have 1 to 512 bytes and must not begin with __assent_",
                ));
            }
            let keyset = read_keyset(&config.keyset)?;
            return Ok(live_pseudonyms(&KeyRing::new(&keyset, purposes), subject).collect());
        }
        let text = self.pseudonym.as_deref().unwrap_or_default();
        match Pseudonym::parse(text) {
            Some(pseudonym) => Ok(vec![pseudonym]),
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
