//! What a fault does at the moment at which it strikes.

use super::{Foreign, MAX_SILENCE, SKEW_MAX, World};
use crate::faults::Fault;
use crate::log::{DELETE_RETENTION, Outdated, Topic};
use crate::stage::{PARTITIONS, PURPOSES};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::read_back_audit_batch;

/// Sessions run out, and a person comes.
const ACCEPTED_WITHIN: Span = Span(30_000);

impl World<'_> {
    pub(super) fn kill(&mut self, down: Span) {
        let place = self.random.index(self.instances.len());
        let until = self.broker.now + down;
        self.instances[place].kill(self.stage, &self.terms, until);
    }

    /// Returns how long it is in force.
    pub(super) fn strike_now(&mut self, fault: Fault) -> Span {
        let now = self.broker.now;
        let may_change_rules = self.terms.rulebook == 0 && self.has_decided_everywhere();
        let (random, broker) = (&mut self.random, &mut self.broker);
        match fault {
            Fault::BrokerAway => return Span(random.between(500, 8_000)),
            Fault::GroupMoves => {
                // Whoever asked to join on the way has to ask again, and so have all.
                if random.chance(30) {
                    broker.group.disturb();
                }
                return Span(random.between(300, 6_000));
            }
            Fault::TransactionsMove => return Span(random.between(300, 6_000)),
            Fault::StalledConsent | Fault::RegistryAway => {
                return Span(random.pick(&[1_000, 5_000, 20_000]));
            }
            Fault::SilentSource => return Span(MAX_SILENCE.0 + random.between(2_000, 10_000)),
            Fault::Zombie => {
                let lasts = Span(random.between(8_000, 20_000));
                let place = random.index(self.instances.len());
                self.instances[place].stop_for(lasts);
                return lasts;
            }
            Fault::Rebalance => broker.group.disturb(),
            Fault::Kill => {
                let down = Span(random.pick(&[100, 3_000, 15_000]));
                self.kill(down);
                return down;
            }
            Fault::OpenTransaction | Fault::AbortedTransaction => {
                let lasts = Span(random.pick(&[1_000, 4_000, 16_000]));
                self.open_foreign(now + lasts, fault == Fault::OpenTransaction);
                return lasts;
            }
            Fault::ClockForward | Fault::ClockBack => {
                let by = random.pick(&[500, 5_000, 45_000, 200_000]);
                self.move_clock(if fault == Fault::ClockBack { -by } else { by });
            }
            Fault::Leap => self.leap(),
            Fault::Absence => {
                let days = random.pick(&[20, 28, 29, 31, 31, 45]);
                self.be_away(days);
            }
            Fault::KeyRotation => {
                self.rotate(9_000);
                return Span(10_000);
            }
            Fault::StaleProbe => {
                let place = random.index(self.instances.len());
                self.instances[place].probe_is_stale = true;
            }
            Fault::StaleConsumer => {
                let place = random.index(self.instances.len());
                let (from, to) = random.pick(&[(0, PARTITIONS), (0, 1), (1, 2)]);
                self.instances[place].stale_consent.extend(from..to);
            }
            Fault::RulebookChange if !may_change_rules => {}
            Fault::RulebookChange => {
                self.terms.rulebook = random.pick(&[1, 2]);
                self.restart_in_turn();
                return Span(10_000);
            }
            _ => self.strike_topics(fault),
        }
        Span(1_000)
    }

    fn restart_in_turn(&mut self) {
        let after = |place: usize| self.broker.now + Span(1 + place as i64 * 4_000);
        let places = 0..self.instances.len();
        self.restarts = places.map(|place| (after(place), place)).collect();
    }

    /// What comes on the topics, or goes from them.
    fn strike_topics(&mut self, fault: Fault) {
        let now = self.broker.now;
        let (random, broker) = (&mut self.random, &mut self.broker);
        match fault {
            Fault::Misrouted => self.workload.misroute(random, broker),
            Fault::Unreadable => self.workload.unreadable(random, broker),
            Fault::BadClick => self.workload.bad_click(random, broker),
            Fault::DamagedClicks => self.workload.damaged_clicks(random, broker),
            Fault::DamagedConsent => self.workload.damaged_consent(random, broker),
            Fault::ForgedSignals => self.workload.forge_signals(random, broker),
            Fault::Flood => self.workload.flood(random, broker),
            Fault::Compaction => self.compact(now - Span(30_000)),
            Fault::Retention => {
                self.compact(now);
                self.delete_decided_clicks();
                if self.random.chance(60) {
                    self.delete_decided_consent();
                }
            }
            _ => {}
        }
    }

    fn move_clock(&mut self, by: i64) {
        let place = self.random.index(self.instances.len());
        let skew = &mut self.instances[place].skew;
        *skew = Span((skew.0 + by).clamp(-SKEW_MAX.0, SKEW_MAX.0));
    }

    /// The new keyset file comes to each process within so many milliseconds.
    pub(super) fn rotate(&mut self, within: i64) {
        self.terms.keys = 1;
        for instance in &mut self.instances {
            let arrives = self.broker.now + Span(self.random.between(0, within));
            instance.keys_arrive_at = instance.keys_arrive_at.min(arrives);
        }
    }

    fn open_foreign(&mut self, until: Timestamp, commits: bool) {
        let transaction = self.broker.log.begin();
        for _ in 0..self.random.between(1, 2) {
            self.workload.in_transaction(&mut self.random, &mut self.broker, transaction);
        }
        self.foreign.push(Foreign { transaction, until, commits });
    }

    /// `delete.retention` is 30 days, and who is away for so long is so by a fault of its own: of consent
    /// only those tombstones go that were decided.
    fn compact(&mut self, tombstones_before: Timestamp) {
        let before = tombstones_before;
        let segments = (0..PURPOSES.len()).map(|place| Topic::Segments(place as u8));
        for partition in 0..PARTITIONS {
            for topic in segments.clone().chain([Topic::State]) {
                self.broker.log.compact(topic, partition, Outdated { before, below: i64::MAX });
            }
            let below = self.decided_consent(partition);
            self.broker.log.compact(Topic::Consent, partition, Outdated { before, below });
        }
    }

    /// A partition of which nothing is decided takes each rulebook for a newer one, the old one of a rolling restart
    /// too; the new one is then refused (docs/contract/rulebook.md#a-change-of-rulebook).
    fn has_decided_everywhere(&self) -> bool {
        let log = &self.broker.log;
        let is_decided = |at| log.get(Topic::Audit, at).iter().any(|it| log.is_committed(it));
        (0..PARTITIONS).all(is_decided)
    }

    /// Up to where the consent of a partition is decided, and committed.
    fn decided_consent(&self, partition: i32) -> i64 {
        let log = &self.broker.log;
        let last = log.get(Topic::Audit, partition).iter().rfind(|it| log.is_committed(it));
        let batch = last.and_then(|it| read_back_audit_batch(it.record.value.as_deref()?).ok());
        batch.map_or(0, |batch| batch.consent_to)
    }

    /// What a cleanup policy with `delete` does, or DeleteRecords under it: `assent check` finds one. The
    /// state still knows what was decided, and no record names the raw ids.
    fn delete_decided_consent(&mut self) {
        for partition in 0..PARTITIONS {
            let decided = self.decided_consent(partition);
            self.broker.log.delete_below(Topic::Consent, partition, decided);
        }
    }

    fn delete_decided_clicks(&mut self) {
        for partition in 0..PARTITIONS {
            let committed = self.broker.committed(&[partition]).unwrap_or_default();
            if let Some((next_click, _)) = committed.get(&partition) {
                self.broker.log.delete_below(Topic::Clicks, partition, *next_click);
            }
        }
    }

    /// Somebody accepted a loss, and before anybody reads what there is, nobody is there for weeks again; less than is
    /// an absence by itself.
    pub(super) fn be_away_again(&mut self) {
        let now = self.broker.now;
        if self.away_again_before.take().is_some_and(|before| now < before) {
            self.faults.strike(Fault::Absence, now, Span(1_000));
            let days = self.random.pick(&[20, 28]);
            self.be_away(days);
            self.away_again_before = None;
        }
    }

    /// Nobody runs for weeks. At their beginning some decide and some are erased; at their end, compaction
    /// takes what `delete.retention` allows, read or not.
    fn be_away(&mut self, days: i64) {
        let by = Span(days * Span::DAY.0 + 40_000);
        let until = self.broker.now + by;
        self.stop_all(until + Span(200));
        for _ in 0..self.random.between(1, 6) {
            self.workload.decide(&mut self.random, &mut self.broker);
        }
        for planned in &mut self.faults.plan {
            planned.at = planned.at + by;
        }
        self.away_again_before = self.random.chance(40).then_some(until + ACCEPTED_WITHIN);
        self.broker.tick(until);
        self.end_foreign();
        let outdated = Outdated { before: until - DELETE_RETENTION, below: i64::MAX };
        for partition in 0..PARTITIONS {
            self.broker.log.compact(Topic::Consent, partition, outdated);
        }
    }

    /// Nothing happens for long, but time goes by.
    fn leap(&mut self) {
        let by = Span(self.random.pick(&[90_000, 3_600_000, 72_000_000]));
        self.broker.now = self.broker.now + by;
        self.hear_everybody(self.broker.now);
        for planned in &mut self.faults.plan {
            planned.at = planned.at + by;
        }
    }
}
