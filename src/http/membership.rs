//! Is each worker in the consumer group?

use std::time::{Duration, Instant};

/// A rebalance waits for every member. One that takes longer is no rebalance any more: nobody answers.
const REBALANCE_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Member {
    /// Never given an answer, or out of the group without having given anything back.
    No,
    Yes,
    /// Gave back what it had, at this moment, and waits for the group's answer.
    Rebalancing(Instant),
}

/// Of each worker of this process.
pub struct Membership(Vec<Member>);

impl Membership {
    pub fn of(workers: usize) -> Self {
        Self(vec![Member::No; workers])
    }

    /// The group answered, be it with no partition at all.
    pub fn joined(&mut self, worker: usize) {
        self.set(worker, Member::Yes);
    }

    pub fn gave_back(&mut self, worker: usize, at: Instant) {
        if let Some(Member::Yes) = self.0.get(worker) {
            self.set(worker, Member::Rebalancing(at));
        }
    }

    pub fn lost(&mut self, worker: usize) {
        self.set(worker, Member::No);
    }

    /// Is every worker a member?
    pub fn is_whole(&self, now: Instant) -> bool {
        self.0.iter().all(|member| match member {
            Member::No => false,
            Member::Yes => true,
            Member::Rebalancing(since) => now.saturating_duration_since(*since) <= REBALANCE_MAX,
        })
    }

    fn set(&mut self, worker: usize, member: Member) {
        if let Some(known) = self.0.get_mut(worker) {
            *known = member;
        }
    }
}
