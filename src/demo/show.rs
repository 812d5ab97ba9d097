//! One loop that feeds the shop's clicks and consent, reads the segment topics, and tells both.
//!
//! Sees nothing that a shop, a reader of the topics and a scraper of metrics could not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::embedded::{Embedded, PARTITIONS};
use super::ledger::{Key, Ledger, News};
use super::live::Live;
use super::numbers;
use super::screen::{Mark, Screen, milliseconds, short};
use super::story::{Act, PATIENCE, Story};
use super::tally;
use crate::clock::{Clock, SystemClock};
use crate::failure::Result;
use crate::http::Status;
use crate::kafka::assignments::SegmentTopics;
use crate::kafka::inputs::InputWriter;
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;
use crate::serve::Serving;
use crate::telemetry::metrics::Metrics;
use crate::workload::{Spec, Workload, people};
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::pseudonym::KeyRing;

/// Families of the shop.
const SUBJECTS: u64 = 400;

/// A family changes its mind this often.
const CHANGE_EVERY: Duration = Duration::from_millis(700);

/// Between stories.
const INTERLUDE: Duration = Duration::from_millis(500);

/// A page that was not heard of for so long is closed.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(15);

/// Between two sets of numbers for the live view.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// How long a turn of the loop waits for something to read.
const TURN: Duration = Duration::from_millis(2);

/// How long the pipeline may take to decide the last clicks.
const DRAIN: Duration = Duration::from_secs(5);

pub struct Show<'a> {
    embedded: &'a Embedded,
    metrics: Arc<Metrics>,
    health: Health<'a>,
    live: Arc<Live>,
    interrupted: &'a AtomicBool,
    purposes: Vec<String>,
    keys: Arc<KeyRing>,
    inputs: InputWriter,
    segments: SegmentTopics,
    reader: TopicReader,
    schemas: Reading,
    workload: Workload,
    ledger: Ledger,
    screen: Screen<'a>,
    /// Clicks a second.
    rate: u64,
    sent: Sent,
    story: Option<Story>,
    stories: u64,
    next_story: Instant,
    told: Instant,
    shown: Instant,
    /// Requests that `serve` had when the page was last looked at.
    asked: u64,
    lag_max: f64,
    told_stories: Stories,
}

/// Of the pipeline and of the service that the page asks.
pub struct Health<'a> {
    pub run: Arc<Status>,
    pub serve: &'a Serving,
}

impl Health<'_> {
    /// Each has all partitions: what comes from now on is decided in its order.
    fn is_whole(&self) -> bool {
        self.run.readiness().partitions.len() == PARTITIONS as usize
            && self.serve.intake_partitions() == i64::from(PARTITIONS)
    }
}

/// How the stories went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stories {
    pub told: u64,
    /// What a story waited for, and what did not come in time.
    pub awaited_in_vain: u64,
    /// Assignments that came back after an opt-out.
    pub came_back: u64,
}

/// What was put into the input topics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub clicks: u64,
    pub consent: u64,
    /// Of the workload alone, since the first click was due.
    paced_clicks: u64,
    paced_changes: u64,
}

/// What the show saw with its own eyes; the rest of the summary is the pipeline's metrics.
pub struct Seen {
    pub sent: Sent,
    pub ledger: Ledger,
    pub lag_max: f64,
    pub stories: Stories,
}

impl<'a> Show<'a> {
    pub fn new(
        embedded: &'a Embedded,
        metrics: Arc<Metrics>,
        health: Health<'a>,
        live: Arc<Live>,
        interrupted: &'a AtomicBool,
        screen: Screen<'a>,
        rate: u64,
    ) -> Result<Self> {
        let purposes = embedded.purposes();
        let segments = SegmentTopics::new(&embedded.config, &purposes);
        let now = SystemClock.instant();
        Ok(Self {
            reader: TopicReader::topics(&embedded.config, segments.names(), Start::Beginning)?,
            schemas: Reading::open(&embedded.config)?,
            inputs: InputWriter::open(&embedded.config)?,
            workload: Workload::new(spec(&purposes)),
            keys: Arc::clone(&embedded.keys),
            embedded,
            metrics,
            health,
            live,
            interrupted,
            purposes,
            segments,
            ledger: Ledger::default(),
            screen,
            rate,
            sent: Sent::default(),
            story: None,
            stories: 0,
            next_story: now,
            told: now,
            shown: now,
            asked: 0,
            lag_max: 0.0,
            told_stories: Stories::default(),
        })
    }

    /// Consent first, then clicks, changes of mind and stories, until then or Ctrl-C; and after then for as
    /// long as somebody looks at the page.
    pub fn run(&mut self, until: Instant, pipeline_ended: impl Fn() -> bool) -> Result<()> {
        self.introduce()?;
        let is_over = |show: &mut Self| {
            show.interrupted.load(Ordering::Relaxed)
                || (SystemClock.instant() >= until && !show.is_looked_at())
                || pipeline_ended()
        };
        while !is_over(self) && !self.health.is_whole() {
            self.read()?;
        }
        self.screen.line(Mark::Story, "the pipeline has its partitions; the shop opens")?;
        self.live.open();
        let opened = SystemClock.instant();
        let mut is_longer = false;
        while !is_over(self) {
            if !is_longer && SystemClock.instant() >= until {
                is_longer = true;
                let text = "its time is over, but somebody looks at the page: the demo goes on until \
                            the page is closed, or until Ctrl-C";
                self.screen.line(Mark::Story, text)?;
            }
            self.feed(opened.elapsed())?;
            self.read()?;
            self.tell_story()?;
            self.tell_status()?;
            self.show_numbers();
        }
        self.drain(pipeline_ended)
    }

    /// The shop asks `serve` now and then, and the live view more often than that.
    fn is_looked_at(&mut self) -> bool {
        let asked = tally::total(&self.metrics.http_requests_total);
        if asked != self.asked {
            self.asked = asked;
            self.live.seen();
        }
        self.live.last_seen().is_some_and(|at| at.elapsed() < LOOKED_AT_WITHIN)
    }

    pub fn finish(self) -> Seen {
        self.screen.finish();
        let (sent, lag_max, stories) = (self.sent, self.lag_max, self.told_stories);
        Seen { sent, ledger: self.ledger, lag_max, stories }
    }

    fn introduce(&mut self) -> Result<()> {
        self.screen.legend()?;
        for record in self.workload.first_records() {
            self.inputs.send_consent(&record)?;
            self.sent.consent += 1;
        }
        self.inputs.flush()?;
        self.screen.line(
            Mark::Story,
            &format!(
                "embedded broker with {PARTITIONS} partitions; rulebook {}; consent of {SUBJECTS} \
                 families on {}",
                self.embedded.rulebook.version, self.embedded.config.topics.consent
            ),
        )?;
        self.screen
            .line(Mark::Story, "the pipeline joins its consumer group, which takes about 3 s")
    }

    /// Sends what is due by now.
    fn feed(&mut self, open_for: Duration) -> Result<()> {
        let clicks_due = (open_for.as_secs_f64() * self.rate as f64) as u64;
        while self.sent.paced_clicks < clicks_due {
            let click = self.workload.click(SystemClock.now());
            self.inputs.send_click(&click)?;
            self.sent.paced_clicks += 1;
            self.sent.clicks += 1;
        }
        let changes_due = (open_for.as_millis() / CHANGE_EVERY.as_millis()) as u64;
        while self.sent.paced_changes < changes_due {
            let record = self.workload.change(SystemClock.now());
            self.sent.paced_changes += 1;
            self.sent.consent += 1;
            if !people::has_grant(&record) {
                self.expect_end(&record.subject_id, None);
            }
            self.inputs.send_consent(&record)?;
        }
        Ok(())
    }

    /// Reads what is there now, and tells of some of it.
    fn read(&mut self) -> Result<()> {
        while let Some(message) = self.reader.next(TURN) {
            let change = self.segments.read(&message, &mut self.schemas)?;
            drop(message);
            let Some(news) = self.ledger.apply(change, SystemClock.instant()) else { continue };
            self.tell_news(news)?;
        }
        self.lag_max = self.lag_max.max(self.health.run.consent_sync_lag_seconds());
        Ok(())
    }

    fn tell_news(&mut self, news: News) -> Result<()> {
        match news {
            News::Assigned(assignment) => {
                let text = format!(
                    "{}  {}: {}  ({})",
                    short(&assignment.pseudonym),
                    assignment.purpose,
                    assignment.segments.join(", "),
                    assignment.basis.symbol().to_lowercase()
                );
                let key = (assignment.purpose, assignment.pseudonym);
                self.tell_of(&key, Mark::Assigned, &text)
            }
            News::Removed(removal, took) => {
                let took = took.map(|took| format!(", {} after the opt-out", milliseconds(took)));
                let text = format!(
                    "{}  {}: tombstone, {}{}",
                    short(&removal.pseudonym),
                    removal.purpose,
                    removal.reason,
                    took.unwrap_or_default()
                );
                self.tell_of(&(removal.purpose, removal.pseudonym), Mark::Removed, &text)
            }
        }
    }

    /// The story's own keys are always shown.
    fn tell_of(&mut self, key: &Key, mark: Mark, text: &str) -> Result<()> {
        match &self.story {
            Some(story) if self.keys_of(&story.subject).contains(key) => {
                self.screen.line(mark, &format!("{text}  <- {}", story.name))
            }
            _ if self.is_visitors(key) => {
                self.screen.line(mark, &format!("{text}  <- your browser"))
            }
            _ => self.screen.sample(mark, text),
        }
    }

    fn is_visitors(&self, key: &Key) -> bool {
        self.live.visitors().iter().any(|subject| self.keys_of(subject).contains(key))
    }

    fn keys_of(&self, subject: &str) -> Vec<Key> {
        let pseudonym = |index| self.keys.pseudonym(index, subject.as_bytes()).text();
        self.purposes
            .iter()
            .enumerate()
            .map(|(index, purpose)| (purpose.clone(), pseudonym(index)))
            .collect()
    }

    fn key_of(&self, subject: &str, purpose: &str) -> Option<Key> {
        self.keys_of(subject).into_iter().find(|(name, _)| name == purpose)
    }

    /// `purpose`: only this one ends.
    fn expect_end(&mut self, subject: &str, purpose: Option<&str>) {
        let keys = self.keys_of(subject);
        let ends = keys.into_iter().filter(|(name, _)| purpose.is_none_or(|only| only == name));
        self.ledger.expect_end(ends, SystemClock.instant());
    }

    fn tell_story(&mut self) -> Result<()> {
        let now = SystemClock.instant();
        let Some(mut story) = self.story.take() else {
            if now >= self.next_story {
                let mut story = Story::new(self.stories, SystemClock.now());
                self.stories += 1;
                story.advance(now);
                self.story = Some(story);
            }
            return Ok(());
        };
        let is_done = self.act(&mut story, now)?;
        if is_done && !story.advance(now) {
            self.told_stories.told += 1;
            self.next_story = now + INTERLUDE;
            return Ok(());
        }
        self.story = Some(story);
        Ok(())
    }

    /// Does the act at hand; true: it is done.
    fn act(&mut self, story: &mut Story, since_now: Instant) -> Result<bool> {
        let Some((act, since)) = &story.current else { return Ok(true) };
        let waited = since_now - *since;
        let now = SystemClock.now();
        match *act {
            Act::Say(text) => self.screen.line(Mark::Story, text)?,
            Act::Pause(length) => return Ok(waited >= length),
            Act::Consent(change) => self.put(story.decide(change, now))?,
            Act::OptOut(change) => {
                self.expect_end(&story.subject, None);
                self.put(story.decide(change, now))?;
            }
            Act::Erase => {
                self.expect_end(&story.subject, None);
                self.inputs.put_erasure(&story.subject)?;
                self.sent.consent += 1;
            }
            Act::Click(kind, category, product) => {
                self.click(&story.click(kind, category, product, false, now))?;
            }
            Act::ClickWithGpc(kind, category, product) => {
                self.expect_end(&story.subject, Some("partner-advertising"));
                self.click(&story.click(kind, category, product, true, now))?;
            }
            Act::AwaitLive(purpose) => return self.awaited(story, purpose, true, waited),
            Act::AwaitGone(purpose) => return self.awaited(story, purpose, false, waited),
            Act::StaysGone(purpose, length) => {
                return self.stays_gone(story, purpose, waited, length);
            }
        }
        Ok(true)
    }

    fn put(&mut self, record: &ConsentRecord) -> Result<()> {
        self.sent.consent += 1;
        self.inputs.put_consent(record).map(|_| ())
    }

    fn click(&mut self, click: &assent_contract::domain::event::ClickEvent) -> Result<()> {
        self.sent.clicks += 1;
        self.inputs.send_click(click)
    }

    /// Is the person's key live (or gone) by now? Its own line was told as it was read.
    fn awaited(
        &mut self,
        story: &Story,
        purpose: &str,
        live: bool,
        waited: Duration,
    ) -> Result<bool> {
        let key = self.key_of(&story.subject, purpose);
        if key.is_some_and(|key| self.ledger.is_live(&key) == live) {
            return Ok(true);
        }
        if waited < PATIENCE {
            return Ok(false);
        }
        self.told_stories.awaited_in_vain += 1;
        let what = if live { "no assignment" } else { "no tombstone" };
        self.screen.line(Mark::Story, &format!("{what} within {} s", PATIENCE.as_secs()))?;
        Ok(true)
    }

    fn stays_gone(
        &mut self,
        story: &Story,
        purpose: &str,
        waited: Duration,
        length: Duration,
    ) -> Result<bool> {
        let key = self.key_of(&story.subject, purpose);
        if key.is_some_and(|key| self.ledger.is_live(&key)) {
            self.told_stories.came_back += 1;
            self.screen.line(Mark::Story, "an assignment came back: this must not happen")?;
            return Ok(true);
        }
        if waited >= length {
            self.screen.line(Mark::Story, "no assignment follows: the gate withholds the click")?;
        }
        Ok(waited >= length)
    }

    fn tell_status(&mut self) -> Result<()> {
        if self.told.elapsed() < self.screen.status_every() {
            return Ok(());
        }
        self.told = SystemClock.instant();
        let lag = self.health.run.consent_sync_lag_seconds();
        let outcomes = tally::render(&tally::by_label(&self.metrics.outcomes_total, "outcome"));
        self.screen.status(&format!(
            "{} live, consent-sync lag {lag:.1} s; outcomes: {outcomes}",
            self.ledger.live()
        ))
    }

    /// For the live view.
    fn show_numbers(&mut self) {
        if self.shown.elapsed() < SHOWN_EVERY {
            return;
        }
        self.shown = SystemClock.instant();
        self.live.show(numbers::of(&self.ledger, &self.health.run, &self.metrics));
    }

    /// Until every record sent is decided and every opt-out has its tombstone, or patience ends.
    fn drain(&mut self, pipeline_ended: impl Fn() -> bool) -> Result<()> {
        self.inputs.flush()?;
        let started = SystemClock.instant();
        let sent = self.sent.clicks + self.sent.consent;
        let is_waiting = |show: &Self| {
            tally::total(&show.metrics.records_consumed_total) < sent || show.ledger.pending() > 0
        };
        while is_waiting(self) && started.elapsed() < DRAIN && !pipeline_ended() {
            self.read()?;
        }
        self.read()
    }
}

fn spec(purposes: &[String]) -> Spec {
    Spec {
        seed: 1,
        subjects: SUBJECTS,
        purposes: purposes.to_vec(),
        granted: 800,
        gpc: 10,
        gpc_clicks: 0,
        first_version: 1,
        starts_at: SystemClock.now(),
    }
}
