//! `state accept-loss`: goes on after a stop, from the audit's own head.
//!
//! It joins the group as its only member, so the group coordinator fences it as it would any worker:
//! an instance that starts meanwhile takes the partitions away, and nothing more is committed. Each
//! transaction leaves a partition that still stops, but the last one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::orphans::{Orphans, find_orphans};
use super::sole_member::{SoleMember, again, failure_of};
use super::words::{Withheld, statement};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::examine::{Place, Verdict, examine};
use crate::kafka::probe::Probe;
use crate::kafka::reach::find_files;
use crate::kafka::topics;
use crate::pipeline::admit;
use crate::pipeline::shared::{Shared, Start, share};
use crate::pipeline::survey::{Gathered, Survey, gather, refused};
use crate::registry::{self, Framings, Subject};
use assent_contract::domain::audit::chain::GENESIS;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::Timestamp;
use assent_core::engine::loss::{AuditHead, Losses, Range, sequence_of};
use assent_core::engine::store::{bucket_heads, is_evidence};
use assent_core::engine::{
    Accepted, Doubt, ORPHANS_PER_BATCH_MAX, Orphan, Partition, Restore, Salvage,
};

/// What was found of one partition.
pub struct Finding {
    pub partition: i32,
    pub losses: Losses,
    pub withheld: Withheld,
}

/// What is there to go on from.
enum Held {
    State(Box<Partition>),
    /// The state was lost: what can still be read of it, and the keys that its topic holds.
    Remains(Box<Salvage>, BTreeSet<Vec<u8>>),
}

/// Everything that was lost, looked at by the group's only member.
pub struct Recovery {
    shared: Shared,
    member: SoleMember,
    survey: Survey,
    lost: BTreeMap<i32, (Losses, Held)>,
    orphans: Orphans,
    /// Of what going on writes: nothing is registered for a look.
    subjects: Vec<Subject>,
}

impl Recovery {
    /// Looks at every partition; writes nothing. `asked`: those to go on with; `None`: all.
    pub fn look(start: Start, asked: Option<&BTreeSet<i32>>) -> Result<Self> {
        let config = Arc::clone(&start.config);
        find_files(&config)?;
        let probe = Probe::new(&config)
            .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
        let purposes: Vec<String> = start.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
        let counts = topics::check(&probe, &config, &start.rulebook, &*start.clock)?;
        admit(&start, &counts)?;
        let all: Vec<i32> = (0..counts.inputs).collect();
        check_asked(asked, counts.inputs)?;
        let subjects = registry::outputs(&config, &purposes);
        let unregistered = Framings::unregistered(&subjects);
        let shared = share(start, counts, &purposes, &unregistered);
        let member = SoleMember::join(&shared, &probe, all.len())?;
        let survey = again(&shared, || Survey::take(&shared, &probe, &all, || member.is_alone()))?;
        let states = again(&shared, || gather(&config, &probe, &all, true, || member.is_alone()))?;
        let (lost, orphans) = (BTreeMap::new(), Orphans::default());
        let mut recovery = Self { shared, member, survey, lost, orphans, subjects };
        recovery.compare(&probe, states, asked)?;
        Ok(recovery)
    }

    fn compare(
        &mut self,
        probe: &Probe,
        states: BTreeMap<i32, Gathered>,
        asked: Option<&BTreeSet<i32>>,
    ) -> Result<()> {
        let is_asked = |partition: &i32| asked.is_none_or(|asked| asked.contains(partition));
        let mut accounted: HashSet<(String, Pseudonym)> = HashSet::new();
        let mut without_state = Vec::new();
        for (partition, mut gathered) in states {
            let (salvage, keys) = (gathered.salvage(), std::mem::take(&mut gathered.keys));
            let state = gathered.finish(&self.shared).map_err(failure_of)?;
            let mut losses = self.survey.losses(partition, &state, None);
            if losses.state.is_none() && losses.consent.is_none() {
                let next = losses.resume.next_consent;
                let unreadable = unreadable_consent(&self.shared.config, partition, next)?;
                losses = self.survey.losses(partition, &state, unreadable);
            }
            let held = match state {
                Ok(engine) if losses.state.is_none() => {
                    accounted.extend(engine.live_keys().map(|(of, key)| (of.to_owned(), key)));
                    Held::State(Box::new(engine))
                }
                _ => {
                    without_state.push(partition);
                    Held::Remains(Box::new(salvage), keys)
                }
            };
            if !losses.is_empty() && is_asked(&partition) {
                self.lost.insert(partition, (losses, held));
            }
        }
        let chosen: Vec<i32> = without_state.iter().copied().filter(is_asked).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        if chosen != without_state {
            return Err(all_at_once(&without_state));
        }
        self.orphans = find_orphans(&self.shared, &self.member, probe, &chosen, &accounted)?;
        Ok(())
    }

    /// What was lost, by partition.
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |(&partition, (losses, held)): (&i32, &(Losses, Held))| {
            let withheld = match held {
                Held::State(engine) => {
                    let (subjects, live_keys) = engine.in_doubt(self.doubt(losses, engine));
                    Withheld { subjects, live_keys }
                }
                Held::Remains(..) => {
                    Withheld { subjects: 0, live_keys: self.orphans.of(partition).len() }
                }
            };
            Finding { partition, losses: losses.clone(), withheld }
        };
        self.lost.iter().map(finding).collect()
    }

    /// Live keys of nobody whom the changelog still names.
    pub fn unattributed(&self) -> usize {
        self.orphans.unattributed
    }

    /// Goes on with all of it; `progress` hears of each partition that is done.
    pub fn accept(mut self, mut progress: impl FnMut(i32)) -> Result<()> {
        let Shared { registry, clock, destinations, .. } = &mut self.shared;
        destinations.reframe(&Framings::settle(registry.as_ref(), &self.subjects, &**clock)?);
        self.member.begin(&self.shared)?;
        for (partition, (losses, held)) in std::mem::take(&mut self.lost) {
            self.go_on(partition, &losses, held)?;
            progress(partition);
        }
        self.leave();
        Ok(())
    }

    /// Leaves the group.
    pub fn leave(self) {
        self.member.leave();
    }

    fn go_on(&mut self, partition: i32, losses: &Losses, held: Held) -> Result<()> {
        let mut engine = match held {
            Held::State(engine) => *engine,
            Held::Remains(salvage, keys) => self.begin_anew(partition, losses, *salvage, &keys)?,
        };
        if engine.positions().is_none() {
            let begins = losses.begins();
            engine.start_at(begins.next_click, begins.next_consent);
        }
        let doubt = self.doubt(losses, &engine);
        let mut doubted = engine.doubted(doubt);
        while !doubted.is_empty() {
            let (decided, output) = engine.withhold_doubted(self.now(), &mut doubted);
            self.member.write(&self.shared, partition, &output)?;
            engine = decided.confirm();
        }
        let statement = statement(&self.shared.config, partition, losses);
        let accepted = Accepted {
            resume: losses.resume,
            topics: self.survey.topics,
            statement: &statement,
            signals_lost_at: doubt.signals_lost_at,
            consent_is_withheld: losses.doubts_consent(),
            absence: self.survey.absence.filter(|_| losses.state.is_none()),
        };
        let (_, output) = engine.accept_loss(self.now(), &accepted);
        self.member.write(&self.shared, partition, &output)
    }

    fn doubt(&self, losses: &Losses, engine: &Partition) -> Doubt {
        Doubt {
            consent: losses.consent.is_some(),
            signals_lost_at: losses.doubts_signals().then(|| engine.clock_at(self.now())),
        }
    }

    /// A state in place of the lost one, once the keys that the lost one knew are removed.
    fn begin_anew(
        &mut self,
        partition: i32,
        losses: &Losses,
        salvage: Salvage,
        keys: &BTreeSet<Vec<u8>>,
    ) -> Result<Partition> {
        let setup = self.shared.setup();
        let head = self.head(partition, losses);
        let restore = Restore::recovered(partition, salvage, &head, &setup);
        let mut engine = restore.finish(setup).map_err(|refusal| failure_of(refused(&refusal)))?;
        // Heads of buckets last: they take what the deltas before them brought.
        let left = keys.iter().filter(|key| !is_evidence(key) && **key != b"meta").cloned();
        let wiped: Vec<Vec<u8>> = left.chain(bucket_heads()).collect();
        let purposes = Arc::clone(&self.orphans.purposes);
        let orphans: Vec<Orphan> = self.orphans.of(partition).to_vec();
        let mut chunks = orphans.chunks(ORPHANS_PER_BATCH_MAX);
        let mut chunk = chunks.next().unwrap_or_default();
        let mut wiped = wiped.as_slice();
        loop {
            let (decided, output) = engine.remove_orphans(self.now(), &purposes, chunk, wiped);
            self.member.write(&self.shared, partition, &output)?;
            engine = decided.confirm();
            wiped = &[];
            match chunks.next() {
                Some(next) => chunk = next,
                None => return Ok(engine),
            }
        }
    }

    /// Where the chain goes on. Of an audit that holds nothing of it, the group's number is the last
    /// that is known, and nothing is left that could be forked.
    fn head(&self, partition: i32, losses: &Losses) -> AuditHead {
        let group = self.survey.group(partition);
        let decided = sequence_of(group).unwrap_or(0);
        let mut head = self.survey.audit(partition).cloned().unwrap_or_else(|| AuditHead {
            next_sequence: decided,
            hash: GENESIS,
            click_to: group.map_or(losses.resume.next_click, |group| group.offset),
            consent_to: losses.resume.next_consent,
            decided_at: Timestamp::MIN,
        });
        // Batches behind it were committed, and nobody can read them: no sequence is used twice.
        if losses.audit.is_some() && decided > head.next_sequence {
            head.next_sequence = decided;
            head.click_to = group.map_or(head.click_to, |group| group.offset);
        }
        head
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

/// What `run` stops at: consent at this offset that no client can read.
fn unreadable_consent(config: &Config, partition: i32, next: i64) -> Result<Option<Range>> {
    let topic = config.topics.consent.clone();
    match examine(config, &Place { topic, partition, offset: next }) {
        Verdict::Readable { .. } => Ok(None),
        Verdict::Unreadable { last, .. } => Ok(Some(Range { start: next, end: last + 1 })),
        Verdict::Unclear(why) => Err(Failure::unavailable(format!(
            "topic {}, partition {partition}, offset {next}: can't tell what lies there ({why}); \
             check that every broker runs",
            config.topics.consent
        ))),
    }
}

fn check_asked(asked: Option<&BTreeSet<i32>>, count: i32) -> Result<()> {
    let unknown = asked.and_then(|asked| asked.iter().find(|&&partition| partition >= count));
    unknown.map_or(Ok(()), |unknown| {
        Err(Failure::new(
            Exit::Usage,
            format!("--partitions {unknown}: there are only {count} partitions, counted from 0"),
        ))
    })
}

fn all_at_once(without_state: &[i32]) -> Failure {
    let all: Vec<String> = without_state.iter().map(i32::to_string).collect();
    let all = all.join(",");
    Failure::failed(format!(
        "partitions {all} lost their state, and without it nobody can tell which live key belongs \
         to which of them; accept all of them at once with --partitions {all}"
    ))
}
