//! Calls into librdkafka that may never come back, each on a thread that can be left behind.
//!
//! A time-out that librdkafka takes is no promise: `rd_kafka_send_offsets_to_transaction` ignores its own
//! (librdkafka issue 5456), and nothing wakes it where the coordinator that it waits for has moved (5511). So
//! the caller keeps a deadline of its own. When that has passed, it leaves the thread behind, with all that
//! the call holds: its arguments, and a handle of the client. Whoever made the call has to let go of that
//! client too; what the call still does, it does under an epoch or a name that the next client has fenced.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::clock::{Clock, SystemClock};

/// What a call gets beyond its own time-out, so that one that keeps to it is never left behind.
pub const GRACE: Duration = Duration::from_millis(500);

/// How often a wait with something to do meanwhile looks whether it is over: well below a round trip.
const LOOK: Duration = Duration::from_micros(200);

macro_rules! calls {
    ($($variant:ident = $label:literal),+ $(,)?) => {
        /// What is asked of librdkafka and waited for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Call { $($variant),+ }

        impl Call {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub const LABELS: &'static [&'static str] = &[$($label),+];

            /// As metrics and log have it.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}

calls! {
    Init = "init",
    Begin = "begin",
    SendOffsets = "send_offsets",
    Commit = "commit",
    Abort = "abort",
    CommittedOffsets = "committed_offsets",
    Offsets = "offsets",
    Metadata = "metadata",
    TopicIds = "topic_ids",
    Members = "members",
    Rights = "rights",
    Forward = "forward",
    Examine = "examine",
    ReaderLag = "reader_lag",
    Admin = "admin",
    Close = "close",
}

/// By call: how many were left behind in this process.
static LEFT_BEHIND: [AtomicU64; Call::ALL.len()] = [const { AtomicU64::new(0) }; Call::ALL.len()];

/// Of these, how many have not come back.
static STILL_OUT: AtomicUsize = AtomicUsize::new(0);

/// How many calls of this kind were left behind since the process began.
pub fn left_behind(call: Call) -> u64 {
    LEFT_BEHIND[call as usize].load(Ordering::Relaxed)
}

/// How many of those that were left behind have not come back.
pub fn still_out() -> usize {
    STILL_OUT.load(Ordering::Relaxed)
}

pub(super) fn count_left_behind(call: Call) {
    LEFT_BEHIND[call as usize].fetch_add(1, Ordering::Relaxed);
    STILL_OUT.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn count_back() {
    STILL_OUT.fetch_sub(1, Ordering::Relaxed);
}

/// A call did not come back in its time, and was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftBehind;

type Job = Box<dyn FnOnce() + Send>;

/// The calls of one owner, one at a time. Its thread waits between them, and ends with it.
#[derive(Default)]
pub struct Calls {
    /// `None`: none was made yet, or the last one was left behind.
    thread: RefCell<Option<Sender<Job>>>,
}

/// Where a call stands: who comes second, the caller's deadline or the call's end, knows of the other.
const UNDER_WAY: u8 = 0;
const CAME_BACK: u8 = 1;
const ABANDONED: u8 = 2;

impl Calls {
    /// Waits for a call that should take no longer than `within`.
    pub fn make<T: Send + 'static>(
        &self,
        call: Call,
        within: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LeftBehind> {
        self.make_meanwhile(call, within, None, work)
    }

    /// The same, with something to do meanwhile, which says whether there was anything.
    pub fn make_meanwhile<T: Send + 'static>(
        &self,
        call: Call,
        within: Duration,
        meanwhile: Option<&dyn Fn() -> bool>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LeftBehind> {
        let stands = Arc::new(AtomicU8::new(UNDER_WAY));
        let (sender, answer) = mpsc::sync_channel(1);
        let of_call = Arc::clone(&stands);
        let began = SystemClock.instant();
        self.hand_over(Box::new(move || {
            let result = work();
            if of_call.swap(CAME_BACK, Ordering::AcqRel) == ABANDONED {
                count_back();
                let took = began.elapsed();
                tracing::info!(call = call.label(), ?took, "an abandoned call returned");
            }
            let _ = sender.send(result); // nobody waits any more
        }))?;
        let deadline = began + within + GRACE;
        if let Some(result) = await_answer(&answer, deadline, meanwhile) {
            return Ok(result);
        }
        if stands.swap(ABANDONED, Ordering::AcqRel) == CAME_BACK {
            // It came back in the same moment.
            return answer.recv().map_err(|_| LeftBehind);
        }
        count_left_behind(call);
        *self.thread.borrow_mut() = None;
        tracing::warn!(
            call = call.label(),
            allowed = ?within,
            "a call to the Kafka client did not return in time; abandoning it and its client"
        );
        Err(LeftBehind)
    }

    fn hand_over(&self, job: Job) -> Result<(), LeftBehind> {
        let mut thread = self.thread.borrow_mut();
        let refused = match &*thread {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        let Some(job) = refused else { return Ok(()) };
        let started = start_thread().and_then(|jobs| {
            let handed = jobs.send(job).map_err(|_| std::io::Error::other("it ended at once"));
            handed.map(|()| jobs)
        });
        *thread = started
            .inspect_err(|error| tracing::error!(%error, "can't start a thread for calls"))
            .ok();
        if thread.is_some() { Ok(()) } else { Err(LeftBehind) }
    }
}

/// It ends when nobody has its sender any more.
fn start_thread() -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("kafka-call".to_owned())
        .spawn(move || jobs.into_iter().for_each(|job| job()))?;
    Ok(sender)
}

/// `None`: the deadline has passed. Panics where the call did.
fn await_answer<T>(
    answer: &Receiver<T>,
    deadline: Instant,
    meanwhile: Option<&dyn Fn() -> bool>,
) -> Option<T> {
    loop {
        let left = deadline.saturating_duration_since(SystemClock.instant());
        let pause = match meanwhile {
            None => left,
            Some(work) if work() => Duration::ZERO,
            Some(_) => LOOK.min(left),
        };
        match answer.recv_timeout(pause) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("a call to the Kafka client panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[test]
    fn a_call_answers_and_something_is_done_meanwhile() {
        let (calls, done) = (Calls::default(), std::cell::Cell::new(0));
        let meanwhile = || {
            done.set(done.get() + 1);
            false
        };
        let work = || {
            std::thread::sleep(SHORT);
            7
        };
        assert_eq!(calls.make_meanwhile(Call::Commit, SHORT, Some(&meanwhile), work), Ok(7));
        assert!(done.get() > 2);
        assert_eq!(calls.make(Call::Commit, SHORT, || "again"), Ok("again"));
    }

    #[test]
    fn a_call_that_hangs_is_left_behind_and_the_next_one_is_made_all_the_same() {
        let calls = Calls::default();
        let (release, hangs) = mpsc::channel::<()>();
        let (dropped, was_dropped) = mpsc::channel();
        let before = left_behind(Call::SendOffsets);
        let client = OnDrop(dropped);
        let hung = calls.make(Call::SendOffsets, SHORT, move || {
            let _client = client;
            let _ = hangs.recv();
        });
        assert_eq!(hung, Err(LeftBehind));
        assert_eq!(left_behind(Call::SendOffsets), before + 1);
        assert!(still_out() >= 1);
        assert_eq!(calls.make(Call::SendOffsets, SHORT, || 1), Ok(1));
        assert!(was_dropped.try_recv().is_err(), "it is the stuck thread's as long as it is stuck");
        release.send(()).unwrap();
        was_dropped.recv_timeout(Duration::from_secs(10)).expect("dropped once it came back");
    }

    struct OnDrop(Sender<()>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn what_is_sound_but_slow_has_its_grace() {
        let calls = Calls::default();
        let slow = || std::thread::sleep(SHORT + GRACE / 5);
        assert_eq!(calls.make(Call::Abort, SHORT, slow), Ok(()));
    }
}
