//! What can go wrong, when it does in a run, and at which crash points a process then ended.

use std::collections::BTreeMap;

use super::random::Random;
use assent_contract::domain::time::{Span, Timestamp};
use assent_core::commit::POINTS;

macro_rules! faults {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$meta])* $variant),+ }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

faults! {
    /// A request that never arrives: the caller sees a time-out.
    LostRequest = "lost request",
    /// A request that works, and whose answer never arrives.
    LostAnswer = "lost answer",
    /// An `EndTxn` that arrives after its time-out, perhaps into the next transaction.
    LateEnd = "late EndTxn",
    /// A call that never comes back: it is left behind, and its request arrives late or never.
    Hang = "call left behind",
    /// The broker refuses in a way that an abort settles.
    Refusal = "abortable refusal",
    /// Some records of a batch arrive, then the broker refuses.
    TornBatch = "torn batch",
    /// No call is answered, no fetch brings anything.
    BrokerAway = "broker away",
    /// The group's coordinator moves to another broker: until it is there, nobody answers for the group.
    GroupMoves = "group coordinator moves",
    /// The same of the coordinator of transactions.
    TransactionsMove = "transaction coordinator moves",
    /// A process stands still past its session, then goes on.
    Zombie = "zombie",
    /// The group takes its partitions back and hands them out anew.
    Rebalance = "rebalance",
    /// A process ends without a word, wherever it is.
    Kill = "kill",
    /// A foreign producer leaves a transaction open on consent-changelog, then commits it.
    OpenTransaction = "open foreign transaction",
    /// The same, aborted.
    AbortedTransaction = "aborted foreign transaction",
    /// Consent can be asked about, but not fetched.
    StalledConsent = "stalled consent",
    Misrouted = "misrouted consent",
    Unreadable = "unreadable consent",
    BadClick = "bad click",
    /// A batch of clicks that a disk damaged before anybody read it.
    DamagedClicks = "damaged batch of clicks",
    /// A batch of consent that a disk damaged before anybody read it: a stop, until a person accepts the loss.
    DamagedConsent = "damaged batch of consent",
    /// Opt-out signals under ids that nobody knows, many at once.
    ForgedSignals = "forged signals",
    /// More clicks at once than are held, or go into one batch.
    Flood = "flood of clicks",
    Compaction = "compaction",
    /// Decided clicks are deleted, and tombstones compacted away; now and then, decided consent is deleted.
    Retention = "retention",
    ClockForward = "clock forward",
    ClockBack = "clock back",
    /// Hours go by at once.
    Leap = "hours pass",
    /// No process runs for weeks, while consent comes, and compaction forgets what was erased long ago.
    Absence = "absence",
    /// A source that closes the gate says nothing.
    SilentSource = "silent source",
    /// A client that asks where consent ends is told nothing any more, whoever leads.
    StaleProbe = "stale probe",
    /// A client that follows consent brings nothing any more, of one partition or of all.
    StaleConsumer = "stale consumer",
    /// The schema registry does not answer.
    RegistryAway = "schema registry away",
    KeyRotation = "key rotation",
    RulebookChange = "rulebook change",
}

/// They make a run's rest longer, whatever else struck.
pub const CLOCKS: [Fault; 2] = [Fault::ClockForward, Fault::ClockBack];

/// How often each crash point was met while each fault was in force or just over.
pub type Met = BTreeMap<(Fault, &'static str), u64>;

/// A fault counts as met for so long after it struck or ended.
const AFTERMATH: Span = Span(6_000);

/// One fault of a run's plan.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: Timestamp,
    pub fault: Fault,
    /// A process is to end at this point once the fault has struck.
    pub crash_at: Option<&'static str>,
}

#[derive(Default)]
pub struct Faults {
    pub plan: Vec<Planned>,
    in_force: Vec<(Fault, Timestamp)>,
    /// Strikes that wait for a call.
    pending: Vec<(Fault, Option<&'static str>)>,
    armed: Option<&'static str>,
    pub struck: BTreeMap<Fault, u64>,
    pub crashes: BTreeMap<&'static str, u64>,
    pub met: Met,
}

impl Faults {
    /// Some faults between two moments, most of them with a crash in their wake. Consent may be damaged before
    /// anything was written.
    pub fn planned(random: &mut Random, start: Timestamp, from: Timestamp, to: Timestamp) -> Self {
        let count = random.between(2, 6);
        let mut plan: Vec<Planned> = (0..count)
            .map(|_| {
                let fault = random.pick(Fault::ALL);
                let comes_first = fault == Fault::DamagedConsent && random.chance(30);
                let at = Timestamp(random.between(from.0, to.0));
                Planned {
                    at: if comes_first { start } else { at },
                    fault,
                    crash_at: random.chance(65).then(|| random.pick(&POINTS)),
                }
            })
            .collect();
        plan.sort_by_key(|planned| planned.at);
        Self { plan, ..Self::default() }
    }

    pub fn next_due(&mut self, now: Timestamp) -> Option<Planned> {
        let is_due = self.plan.first().is_some_and(|planned| planned.at <= now);
        is_due.then(|| self.plan.remove(0))
    }

    /// A fault is in force from now on, for this long.
    pub fn strike(&mut self, fault: Fault, now: Timestamp, lasts: Span) {
        *self.struck.entry(fault).or_default() += 1;
        self.in_force.push((fault, now + lasts));
    }

    /// It strikes at the next call that it fits, and is followed by a crash there.
    pub fn wait_for_call(&mut self, fault: Fault, crash_at: Option<&'static str>) {
        self.pending.push((fault, crash_at));
    }

    /// The first of those that wait and fit strikes.
    pub fn strike_call(&mut self, now: Timestamp, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
        let at = self.pending.iter().position(|(fault, _)| fits(*fault))?;
        let (fault, crash_at) = self.pending.remove(at);
        self.strike(fault, now, Span(1_000));
        if let Some(point) = crash_at {
            self.arm(point);
        }
        Some(fault)
    }

    pub fn is_in_force(&self, fault: Fault, now: Timestamp) -> bool {
        self.in_force.iter().any(|(of, until)| *of == fault && now < *until)
    }

    /// The next process to come to this point ends there; on the way, what leads there.
    pub fn arm(&mut self, point: &'static str) {
        match point {
            "after_abort" => self.wait_for_call(Fault::Refusal, None),
            "after_read_back" => self.wait_for_call(Fault::LostAnswer, None),
            _ => {}
        }
        self.armed = Some(point);
    }

    /// Does the process that came to this point end here?
    pub fn crashes_at(&mut self, point: &'static str, now: Timestamp) -> bool {
        if self.armed != Some(point) {
            return false;
        }
        self.armed = None;
        *self.crashes.entry(point).or_default() += 1;
        for (fault, until) in &self.in_force {
            if now < *until + AFTERMATH {
                *self.met.entry((*fault, point)).or_default() += 1;
            }
        }
        true
    }

    /// Is a process to end half way to this point?
    pub fn is_armed(&self, point: &'static str) -> bool {
        self.armed == Some(point)
    }

    /// Was any process's clock wrong in this run?
    pub fn has_touched_clocks(&self) -> bool {
        CLOCKS.iter().any(|fault| self.struck.contains_key(fault))
    }

    /// The last fault is over.
    pub fn end(&mut self) {
        self.plan.clear();
        self.pending.clear();
        self.in_force.clear();
        self.armed = None;
    }
}
