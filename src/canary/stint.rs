//! Rounds over one pair of clients: a producer for the inputs, and a reader of `segments.canary` that reads as
//! readers are meant to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Message;

use super::round::{Round, Sightings};
use super::step::Step;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_keyset};
use crate::failure::Result;
use crate::kafka::each_partition::EachPartition;
use crate::kafka::read::{Start, TopicReader};
use crate::pace;
use crate::registry::{self, Framings};
use assent_contract::domain::canary;
use assent_contract::domain::ids::{CANARY_PURPOSE, canary_of};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{click_body, consent_body};

/// Each step may take so long: ten times what the slowest of opt-outs may.
const STEP_WITHIN: Duration = Duration::from_secs(10);

/// The reader is asked for so long at once.
const POLL: Duration = Duration::from_millis(5);

pub struct Stint {
    producer: EachPartition,
    reader: TopicReader,
    framings: Framings,
    consent: String,
    clickstream: String,
    partitions: i32,
    keys: KeyRing,
    /// The time of the last record: the next one's is later, so that it is of a higher version.
    last: Timestamp,
    /// Where the last record is known to be an opt-out.
    clean: BTreeSet<i32>,
    seen: Sightings,
}

/// What a round writes into one partition.
enum Input {
    OptIn(Span),
    Click,
    OptOut,
}

impl Stint {
    pub fn open(config: &Config) -> Result<Self> {
        let topics = &config.topics;
        let (consent, clickstream) = (topics.consent.clone(), topics.clickstream.clone());
        let of_canary = [topics.segments_of(CANARY_PURPOSE)];
        let reader = TopicReader::topics(config, &of_canary, Start::End)?;
        let (producer, partitions) =
            EachPartition::open(config, &[&consent, &clickstream], STEP_WITHIN)?;
        let client = registry::client(config)?;
        let inputs = registry::inputs(config);
        let framings = Framings::settle(client.as_ref(), &inputs, &SystemClock)?;
        Ok(Self {
            producer,
            reader,
            framings,
            consent,
            clickstream,
            partitions,
            keys: keys(config)?,
            last: Timestamp::MIN,
            clean: BTreeSet::new(),
            seen: Sightings::default(),
        })
    }

    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// Keys may have been rotated. While the file can't be read, the last ones serve.
    pub fn look_at_keys(&mut self, config: &Config) {
        match keys(config) {
            Ok(keys) => self.keys = keys,
            Err(failure) => {
                if let Some(repeated) = pace::may_say("canary-keys") {
                    tracing::warn!(repeated, "the canary goes on with the keys it has: {failure}");
                }
            }
        }
    }

    /// `goes_on` false: only the opt-out is still written.
    pub fn round(
        &mut self,
        targets: &BTreeSet<i32>,
        lasts: Span,
        goes_on: &dyn Fn() -> bool,
    ) -> Round {
        let mut round = Round::default();
        self.seen = Sightings::of(self.names(targets));
        let unclean: BTreeSet<i32> = targets.difference(&self.clean).copied().collect();
        self.clean.clear();
        self.put(&unclean, &Input::OptOut);
        self.step(Step::OptIn, &Input::OptIn(lasts), targets, &mut round, goes_on);
        self.step(Step::Click, &Input::Click, targets, &mut round, goes_on);
        let left = round.left(targets);
        self.until(goes_on, |it| left.iter().all(|&partition| it.seen.is_live(partition)));
        let never = left.iter().copied().filter(|&partition| !self.seen.is_live(partition));
        round.fail(never, Step::Assignment);
        self.opt_out(targets, &mut round, goes_on);
        if !goes_on() {
            round.of.retain(|_, result| result.is_ok());
        }
        round
    }

    /// Puts an input into each partition that has not failed, and waits until it is acknowledged.
    fn step(
        &mut self,
        step: Step,
        input: &Input,
        targets: &BTreeSet<i32>,
        round: &mut Round,
        goes_on: &dyn Fn() -> bool,
    ) {
        let left = round.left(targets);
        self.put(&left, input);
        self.until(goes_on, |it| it.producer.acknowledged().is_superset(&left));
        let acknowledged = self.producer.acknowledged();
        self.tell_why(&left, &acknowledged, step);
        round.fail(left.difference(&acknowledged).copied(), step);
    }

    /// Everybody opts out, whatever became of the round; of those that it went well for, it is waited until a
    /// reader has seen it.
    fn opt_out(&mut self, targets: &BTreeSet<i32>, round: &mut Round, goes_on: &dyn Fn() -> bool) {
        let left = round.left(targets);
        let asked = SystemClock.instant();
        self.put(targets, &Input::OptOut);
        let all_left = |it: &Self| {
            it.producer.acknowledged().is_superset(targets)
                && left.iter().all(|&partition| it.seen.gone_at(partition).is_some())
        };
        // Told to stop, it still waits for a moment until the opt-outs are on their way.
        let until_sent = asked + Duration::from_secs(1);
        let still = || goes_on() || SystemClock.instant() < until_sent;
        self.until(&still, all_left);
        let acknowledged = self.producer.acknowledged();
        self.clean = targets.intersection(&acknowledged).copied().collect();
        self.tell_why(&left, &acknowledged, Step::OptOut);
        for partition in left {
            let result = match self.seen.gone_at(partition) {
                Some(at) => Ok(at.saturating_duration_since(asked)),
                None if acknowledged.contains(&partition) => Err(Step::Tombstone),
                None => Err(Step::OptOut),
            };
            round.of.insert(partition, result);
        }
    }

    fn put(&mut self, partitions: &BTreeSet<i32>, input: &Input) {
        self.producer.begin_turn();
        self.last = SystemClock.now().max(self.last + Span(1));
        let now = self.last;
        let consent = self.framings.of(&self.consent);
        for &partition in partitions {
            let (topic, value) = match input {
                Input::OptIn(lasts) => {
                    let record = canary::opt_in(partition, now, *lasts);
                    (&self.consent, consent.frame(&consent_body(&record)))
                }
                Input::OptOut => {
                    let record = canary::opt_out(partition, now);
                    (&self.consent, consent.frame(&consent_body(&record)))
                }
                Input::Click => {
                    let click = click_body(&canary::click(partition, now));
                    (&self.clickstream, self.framings.of(&self.clickstream).frame(&click))
                }
            };
            self.producer.send(topic, partition, canary_of(partition).as_bytes(), &value);
        }
    }

    /// Reads on until something has come, a step's time is over, or the canary is to stop.
    fn until(&mut self, goes_on: &dyn Fn() -> bool, has_come: impl Fn(&Self) -> bool) {
        let deadline = SystemClock.instant() + STEP_WITHIN;
        while goes_on() && SystemClock.instant() < deadline && !has_come(self) {
            while let Some(message) = self.reader.next(POLL) {
                let now: Instant = SystemClock.instant();
                let key = message.key().unwrap_or_default();
                self.seen.see(key, message.payload().is_none(), now);
                if now >= deadline {
                    break;
                }
            }
        }
    }

    /// The pseudonyms of the canaries, under every version that may be live.
    fn names(&self, targets: &BTreeSet<i32>) -> BTreeMap<String, i32> {
        let versions: Vec<u8> = self.keys.live_versions().collect();
        let of = |&partition: &i32| {
            let id = canary_of(partition);
            let under = |&version: &u8| self.keys.pseudonym_under(version, 0, id.as_bytes());
            let names: Vec<String> =
                versions.iter().filter_map(under).map(|it| it.text()).collect();
            names.into_iter().map(move |name| (name, partition))
        };
        targets.iter().flat_map(of).collect()
    }

    fn tell_why(&self, left: &BTreeSet<i32>, acknowledged: &BTreeSet<i32>, step: Step) {
        if acknowledged.is_superset(left) {
            return;
        }
        let why = self.producer.failed().map_or("no answer".to_owned(), |it| it.to_string());
        if let Some(repeated) = pace::may_say("canary-write") {
            tracing::warn!(step = step.label(), repeated, why, "the canary can't write");
        }
    }
}

fn keys(config: &Config) -> Result<KeyRing> {
    Ok(KeyRing::new(&read_keyset(&config.keyset)?, &[CANARY_PURPOSE.to_owned()]))
}
