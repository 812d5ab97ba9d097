//! The simulated cluster: the log, the coordinators of transactions (version 1) and of the group.
//!
//! Transactions V1 have the hazard that the commit protocol must outlive: an `EndTxn` that arrives
//! late ends whatever transaction of that producer and epoch is open by then. Offsets that arrive late are
//! added to it, and a late initialization fences whoever was initialized in between.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Ticket};
use super::log::{Log, Record, Topic};
use assent_contract::domain::time::{Span, Timestamp};

/// `transaction.timeout` (docs/contract/batch.md#identity).
const TRANSACTION_TIMEOUT: Span = Span(10_000);

/// What a broker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another producer has this transactional.id by now, or the coordinator ended the transaction.
    Fenced,
    /// The group does not know this member with this generation.
    Evicted,
    /// No such transaction.
    Invalid,
}

/// The group's offset of a partition and its metadata.
pub type Committed = (i64, i64);

#[derive(Default)]
struct Producer {
    epoch: u32,
    transaction: Option<Transaction>,
    /// How the last one ended: asking for the same again is answered.
    ended: Option<bool>,
}

struct Transaction {
    id: usize,
    began_at: Timestamp,
    offsets: BTreeMap<i32, Committed>,
}

/// What a producer asks of a coordinator.
pub enum Request {
    Init,
    SendOffsets(BTreeMap<i32, Committed>, Ticket),
    /// EndTxn.
    End {
        commit: bool,
    },
}

/// A request that is still on its way.
struct Late {
    due: Timestamp,
    name: u8,
    epoch: u32,
    request: Request,
    /// What it was meant for; `None`: nothing was open.
    transaction: Option<usize>,
}

/// What became of requests that came late, but for initializations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateRequests {
    /// They reached the transaction that they were meant for.
    pub own: u64,
    /// They reached another one: what the protocol must never let happen.
    pub other: u64,
    /// Nothing was open, and the last transaction had ended the way that they asked for.
    pub idle: u64,
    pub fenced: u64,
}

pub struct Broker {
    pub now: Timestamp,
    pub log: Log,
    pub group: Group,
    producers: BTreeMap<u8, Producer>,
    committed: BTreeMap<i32, Committed>,
    late: Vec<Late>,
    pub late_requests: LateRequests,
    /// Which partitions' offsets each transaction sent, and when it committed.
    pub commits: BTreeMap<usize, BTreeSet<i32>>,
}

impl Broker {
    pub fn new(now: Timestamp, partitions: i32) -> Self {
        Self {
            now,
            log: Log::default(),
            group: Group::new(partitions),
            producers: BTreeMap::new(),
            committed: BTreeMap::new(),
            late: Vec::new(),
            late_requests: LateRequests::default(),
            commits: BTreeMap::new(),
        }
    }

    /// Time goes on: sessions and transactions run out, what was on its way arrives.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = now;
        self.group.expire(now);
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|it| it.due <= now);
        self.late = later;
        for late in due {
            self.arrive(late);
        }
        for producer in self.producers.values_mut() {
            let over = |it: &mut Transaction| now - it.began_at >= TRANSACTION_TIMEOUT;
            if let Some(transaction) = producer.transaction.take_if(over) {
                self.log.end(transaction.id, false, now);
                producer.epoch += 1;
            }
        }
    }

    fn arrive(&mut self, Late { name, epoch, request, transaction, .. }: Late) {
        let open = self.open_of(name);
        let done = match request {
            Request::Init => {
                self.init(name);
                return;
            }
            Request::SendOffsets(offsets, ticket) => {
                self.send_offsets(name, epoch, offsets, ticket)
            }
            Request::End { commit } => self.end(name, epoch, commit),
        };
        let count = match (done, open) {
            (Err(_), _) => &mut self.late_requests.fenced,
            (Ok(()), None) => &mut self.late_requests.idle,
            (Ok(()), open) if open == transaction => &mut self.late_requests.own,
            (Ok(()), Some(_)) => &mut self.late_requests.other,
        };
        *count += 1;
    }

    /// InitTransactions: what a predecessor left open is aborted, and its epoch is over.
    pub fn init(&mut self, name: u8) -> u32 {
        let producer = self.producers.entry(name).or_default();
        if let Some(transaction) = producer.transaction.take() {
            self.log.end(transaction.id, false, self.now);
        }
        producer.epoch += 1;
        producer.ended = None;
        producer.epoch
    }

    fn open(&mut self, name: u8, epoch: u32) -> Result<&mut Transaction, Refused> {
        let producer = self.producers.get_mut(&name).ok_or(Refused::Fenced)?;
        if producer.epoch != epoch {
            return Err(Refused::Fenced);
        }
        let log = &mut self.log;
        let began_at = self.now;
        producer.ended = None;
        Ok(producer.transaction.get_or_insert_with(|| Transaction {
            id: log.begin(),
            began_at,
            offsets: BTreeMap::new(),
        }))
    }

    /// Returns the transaction that the record is part of.
    pub fn produce(
        &mut self,
        name: u8,
        epoch: u32,
        place: (Topic, i32),
        record: Record,
    ) -> Result<usize, Refused> {
        let transaction = self.open(name, epoch)?.id;
        self.log.append(place, record, self.now, Some(transaction));
        Ok(transaction)
    }

    pub fn send_offsets(
        &mut self,
        name: u8,
        epoch: u32,
        offsets: BTreeMap<i32, Committed>,
        ticket: Ticket,
    ) -> Result<(), Refused> {
        let accepted = self.group.accepts(ticket);
        let transaction = self.open(name, epoch)?;
        if !accepted {
            return Err(Refused::Evicted);
        }
        transaction.offsets.extend(offsets);
        Ok(())
    }

    /// EndTxn.
    pub fn end(&mut self, name: u8, epoch: u32, commit: bool) -> Result<(), Refused> {
        let producer = self.producers.get_mut(&name).ok_or(Refused::Fenced)?;
        if producer.epoch != epoch {
            return Err(Refused::Fenced);
        }
        let Some(transaction) = producer.transaction.take() else {
            return if producer.ended == Some(commit) { Ok(()) } else { Err(Refused::Invalid) };
        };
        producer.ended = Some(commit);
        self.log.end(transaction.id, commit, self.now);
        if commit {
            self.commits.insert(transaction.id, transaction.offsets.keys().copied().collect());
            self.committed.extend(transaction.offsets);
        }
        Ok(())
    }

    /// A request that arrives so much later.
    pub fn later(&mut self, name: u8, epoch: u32, request: Request, delay: Span) {
        let (due, transaction) = (self.now + delay, self.open_of(name));
        self.late.push(Late { due, name, epoch, request, transaction });
    }

    /// The transaction that a producer has open.
    fn open_of(&self, name: u8) -> Option<usize> {
        let producer = self.producers.get(&name)?;
        producer.transaction.as_ref().map(|it| it.id)
    }

    /// The group's offsets; `None` while a transaction that sent some for one of these is open.
    pub fn committed(&self, partitions: &[i32]) -> Option<BTreeMap<i32, Committed>> {
        let pending = |it: &Producer| {
            let offsets = it.transaction.as_ref().map(|transaction| &transaction.offsets);
            offsets.is_some_and(|offsets| partitions.iter().any(|it| offsets.contains_key(it)))
        };
        if self.producers.values().any(pending) {
            return None;
        }
        let found = partitions.iter().filter_map(|it| Some((*it, *self.committed.get(it)?)));
        Some(found.collect())
    }
}
