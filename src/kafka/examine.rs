//! What lies at an offset that could not be read: can another client read it, or one that takes larger
//! answers; and if none can, how far does it reach?
//!
//! Every look has a client of its own, since librdkafka takes a damaged batch's bytes for an offset and goes
//! on from there. A batch is judged by what is said of it, never by time: where nothing is said, nothing is
//! known. Keeps INV-12 without a silent jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::calls::{Call, count_back, count_left_behind};
use super::client::LoggedIn;
use super::consumer::{Answers, following_input, is_of_data};
use super::events::{Event, Queue, ReadError};
use super::handle::Handle;
use super::probe::{Isolation, Probe};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::intake::RECORD_BYTES_MAX;

/// A look that brings nothing for so long has found nothing out. Long, since a batch that grows by a thousand
/// takes its time, and memory: another look meanwhile would take as much again.
const LOOK: Duration = Duration::from_secs(30);

const ANSWER: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(1);

/// How librdkafka ends what it says of an answer that is larger than it takes.
const TOO_LARGE: &str = "increase receive.message.max.bytes";

/// Answers in a row that held bytes, and nothing that could be read.
const EMPTY_MAX: u32 = 3;

/// An examination looks some 30 times at most, mostly within milliseconds; one that takes longer does not
/// come back.
const EXAMINED_WITHIN: Duration = Duration::from_mins(5);

/// Where something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// What was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be read, or nothing is there; `larger`: by a client that takes larger answers alone.
    Readable { larger: bool },
    /// It can't be read up to `last`, and what follows can, or is another batch.
    Unreadable { last: i64, reason: String },
    /// Nobody said enough.
    Unclear(String),
}

/// An examination on a thread that can be left behind.
pub struct Examination {
    answer: Receiver<Verdict>,
    began: Instant,
    stands: Arc<AtomicU32>,
}

const UNDER_WAY: u32 = 0;
const CAME_BACK: u32 = 1;
const ABANDONED: u32 = 2;

impl Examination {
    pub fn begin(config: &Arc<Config>, place: Place) -> Self {
        let (sender, answer) = sync_channel(1);
        let stands = Arc::new(AtomicU32::new(UNDER_WAY));
        let (config, of_thread) = (Arc::clone(config), Arc::clone(&stands));
        let started =
            std::thread::Builder::new().name("kafka-examine".to_owned()).spawn(move || {
                let verdict = examine(&config, &place);
                if of_thread.swap(CAME_BACK, Ordering::AcqRel) == ABANDONED {
                    count_back();
                }
                let _ = sender.send(verdict); // nobody waits any more
            });
        if let Err(error) = started {
            tracing::error!(%error, "can't start a thread to examine a batch");
        }
        Self { answer, began: SystemClock.instant(), stands }
    }

    /// Its verdict, once; where it does not come back, that nothing is known.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.answer.try_recv() {
            Ok(verdict) => Some(verdict),
            Err(TryRecvError::Disconnected) => {
                Some(Verdict::Unclear("it could not begin".to_owned()))
            }
            Err(TryRecvError::Empty) if self.began.elapsed() < EXAMINED_WITHIN => None,
            Err(TryRecvError::Empty) => {
                if self.stands.swap(ABANDONED, Ordering::AcqRel) == UNDER_WAY {
                    count_left_behind(Call::Examine);
                }
                Some(Verdict::Unclear("it did not come back".to_owned()))
            }
        }
    }
}

/// Looks at a place for as long as that takes: some 30 looks at most.
pub fn examine(config: &Config, place: &Place) -> Verdict {
    let end = match last_stable(config, place) {
        Ok(end) if place.offset < end => end,
        Ok(_) => return Verdict::Readable { larger: false },
        Err(error) => return Verdict::Unclear(error.to_string()),
    };
    let look = |offset, answers| look(config, &Place { offset, ..place.clone() }, answers);
    let damage = match look(place.offset, Answers::Usual) {
        Found::Record { .. } | Found::Passed => return Verdict::Readable { larger: false },
        Found::Fault(damage) => damage,
        Found::TooLarge(why) => {
            return match look(place.offset, Answers::Larger) {
                Found::Record { .. } | Found::Passed => Verdict::Readable { larger: true },
                _ => Verdict::Unclear(why),
            };
        }
        Found::Nothing(why) => return Verdict::Unclear(why),
    };
    let next = match next_readable(place.offset, end, &damage, |at| look(at, Answers::Usual)) {
        Ok(next) => next,
        Err(why) => return Verdict::Unclear(why),
    };
    if damage.may_be_size() && is_readable_when_larger(config, place, next) {
        return Verdict::Readable { larger: true };
    }
    Verdict::Unreadable { last: next - 1, reason: damage.reason }
}

/// Before the first open transaction: what lies beyond is not read yet.
fn last_stable(config: &Config, place: &Place) -> KafkaResult<i64> {
    let probe = Probe::with(config, "examine", Isolation::Committed)?;
    let ends = probe.ends(&place.topic, &[place.partition], ANSWER)?;
    let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
    ends.get(&place.partition).copied().ok_or(unknown)
}

/// What a look found first.
enum Found {
    Record {
        bytes: usize,
    },
    /// No record, but the position went on: control records, or aborted ones.
    Passed,
    Fault(Damage),
    /// The answer itself is larger than the client takes.
    TooLarge(String),
    /// Nothing was said in time, or something that is no fault of the bytes.
    Nothing(String),
}

/// What was said of bytes that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Damage {
    /// The batch's first offset, as it says itself.
    base: Option<i64>,
    code: Option<RDKafkaErrorCode>,
    reason: String,
}

impl Damage {
    fn of(error: &ReadError) -> Self {
        Self { base: Some(error.offset), code: Some(error.code), reason: shown(&error.reason) }
    }

    fn unparsable() -> Self {
        let reason = "its records can't be told apart".to_owned();
        Self { base: None, code: None, reason }
    }

    /// Is this another thing that was said of the same batch? One of whom nobody says where it begins is taken
    /// for the same as another such.
    fn is_of_batch(&self, other: &Self) -> bool {
        self.base == other.base
    }

    /// A checksum holds however large the answer is.
    fn may_be_size(&self) -> bool {
        self.code.is_some_and(|code| code != RDKafkaErrorCode::BadMessage)
    }
}

/// The first offset behind the damaged batch: offsets are tried further and further ahead, then between the
/// last one that is still in it and the first one that is not.
fn next_readable(
    from: i64,
    end: i64,
    damage: &Damage,
    mut look: impl FnMut(i64) -> Found,
) -> Result<i64, String> {
    let mut is_inside = |at| match look(at) {
        Found::Fault(other) if damage.is_of_batch(&other) => Ok(true),
        Found::Nothing(why) => Err(why),
        _ => Ok(false),
    };
    let (mut inside, mut outside, mut step) = (from, end, 1);
    while inside + step < outside {
        if is_inside(inside + step)? {
            (inside, step) = (inside + step, 2 * step);
        } else {
            outside = inside + step;
            break;
        }
    }
    while outside - inside > 1 {
        let at = inside + (outside - inside) / 2;
        if is_inside(at)? {
            inside = at;
        } else {
            outside = at;
        }
    }
    Ok(outside)
}

/// Does a batch that is too large for a usual answer hold a record that is not?
fn is_readable_when_larger(config: &Config, place: &Place, next: i64) -> bool {
    let mut offset = place.offset;
    // A batch of at most four times the largest record: a few of them are larger.
    for _ in 0..4 {
        match look(config, &Place { offset, ..place.clone() }, Answers::Larger) {
            Found::Record { bytes } if bytes <= RECORD_BYTES_MAX => return true,
            Found::Record { .. } if offset + 1 < next => offset += 1,
            _ => return false,
        }
    }
    false
}

/// Counts answers that held bytes and no record: what librdkafka says of them is a line of its log alone.
struct Listener {
    empty: AtomicU32,
}

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "CONSUME" && is_of_nothing(message) {
            self.empty.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is the event that counts.
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Listener {}

fn is_of_nothing(line: &str) -> bool {
    line.contains("Enqueue 0 ")
        && line.contains(" bytes, 0 ops)")
        && line.contains(", 0 ctrl msgs, 0 aborted msgsets")
}

/// The queue goes first.
struct Looker {
    queue: Queue,
    consumer: LoggedIn<BaseConsumer<Listener>>,
}

/// What comes first from there on.
fn look(config: &Config, place: &Place, answers: Answers) -> Found {
    let looker = match looker(config, place, answers) {
        Ok(looker) => looker,
        Err(error) => return Found::Nothing(error.to_string()),
    };
    let Looker { queue, consumer } = &*looker;
    let began = SystemClock.instant();
    let mut said = "no answer".to_owned();
    while began.elapsed() < LOOK {
        match queue.poll(&**consumer.context()) {
            Some(Event::Record(record)) => {
                let bytes = record.payload().map_or(0, <[u8]>::len);
                return Found::Record { bytes: bytes + record.key().map_or(0, <[u8]>::len) };
            }
            Some(Event::Error(error)) if error.partition.is_some() && is_of_data(error.code) => {
                return Found::Fault(Damage::of(&error));
            }
            Some(Event::Error(error)) if error.reason.contains(TOO_LARGE) => {
                return Found::TooLarge(shown(&error.reason));
            }
            Some(Event::Error(error)) => said = shown(&error.reason),
            Some(_) => {}
            None => {
                if has_passed(consumer, place.offset) {
                    return Found::Passed;
                }
                if consumer.context().empty.load(Ordering::Relaxed) >= EMPTY_MAX {
                    return Found::Fault(Damage::unparsable());
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
    Found::Nothing(said)
}

fn looker(config: &Config, place: &Place, answers: Answers) -> KafkaResult<Handle<Looker>> {
    let mut client = following_input(config, answers);
    // Apart from what answers hold, its lines name places only; none is logged.
    client.set("debug", "fetch").set_log_level(RDKafkaLogLevel::Debug);
    let consumer: LoggedIn<BaseConsumer<Listener>> =
        client.create_with_context(Listener { empty: AtomicU32::new(0) })?;
    let missing = || KafkaError::ClientCreation("the consumer has no queue".to_owned());
    let queue = Queue::of(&consumer).ok_or_else(missing)?;
    let looker = Handle::new(Looker { queue, consumer });
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.topic, place.partition, Offset::Offset(place.offset))?;
    looker.consumer.assign(&list)?;
    Ok(looker)
}

fn has_passed(consumer: &BaseConsumer<Listener>, offset: i64) -> bool {
    let Ok(positions) = consumer.position() else { return false };
    let first = positions.elements().first().map(TopicPartitionListElem::offset);
    matches!(first, Some(Offset::Offset(at)) if at > offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches, each with its first and last offset, and whether it can be read.
    fn looks_at(batches: &[(i64, i64, bool)], tells_base: bool) -> impl Fn(i64) -> Found {
        move |at| {
            let of = batches.iter().find(|(_, last, _)| at <= *last).expect("within the log");
            if of.2 {
                return Found::Record { bytes: 1 };
            }
            let base = tells_base.then_some(of.0);
            Found::Fault(Damage { base, code: None, reason: String::new() })
        }
    }

    fn damage(base: Option<i64>) -> Damage {
        Damage { base, code: None, reason: String::new() }
    }

    #[test]
    fn the_end_of_a_damaged_batch_is_found_whatever_its_length() {
        for length in 1..200 {
            for tells_base in [true, false] {
                let batches = [(10, 9 + length, false), (10 + length, 400, true)];
                let base = tells_base.then_some(10);
                let next = next_readable(10, 401, &damage(base), looks_at(&batches, tells_base));
                assert_eq!(next, Ok(10 + length), "{length}");
            }
        }
    }

    #[test]
    fn a_batch_between_two_damaged_ones_is_not_given_up() {
        for (good, bad) in [(1, 1), (1, 50), (7, 3), (90, 90)] {
            for first in 1..40 {
                let (second, third) = (10 + first, 10 + first + good);
                let batches = [
                    (10, second - 1, false),
                    (second, third - 1, true),
                    (third, third + bad - 1, false),
                    (third + bad, 1_000, true),
                ];
                let next = next_readable(10, 1_001, &damage(Some(10)), looks_at(&batches, true));
                assert_eq!(next, Ok(second), "{first} {good} {bad}");
            }
        }
    }

    #[test]
    fn a_batch_of_which_nothing_is_said_is_not_the_one_that_fails_its_checksum() {
        for damaged_base in [Some(10), None] {
            let other = if damaged_base.is_some() { None } else { Some(60) };
            let next = next_readable(10, 101, &damage(damaged_base), |at| match at {
                ..50 => Found::Fault(damage(damaged_base)),
                50..60 => Found::Record { bytes: 1 },
                _ => Found::Fault(damage(other)),
            });
            assert_eq!(next, Ok(50));
        }
    }

    #[test]
    fn a_damaged_batch_at_the_end_reaches_to_the_end() {
        let batches = [(10, 400, false)];
        let next = next_readable(12, 31, &damage(Some(10)), looks_at(&batches, true));
        assert_eq!(next, Ok(31));
    }

    #[test]
    fn who_hears_nothing_gives_nothing_up() {
        let next = next_readable(10, 100, &damage(Some(10)), |at| match at {
            11 => Found::Fault(damage(Some(10))),
            _ => Found::Nothing("no answer".to_owned()),
        });
        assert_eq!(next, Err("no answer".to_owned()));
    }

    /// As librdkafka 2.12.1 says it.
    #[test]
    fn an_answer_without_a_record_is_told_from_one_with_control_records() {
        let line = |messages, ops, control| {
            format!(
                "Enqueue {messages} message(s) (0 bytes, {ops} ops) on t [0] fetch queue (qlen 0, v2, \
                 last_offset -1, {control} ctrl msgs, 0 aborted msgsets, uncompressed)"
            )
        };
        assert!(is_of_nothing(&line(0, 0, 0)));
        assert!(!is_of_nothing(&line(0, 0, 1)) && !is_of_nothing(&line(0, 1, 0)));
        assert!(!is_of_nothing(&line(3, 3, 0)));
    }
}
