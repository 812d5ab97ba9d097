//! The canary: in each partition an invented subject opts in, clicks and opts out, over and over, through the
//! real topics; and a reader of its segment topic sees how long the opt-out took. What a person would feel, and
//! no metric from within can say.
//!
//! Knows nothing of the pipeline, also where it runs beside one. Should it end between opt-in and opt-out, the
//! next round opts out first, and the grant ends by itself ([`lasts`]).

mod health;
mod round;
mod step;
mod stint;

pub use health::CanaryHealth;
pub use round::Round;
pub use step::Step;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, load_rulebook};
use crate::failure::{Failure, Result};
use crate::pace;
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::time::Span;
use stint::Stint;

/// How often it is looked whether it is to end.
const NAP: Duration = Duration::from_millis(100);

/// Fails (78) where the rulebook does not know the canary: nobody would decide it.
pub fn demand_purpose(config: &Config) -> Result<()> {
    if load_rulebook(&config.rulebook)?.rulebook.has_canary() {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{}: the rulebook does not switch the canary on; add the line `canary: true` under a new \
         version, run `assent topics create`, and restart `assent run` with it",
        config.rulebook.display()
    )))
}

/// How long a grant of the canary lasts where nobody takes it back.
fn lasts(every: Duration) -> Span {
    const AT_LEAST: Span = Span(5 * Span::MINUTE.0);
    let twice = i64::try_from(every.as_millis() * 2).unwrap_or(i64::MAX);
    AT_LEAST.max(Span(twice))
}

/// Whose canary it is, asked before each round.
pub type Targets = Box<dyn Fn(i32) -> bool + Send>;

pub struct Canary {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    /// Is this partition among those that it is for?
    is_target: Targets,
    is_stopping: Box<dyn Fn() -> bool + Send>,
    health: Arc<CanaryHealth>,
    /// `None`: no broker has answered yet.
    stint: Option<Stint>,
    /// The partitions that have series.
    told: BTreeSet<i32>,
}

impl Canary {
    pub fn new(
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        is_target: Targets,
        is_stopping: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        for step in Step::ALL {
            metrics.canary_failures_total.with_label_values(&[step.label()]);
        }
        let health = Arc::new(CanaryHealth::new(config.canary.every));
        let (stint, told) = (None, BTreeSet::new());
        Self { config, metrics, is_target, is_stopping, health, stint, told }
    }

    pub fn health(&self) -> Arc<CanaryHealth> {
        Arc::clone(&self.health)
    }

    /// Reaches the brokers. 69: none answers; 78: a topic or a right is missing.
    pub fn open(&mut self) -> Result<()> {
        self.stint = Some(Stint::open(&self.config)?);
        self.health.note_open();
        Ok(())
    }

    /// Round after round until it is told to stop. Where no broker answers it asks again.
    pub fn run(&mut self) {
        while !(self.is_stopping)() {
            let next = SystemClock.instant() + self.config.canary.every;
            if let Err(failure) = self.round() {
                self.metrics.canary_failures_total.with_label_values(&[Step::Reach.label()]).inc();
                if let Some(repeated) = pace::may_say("canary-reach") {
                    tracing::warn!(repeated, "the canary can't begin: {failure}");
                }
            }
            while SystemClock.instant() < next && !(self.is_stopping)() {
                self.health.tick();
                std::thread::sleep(NAP.min(next.saturating_duration_since(SystemClock.instant())));
            }
        }
    }

    /// One round of every partition that it is for.
    pub fn round(&mut self) -> Result<Round> {
        self.health.tick();
        if self.stint.is_none() {
            self.open()?;
        }
        let Some(stint) = &mut self.stint else { return Ok(Round::default()) };
        let targets = (0..stint.partitions()).filter(|&it| (self.is_target)(it)).collect();
        stint.look_at_keys(&self.config);
        let health = Arc::clone(&self.health);
        let goes_on = || {
            health.tick();
            !(self.is_stopping)()
        };
        let round = stint.round(&targets, lasts(self.config.canary.every), &goes_on);
        self.tell(&targets, &round);
        Ok(round)
    }

    fn tell(&mut self, targets: &BTreeSet<i32>, round: &Round) {
        let metrics = &self.metrics;
        let succeeded = &metrics.canary_last_success_timestamp_seconds;
        for gone in self.told.difference(targets) {
            let _ = succeeded.remove_label_values(&[&gone.to_string()]);
        }
        self.told.clone_from(targets);
        for partition in targets {
            succeeded.with_label_values(&[&partition.to_string()]); // 0: never
        }
        for (partition, result) in &round.of {
            match result {
                Ok(took) => {
                    metrics.canary_opt_out_seconds.observe(took.as_secs_f64());
                    let now = SystemClock.now().0 as f64 / 1_000.0;
                    succeeded.with_label_values(&[&partition.to_string()]).set(now);
                }
                Err(step) => {
                    metrics.canary_failures_total.with_label_values(&[step.label()]).inc();
                    if let Some(repeated) = pace::may_say(step.label()) {
                        tracing::warn!(
                            partition,
                            step = step.label(),
                            repeated,
                            "the canary failed: {}",
                            step.says()
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_outlasts_its_round_and_not_much_more() {
        assert_eq!(lasts(Duration::from_secs(10)), Span(5 * Span::MINUTE.0));
        assert_eq!(lasts(Duration::from_mins(10)), Span(20 * Span::MINUTE.0));
    }
}
