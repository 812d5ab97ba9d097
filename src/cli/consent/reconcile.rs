//! `assent consent reconcile`: a platform's own list, compared with what stands here.
//!
//! Writes nothing to the changelog itself: what is stricter goes to the intake, as if its webhook had come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::run::runtime;
use super::super::{stderr, stdout};
use super::when;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, IntakeSource, load_rulebook};
use crate::failure::{Exit, Failure, Result};
use crate::registry::{self, Framings};
use crate::serve::changelog::Changelog;
use crate::serve::check_purposes;
use crate::serve::follow::Progress;
use crate::serve::identities::{Identities, key_of};
use crate::serve::intake::kept::{DRIFT, Drift};
use crate::serve::intake::{Acceptor, Counts, Offer, new_request_id};
use crate::serve::keys::Keys;
use crate::serve::platform::list::Lister;
use crate::serve::register::Register;
use crate::serve::sorting::sort;
use assent_contract::domain::hex::hex;
use assent_contract::domain::time::{Span, Timestamp};
use assent_intake::source::{Said, Source};
use assent_intake::{compare, refusals};

/// Where `--since` is missing.
const BACK: Span = Span(7 * Span::DAY.0);

/// Until the topics are read. Without any progress a broker is away.
const READ_WITHIN: Duration = Duration::from_mins(10);

/// What was accepted is merged by a running `assent serve`; so long it is waited for.
const MERGED_WITHIN: Duration = Duration::from_secs(10);

const LOOK: Duration = Duration::from_millis(20);

/// Statements that are handed over at once.
const TOGETHER_MAX: usize = 200;

/// Compare a consent platform's own list with what stands; write what is stricter there
///
/// Finds lost webhooks. A refusal that the platform has and that would win here is handed to the
/// intake, which a running `assent serve` merges. A grant that is not here is reported and never
/// written. The metric assent_consent_source_drift_total counts both.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent consent reconcile --source onetrust --since 2026-11-22T00:00:00Z"
)]
pub struct Args {
    /// Source to ask: onetrust or trustarc
    #[arg(long)]
    source: String,
    /// Compare what changed there since this time [default: 7 days ago]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// What was found.
#[derive(Default)]
struct Found {
    read: u64,
    stricter: u64,
    unmapped: u64,
    /// Subject as the audit has it, purpose, since when.
    looser: Vec<(String, String, Option<Timestamp>)>,
    /// What is to be handed over.
    said: Vec<Said>,
}

/// What the comparison rests on.
struct Copies {
    keys: Arc<Keys>,
    changelog: Arc<Changelog>,
    register: Arc<Register>,
    identities: Arc<Identities>,
}

pub fn run(args: &Args, config: &Config, is_json: bool) -> Result<()> {
    let now = SystemClock.now();
    let since = match &args.since {
        None => now - BACK,
        Some(text) => when::parse(text, now)
            .map_err(|why| Failure::new(Exit::Usage, format!("--since: {why}")))?,
    };
    let source = source(config, &args.source)?;
    let lister = Lister::of(source, &std::thread::sleep)?;
    let config = Arc::new(config.clone());
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    check_purposes(&config, &rulebook)?;
    let purposes = rulebook.purposes.iter().map(|purpose| purpose.id.clone()).collect();
    let keys = Arc::new(Keys::read(&config, purposes)?);
    let copies = Copies::read(&config, keys)?;
    let mut found = Found::default();
    lister.each(since, now, |delivery| {
        for said in delivery.said {
            found.read += 1;
            copies.look_at(said, now, &mut found);
        }
        Ok(())
    })?;
    let merged = copies.hand_over(&config, source, &mut found)?;
    tell(source, since, now, &found, is_json)?;
    if !merged {
        stderr::line("the intake has what is stricter; no `assent serve` has merged it yet");
    }
    Ok(())
}

fn source<'a>(config: &'a Config, word: &str) -> Result<&'a IntakeSource> {
    let asked = Source::of_word(word);
    config.intake.iter().find(|it| Some(it.source) == asked).ok_or_else(|| {
        let known: Vec<&str> = config.intake.iter().map(|it| it.source.word()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        let message = format!("--source: no such source under intake.sources; use one of: {known}");
        Failure::new(Exit::Usage, message)
    })
}

impl Copies {
    fn read(config: &Arc<Config>, keys: Arc<Keys>) -> Result<Self> {
        let copies = Self {
            changelog: Arc::new(Changelog::start(config)?),
            register: Arc::new(Register::start(config)?),
            identities: Arc::new(Identities::start(config, &keys)?),
            keys,
        };
        let deadline = SystemClock.instant() + READ_WITHIN;
        let all: [&Progress; 3] =
            [copies.changelog.progress(), copies.register.progress(), copies.identities.progress()];
        while all.iter().any(|progress| progress.age().is_none()) {
            if SystemClock.instant() > deadline {
                return Err(Failure::unavailable(
                    "the topics can't be read to their end; check that the brokers run",
                ));
            }
            std::thread::sleep(LOOK);
        }
        Ok(copies)
    }

    fn look_at(&self, said: Said, now: Timestamp, found: &mut Found) {
        let keys = self.keys.now();
        let Some(subject) = self.identities.subject(&key_of(&keys, &said.identifier)) else {
            found.unmapped += 1;
            let heard = refusals(&said.heard);
            if !heard.is_empty() {
                found.said.push(Said { heard, ..said });
            }
            return;
        };
        let stands = self.changelog.current(&subject).record;
        let compared = compare(stands.as_ref(), &said.heard, now);
        let token = hex(&keys.ring.audit_token(subject.as_bytes()));
        for (purpose, since) in compared.looser {
            found.looser.push((token.clone(), purpose, since));
        }
        if !compared.stricter.is_empty() {
            found.stricter += 1;
            found.said.push(Said { heard: compared.stricter, ..said });
        }
    }

    /// Gives the intake what is stricter, and the counts; is it merged?
    fn hand_over(
        &self,
        config: &Arc<Config>,
        source: &IntakeSource,
        found: &mut Found,
    ) -> Result<bool> {
        let client = registry::client(config)?;
        let subjects: Vec<_> = registry::served(config).into_iter().collect();
        let framings = Framings::settle(client.as_ref(), &subjects, &SystemClock)?;
        let counts = Counts {
            requests: self.register.progress().partitions(0),
            state: self.changelog.progress().partitions(0),
            identities: self.identities.progress().partitions(0),
        };
        let framing = framings.of(&config.topics.privacy_requests);
        let acceptor = Acceptor::start(config, &self.keys, &self.register, framing, counts)?;
        let mut all = std::mem::take(&mut found.said).into_iter().peekable();
        let mut waits = Vec::new();
        let word = source.source.word();
        while all.peek().is_some() {
            let some: Vec<Said> = all.by_ref().take(TOGETHER_MAX).collect();
            let sorted = sort(
                some,
                word,
                &self.keys.now(),
                &self.identities,
                &self.register,
                &self.changelog,
                SystemClock.now(),
            );
            let commands = sorted.offer.commands.iter();
            waits.extend(
                commands.map(|(_, command)| self.changelog.await_request(&command.request_id)),
            );
            offer(&acceptor, sorted.offer)?;
        }
        offer(&acceptor, drift(word, found)?)?;
        let merged = async {
            for one in waits {
                let _ = one.await;
            }
        };
        let waiting = async { tokio::time::timeout(MERGED_WITHIN, merged).await };
        Ok(runtime()?.block_on(waiting).is_ok())
    }
}

fn offer(acceptor: &Acceptor, offer: Offer) -> Result<()> {
    if offer.is_empty() {
        return Ok(());
    }
    runtime()?
        .block_on(acceptor.accept(offer))
        .map_err(|_| Failure::unavailable("the brokers don't take what is stricter; try again"))
}

/// The counts, for the metric of whoever serves.
fn drift(source: &str, found: &Found) -> Result<Offer> {
    let counts = [
        ("stricter", found.stricter),
        ("looser", found.looser.len() as u64),
        ("unmapped", found.unmapped),
    ];
    let counts: BTreeMap<String, u64> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect();
    if counts.is_empty() {
        return Ok(Offer::default());
    }
    let id =
        new_request_id().map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
    let note = (format!("{DRIFT}{id}"), Drift { source: source.to_owned(), counts });
    Ok(Offer { drift: vec![note], ..Offer::default() })
}

fn tell(
    source: &IntakeSource,
    from: Timestamp,
    to: Timestamp,
    found: &Found,
    is_json: bool,
) -> Result<()> {
    let word = source.source.word();
    if is_json {
        let looser = found.looser.iter().map(|(subject, purpose, since)| {
            json!({"subject": subject, "purpose": purpose, "since": since})
        });
        return stdout::json(&json!({
            "source": word, "from": from, "to": to, "read": found.read,
            "stricter": found.stricter, "unmapped": found.unmapped,
            "looser": looser.collect::<Vec<_>>(),
        }));
    }
    for (subject, purpose, since) in &found.looser {
        let since = since.map_or_else(String::new, |at| format!(" since {}", when::text(at)));
        stdout::line(&format!("{subject}: {word} has a grant of {purpose}{since}"))?;
    }
    stdout::line(&format!(
        "{word}: {} statements read, {} stricter and handed to the intake, {} looser, {} of nobody \
         who is mapped",
        found.read,
        found.stricter,
        found.looser.len(),
        found.unmapped
    ))
}
