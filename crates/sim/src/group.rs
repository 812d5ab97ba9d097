//! The simulated consumer group: static members, generations, sessions, eager rebalances.
//!
//! Whoever sends offsets shows a [`Ticket`]; that of a member or a generation that is over is refused,
//! which is what fences a zombie (INV-5).

use std::collections::BTreeMap;

use assent_contract::domain::time::{Span, Timestamp};

/// `session.timeout` (docs/contract/batch.md#identity).
const SESSION: Span = Span(12_000);

/// The group's metadata as captured at assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    member: u64,
    generation: u32,
}

/// What a poll brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    /// Give back what is owned, then join again.
    Revoked,
    Assigned(Vec<i32>, Ticket),
    /// The member is nobody any more: what it owned is lost.
    Lost,
}

struct Member {
    id: u64,
    seen_at: Timestamp,
    joined: bool,
    told: u32,
}

pub struct Group {
    partitions: i32,
    members: BTreeMap<u8, Member>,
    generation: u32,
    is_preparing: bool,
    members_made: u64,
}

impl Group {
    pub fn new(partitions: i32) -> Self {
        let (members, generation) = (BTreeMap::new(), 0);
        Self { partitions, members, generation, is_preparing: false, members_made: 0 }
    }

    /// Joins under a static name. Known by that name within its session: its partitions are its own
    /// again, without a rebalance, and its predecessor is fenced.
    pub fn join(&mut self, name: u8, now: Timestamp) -> u64 {
        self.members_made += 1;
        let id = self.members_made;
        let is_known = self.members.contains_key(&name);
        self.members.insert(name, Member { id, seen_at: now, joined: true, told: 0 });
        if !is_known {
            self.prepare(name);
        }
        self.complete();
        id
    }

    /// A rebalance without cause: an operator's, or a coordinator that moved.
    pub fn disturb(&mut self) {
        self.prepare(u8::MAX);
    }

    fn prepare(&mut self, joined: u8) {
        if !self.is_preparing {
            self.is_preparing = true;
            for (name, member) in &mut self.members {
                member.joined = *name == joined;
            }
        }
    }

    fn complete(&mut self) {
        if self.is_preparing && self.members.values().all(|member| member.joined) {
            self.is_preparing = false;
            self.generation += 1;
        }
    }

    /// What a member has given back, it has given back: it joins again.
    pub fn rejoin(&mut self, name: u8, member: u64) {
        if let Some(known) = self.members.get_mut(&name).filter(|it| it.id == member) {
            known.joined = true;
        }
        self.complete();
    }

    /// A member goes in good order.
    pub fn leave(&mut self, name: u8) {
        if self.members.remove(&name).is_some() {
            self.prepare(u8::MAX);
        }
        self.complete();
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn poll(&mut self, name: u8, member: u64, now: Timestamp) -> Told {
        let generation = self.generation;
        let Some(known) = self.members.get_mut(&name).filter(|it| it.id == member) else {
            return Told::Lost;
        };
        known.seen_at = now;
        if self.is_preparing {
            return if known.joined { Told::Nothing } else { Told::Revoked };
        }
        if known.told == generation {
            return Told::Nothing;
        }
        known.told = generation;
        Told::Assigned(self.partitions_of(name), Ticket { member, generation })
    }

    /// Members that live were heard of until now, whatever time went by.
    pub fn hear(&mut self, name: u8, now: Timestamp) {
        if let Some(member) = self.members.get_mut(&name) {
            member.seen_at = now;
        }
    }

    pub fn expire(&mut self, now: Timestamp) {
        let before = self.members.len();
        self.members.retain(|_, member| now - member.seen_at <= SESSION);
        if self.members.len() < before {
            self.prepare(u8::MAX);
        }
        self.complete();
    }

    /// Range assignment.
    fn partitions_of(&self, name: u8) -> Vec<i32> {
        let names: Vec<u8> = self.members.keys().copied().collect();
        let Some(place) = names.iter().position(|it| *it == name) else { return Vec::new() };
        let count = names.len() as i32;
        let begin =
            |place: i32| place * (self.partitions / count) + place.min(self.partitions % count);
        (begin(place as i32)..begin(place as i32 + 1)).collect()
    }

    pub fn accepts(&self, ticket: Ticket) -> bool {
        ticket.generation == self.generation
            && self.members.values().any(|member| member.id == ticket.member)
    }
}
