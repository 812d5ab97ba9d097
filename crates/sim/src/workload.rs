//! What people, shops and consent platforms do: clicks, consent and heartbeats as they would be on
//! the topics, and the inputs that are wrong.

use std::collections::BTreeMap;

use super::broker::Broker;
use super::log::{Record, Topic};
use super::random::Random;
use super::stage::{
    ABSENT_SCHEMA, CLICK_SCHEMA, CONSENT_SCHEMA, PARTITIONER, PARTITIONS, PURPOSES, SESSIONS,
    SOURCE, STRANGERS, SUBJECTS,
};
use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent_contract::domain::event::{ClickEvent, EventKind};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{
    Framing, SchemaName, click_body, consent_body, encode_click, encode_consent,
};

#[derive(Default)]
pub struct Workload {
    last: BTreeMap<&'static str, ConsentRecord>,
    /// Who clicks next, and at once: their consent has just been acknowledged.
    racer: Option<&'static str>,
    /// Strangers who are about to become known.
    newcomers: Vec<&'static str>,
    /// Some write under ids of a schema registry.
    has_registry: bool,
    pub inputs: u64,
}

/// The partition of a key in an input topic.
pub fn partition_of(key: &[u8]) -> i32 {
    PARTITIONER.partition(key, PARTITIONS)
}

impl Workload {
    pub fn new(has_registry: bool) -> Self {
        Self { has_registry, ..Self::default() }
    }

    /// One more input; returns how long until the next one.
    pub fn go_on(&mut self, random: &mut Random, broker: &mut Broker) -> Span {
        self.inputs += 1;
        if let Some(subject) = self.racer.take() {
            self.click(random, broker, subject);
            return Span(random.between(50, 900));
        }
        if random.chance(25)
            && let Some(subject) = self.newcomers.pop()
        {
            self.consent(random, broker, subject);
            return pause(random);
        }
        let subject = self.anybody(random);
        match random.between(0, 99) {
            0..=57 => self.click(random, broker, subject),
            58..=86 => self.consent(random, broker, subject),
            87..=90 => self.erase(random, broker, subject),
            91..=93 => self.repeat(random, broker, subject),
            _ => {
                let partition = random.between(0, i64::from(PARTITIONS) - 1) as i32;
                heartbeat(broker, partition);
            }
        }
        if self.racer.is_some() { Span(random.between(0, 40)) } else { pause(random) }
    }

    /// Some were erased so long ago that what is kept of it ends while the history runs.
    pub fn begin(&mut self, random: &mut Random, broker: &mut Broker) {
        for subject in SUBJECTS {
            if random.chance(40) {
                let place = (Topic::Consent, partition_of(subject.as_bytes()));
                let key = Some(subject.as_bytes().to_vec());
                let erasure = Record { key, value: None, headers: Vec::new() };
                let ends_at = broker.now + Span(random.between(1_000, 40_000));
                broker.log.append(place, erasure, ends_at - Span::MONTHS_24, None);
                self.inputs += 1;
            }
        }
    }

    /// Strangers who have become known act as the others do.
    fn anybody(&self, random: &mut Random) -> &'static str {
        let known: Vec<_> = STRANGERS.iter().filter(|it| self.last.contains_key(**it)).collect();
        if !known.is_empty() && random.chance(30) {
            return known[random.index(known.len())];
        }
        random.pick(&SUBJECTS)
    }

    fn consent(&mut self, random: &mut Random, broker: &mut Broker, subject: &'static str) {
        let record = self.record(random, broker.now, subject);
        self.write(random, broker, subject, Some(&record));
        self.last.insert(subject, record);
    }

    fn erase(&mut self, random: &mut Random, broker: &mut Broker, subject: &'static str) {
        self.write(random, broker, subject, None);
    }

    /// One more decision, or erasure; nobody clicks.
    pub fn decide(&mut self, random: &mut Random, broker: &mut Broker) {
        self.inputs += 1;
        let subject = self.anybody(random);
        if random.chance(50) {
            self.erase(random, broker, subject);
        } else {
            self.consent(random, broker, subject);
        }
        self.racer = None;
    }

    /// The same again, or an older version, as a platform that retries would.
    fn repeat(&mut self, random: &mut Random, broker: &mut Broker, subject: &'static str) {
        let Some(record) = self.last.get(subject) else { return };
        let mut record = record.clone();
        record.version -= random.between(0, 1);
        if random.chance(50) {
            record.opt_out_signal_at = Some(broker.now);
        }
        self.write(random, broker, subject, Some(&record));
    }

    /// Who says something may click right after.
    fn write(
        &mut self,
        random: &mut Random,
        broker: &mut Broker,
        subject: &'static str,
        record: Option<&ConsentRecord>,
    ) {
        let framing = if self.has_registry && random.chance(20) {
            Framing::Confluent(CONSENT_SCHEMA)
        } else {
            Framing::SingleObject(SchemaName::ConsentRecord)
        };
        let value = record.map(|record| framing.frame(&consent_body(record)));
        append(broker, partition_of(subject.as_bytes()), subject, value, None);
        self.racer = random.chance(60).then_some(subject);
    }

    /// On the partition where it does not belong.
    pub fn misroute(&mut self, random: &mut Random, broker: &mut Broker) {
        let subject = random.pick(&SUBJECTS);
        let record = self.record(random, broker.now, subject);
        let partition = (partition_of(subject.as_bytes()) + 1) % PARTITIONS;
        append(broker, partition, subject, Some(encode_consent(&record)), None);
        self.last.insert(subject, record);
        self.inputs += 1;
    }

    pub fn unreadable(&mut self, random: &mut Random, broker: &mut Broker) {
        let subject = random.pick(&SUBJECTS);
        let mut value = encode_consent(&self.record(random, broker.now, subject));
        match random.between(0, 2) {
            0 => value.truncate(value.len() - 1),
            1 => value[4] ^= 0xff,
            _ => value.extend_from_slice(b"more"),
        }
        append(broker, partition_of(subject.as_bytes()), subject, Some(value), None);
        self.racer = Some(subject);
        self.inputs += 1;
    }

    /// In a foreign transaction, which somebody else ends.
    pub fn in_transaction(&mut self, random: &mut Random, broker: &mut Broker, transaction: usize) {
        let subject = random.pick(&SUBJECTS);
        let record = self.record(random, broker.now, subject);
        let partition = partition_of(subject.as_bytes());
        append(broker, partition, subject, Some(encode_consent(&record)), Some(transaction));
        self.last.insert(subject, record);
        self.inputs += 1;
    }

    pub fn bad_click(&mut self, random: &mut Random, broker: &mut Broker) {
        let subject = random.pick(&SUBJECTS);
        let event = event(random, broker.now, Some(subject));
        let mut partition = partition_of(subject.as_bytes());
        let (mut key, mut value) = (Some(subject.as_bytes().to_vec()), Some(encode_click(&event)));
        match random.between(0, 4) {
            0 => value = None,
            1 => value = value.map(|it| it[..it.len() - 1].to_vec()),
            2 => key = Some(SESSIONS[0].as_bytes().to_vec()),
            3 => partition = (partition + 1) % PARTITIONS,
            _ => key = None,
        }
        let record = Record { key, value, headers: Vec::new() };
        broker.log.append((Topic::Clicks, partition), record, broker.now, None);
        self.inputs += 1;
    }

    /// Clicks of one batch, which nobody can read.
    pub fn damaged_clicks(&mut self, random: &mut Random, broker: &mut Broker) {
        let subject = random.pick(&SUBJECTS);
        let partition = partition_of(subject.as_bytes());
        let (mut first, mut last) = (i64::MAX, 0);
        for _ in 0..random.between(1, 4) {
            let value = Some(encode_click(&event(random, broker.now, Some(subject))));
            let record =
                Record { key: Some(subject.as_bytes().to_vec()), value, headers: Vec::new() };
            last = broker.log.append((Topic::Clicks, partition), record, broker.now, None);
            first = first.min(last);
            self.inputs += 1;
        }
        broker.log.damage(Topic::Clicks, partition, (first, last));
    }

    /// Consent of one batch, which nobody can read. Whoever wrote it does not know.
    pub fn damaged_consent(&mut self, random: &mut Random, broker: &mut Broker) {
        let partition = partition_of(random.pick(&SUBJECTS).as_bytes());
        let (mut first, mut last) = (i64::MAX, 0);
        for _ in 0..random.between(1, 4) {
            let subject = random.pick(&SUBJECTS);
            if partition_of(subject.as_bytes()) == partition {
                let record = self.record(random, broker.now, subject);
                let value = (!random.chance(15)).then(|| encode_consent(&record));
                self.last.insert(subject, record);
                last = append(broker, partition, subject, value, None);
            } else {
                last = heartbeat(broker, partition);
            }
            first = first.min(last);
            self.inputs += 1;
        }
        broker.log.damage(Topic::Consent, partition, (first, last));
    }

    /// A flood of signals under new ids. Some of who sent one, or stayed away, then say what they decided.
    pub fn forge_signals(&mut self, random: &mut Random, broker: &mut Broker) {
        for _ in 0..random.between(3, 12) {
            let subject = random.pick(&STRANGERS);
            let mut event = event(random, broker.now, Some(subject));
            event.gpc = Some(true);
            self.send(random, broker, &event);
            self.inputs += 1;
        }
        for _ in 0..random.between(0, 3) {
            self.newcomers.push(random.pick(&STRANGERS));
        }
    }

    /// Of everybody, at once.
    pub fn flood(&mut self, random: &mut Random, broker: &mut Broker) {
        for _ in 0..random.between(20, 60) {
            let subject = random.pick(&SUBJECTS);
            self.click(random, broker, subject);
            self.inputs += 1;
        }
    }

    fn click(&self, random: &mut Random, broker: &mut Broker, subject: &'static str) {
        let subject = random.chance(93).then_some(subject);
        let event = event(random, broker.now, subject);
        self.send(random, broker, &event);
    }

    fn send(&self, random: &mut Random, broker: &mut Broker, event: &ClickEvent) {
        let key = event.key().as_bytes().to_vec();
        let place = (Topic::Clicks, partition_of(&key));
        let framing = if !self.has_registry || random.chance(70) {
            Framing::SingleObject(SchemaName::ClickEvent)
        } else if random.chance(90) {
            Framing::Confluent(CLICK_SCHEMA)
        } else {
            Framing::Confluent(ABSENT_SCHEMA)
        };
        let value = Some(framing.frame(&click_body(event)));
        let record = Record { key: Some(key), value, headers: vec![] };
        broker.log.append(place, record, broker.now, None);
    }

    fn record(&self, random: &mut Random, now: Timestamp, subject: &'static str) -> ConsentRecord {
        let recent =
            |random: &mut Random| now - Span(random.pick(&[0, 5, 900, 30_000, 86_400_000]));
        let before = self.last.get(subject).map_or(0, |record| record.version);
        let band = |random: &mut Random| {
            random.pick(&[
                AgeBand::From18,
                AgeBand::From18,
                AgeBand::From16To17,
                AgeBand::From13To15,
                AgeBand::Under13,
                AgeBand::Unknown,
            ])
        };
        let age_band = match self.last.get(subject) {
            Some(last) if random.chance(80) => last.age_band,
            _ => band(random),
        };
        ConsentRecord {
            subject_id: subject.to_owned(),
            version: before + random.pick(&[1, 1, 1, 1, 1, 1, 1, 0, 2]),
            recorded_at: now - recorded_ago(random),
            age_band,
            decisions: PURPOSES
                .iter()
                .map(|purpose| ((*purpose).to_owned(), decision(random, now)))
                .collect(),
            guardian: random.chance(75).then(|| Guardian {
                verified_at: begins(random, now),
                method: None,
                coppa_consent: random.chance(90),
                coppa_disclosure: random.chance(90),
                ccpa_authorization: random.chance(90),
            }),
            double_opt_in_at: random.chance(70).then(|| begins(random, now)),
            opt_out_signal_at: random.chance(8).then(|| recent(random)),
            source: if random.chance(70) { SOURCE } else { "shop" }.to_owned(),
            receipt_id: None,
        }
    }
}

fn decision(random: &mut Random, now: Timestamp) -> Decision {
    let status = match random.between(0, 9) {
        0..=6 => ConsentStatus::Granted,
        7 => ConsentStatus::Denied,
        8 => ConsentStatus::Withdrawn,
        _ => ConsentStatus::NotAsked,
    };
    let ends_in = [2_000, 9_000, 30_000, 86_400_000];
    Decision {
        status,
        since: begins(random, now),
        expires_at: random.chance(35).then(|| now + Span(random.pick(&ends_in))),
        notice_version: None,
    }
}

/// Now and then before any erasure that is still known.
fn recorded_ago(random: &mut Random) -> Span {
    let long_ago = Span(Span::MONTHS_24.0 + Span::DAY.0);
    if random.chance(8) { long_ago } else { Span(random.pick(&[0, 0, 3, 3, 20_000])) }
}

/// From when on something is granted: now and then from a moment that lies ahead.
fn begins(random: &mut Random, now: Timestamp) -> Timestamp {
    now - Span(random.pick(&[0, 10, 2_000, 86_400_000, -4_000]))
}

fn event(random: &mut Random, now: Timestamp, subject: Option<&str>) -> ClickEvent {
    let ago = [0, 0, 0, 3, 500, 20_000, 4_000_000, 90_000_000, -1_000, -300_001];
    ClickEvent {
        event_id: "e".to_owned(),
        subject_id: subject.map(str::to_owned),
        session_id: random.pick(&SESSIONS).to_owned(),
        occurred_at: now - Span(random.pick(&ago)),
        kind: random.pick(&[EventKind::ProductView, EventKind::ProductView, EventKind::Purchase]),
        category: random.chance(70).then(|| random.pick(&["toys", "books"]).to_owned()),
        product_id: None,
        product_age_range: None,
        value_cents: random.chance(50).then(|| random.pick(&[100, 200, -100])),
        region: random.chance(50).then(|| random.pick(&["US-CA", "US-NY"]).to_owned()),
        gpc: random
            .pick(&[Some(false), None, Some(false), Some(false), Some(true)])
            .filter(|&it| !it || random.chance(35)),
        gpp: None,
    }
}

fn pause(random: &mut Random) -> Span {
    match random.between(0, 9) {
        0..=3 => Span(random.between(0, 20)),
        4..=8 => Span(random.between(100, 1_500)),
        _ => Span(random.between(2_000, 6_000)),
    }
}

/// Returns its offset.
pub fn heartbeat(broker: &mut Broker, partition: i32) -> i64 {
    let record = Record {
        key: Some(format!("__assent_heartbeat_{partition}").into_bytes()),
        value: None,
        headers: vec![("source", SOURCE.to_owned())],
    };
    broker.log.append((Topic::Consent, partition), record, broker.now, None)
}

fn append(
    broker: &mut Broker,
    partition: i32,
    subject: &str,
    value: Option<Vec<u8>>,
    transaction: Option<usize>,
) -> i64 {
    let record = Record { key: Some(subject.as_bytes().to_vec()), value, headers: Vec::new() };
    broker.log.append((Topic::Consent, partition), record, broker.now, transaction)
}
