//! The reader under check: a process that is asked a question at a time, and ended with all that it started.
//!
//! Whatever it says is bounded: a line by [`LINE_BYTES_MAX`], lines that nobody asked for by a pipe that is
//! full, and of stderr the last line is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::answer::Answer;
use crate::clock::{Clock, SystemClock};
use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::foreign_text::{shown, shown_bytes};

/// All segments that one purpose can have fit into it.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A line more than one question has in reply is one too many; a few are kept to show them.
const LINES_KEPT: usize = 4;

/// How long a reader may take to end by itself once its stdin is closed.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks whether something has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has ended; how, and its last words.
    Ended(String),
    TimedOut,
    /// What it said instead.
    Nonsense(String),
    Interrupted,
}

pub struct Reader {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    last_words: Arc<Mutex<Vec<u8>>>,
}

impl Reader {
    /// Fails (64) where there is no such program.
    pub fn start(mut command: Command) -> Result<Self> {
        let program = shown(&command.get_program().to_string_lossy());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: what it starts in turn ends with it, and Ctrl-C is for the check.
        let mut child = command.process_group(0).spawn().map_err(|error| {
            let what = "check the command after --, its path, and that it may be executed";
            Failure::new(Exit::Usage, format!("{program}: can't be started: {error}; {what}"))
        })?;
        let (sender, lines) = sync_channel(LINES_KEPT);
        let last_words = Arc::<Mutex<Vec<u8>>>::default();
        if let Some(stdout) = child.stdout.take() {
            listen("reader-stdout", stdout, move |line| pass_on(line, &sender))?;
        }
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&last_words);
            listen("reader-stderr", stderr, move |line| keep(line, &kept))?;
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, last_words })
    }

    /// What would be used for this key?
    pub fn ask(
        &mut self,
        pseudonym: &str,
        deadline: Instant,
        interrupted: &AtomicBool,
    ) -> std::result::Result<Answer, Silence> {
        if let Ok(line) = self.lines.try_recv() {
            return Err(Silence::Nonsense(format!("{}, unasked", shown_bytes(&line))));
        }
        let question = format!("use {pseudonym}\n");
        let written = self.stdin.as_mut().map(|stdin| stdin.write_all(question.as_bytes()));
        if !matches!(written, Some(Ok(()))) {
            return Err(self.ended());
        }
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Answer::parse(&line).map_err(Silence::Nonsense),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => {
                    return Err(Silence::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if SystemClock.instant() >= deadline => {
                    return Err(Silence::TimedOut);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Closes its stdin, and waits until it has ended by itself; or ends it.
    pub fn stop(mut self) {
        drop(self.stdin.take());
        self.await_end(ENDED_WITHIN);
    }

    /// Ends it at once: SIGKILL, to all that it started too.
    pub fn kill(self) {
        drop(self);
    }

    fn await_end(&mut self, within: Duration) -> bool {
        let deadline = SystemClock.instant() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => return true,
                Ok(None) if SystemClock.instant() < deadline => std::thread::sleep(LOOK),
                _ => return false,
            }
        }
    }

    /// Its pipes are closed: how it ended.
    fn ended(&mut self) -> Silence {
        drop(self.stdin.take());
        if !self.await_end(Duration::from_secs(1)) {
            return Silence::Ended("it closed its stdin or stdout".to_owned());
        }
        let status = self.child.wait().map_or_else(|error| error.to_string(), |it| it.to_string());
        std::thread::sleep(LOOK); // its last words are on their way
        let last_words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last_words.as_slice() {
            [] => Silence::Ended(format!("it ended with {status}")),
            words => Silence::Ended(format!("it ended with {status}: {}", shown_bytes(words))),
        }
    }
}

impl Drop for Reader {
    /// Also what it left behind when it ended: a child of a shell, for example.
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands over each line, without its end and cut where it is too long, until nobody takes them.
fn listen(
    name: &str,
    from: impl Read + Send + 'static,
    mut take: impl FnMut(Vec<u8>) -> bool + Send + 'static,
) -> Result<()> {
    let work = move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                return;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if !take(line) {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Failure::failed(format!("can't start a thread: {error}")))
}

fn pass_on(line: Vec<u8>, to: &SyncSender<Vec<u8>>) -> bool {
    to.send(line).is_ok()
}

fn keep(line: Vec<u8>, kept: &Mutex<Vec<u8>>) -> bool {
    if !line.iter().all(u8::is_ascii_whitespace) {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Reader {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Reader::start(command).expect("sh starts")
    }

    fn ask(reader: &mut Reader, within: Duration) -> std::result::Result<Answer, Silence> {
        reader.ask("key", SystemClock.instant() + within, &AtomicBool::new(false))
    }

    #[test]
    fn each_question_has_its_answer_until_stdin_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (asked, ended) = (folder.path().join("asked"), folder.path().join("ended"));
        let script = format!(
            "while read -r line; do echo \"$line\" >> {}; echo yes a; done; echo > {}",
            asked.display(),
            ended.display()
        );
        let mut reader = shell(&script);
        for _ in 0..2 {
            assert_eq!(ask(&mut reader, PATIENCE), Ok(Answer::yes(&["a"])));
        }
        reader.stop();
        assert_eq!(std::fs::read_to_string(asked).expect("asked"), "use key\nuse key\n");
        assert!(ended.exists(), "it was not killed");
    }

    #[test]
    fn one_that_dies_is_silent_or_says_nonsense_is_told_as_that() {
        let mut dead = shell("read -r line; printf 'why \\033[2J\\n' >&2; exit 3");
        let Err(Silence::Ended(how)) = ask(&mut dead, PATIENCE) else { panic!("it ended") };
        assert!(how.contains("exit status: 3") && how.contains("why"), "{how}");
        assert!(!how.contains('\u{1b}'), "{how}");
        assert!(matches!(ask(&mut dead, PATIENCE), Err(Silence::Ended(_))));

        let mut silent = shell("sleep 60");
        assert_eq!(ask(&mut silent, Duration::from_millis(50)), Err(Silence::TimedOut));

        let mut odd = shell("read -r line; echo perhaps; read -r line");
        assert_eq!(ask(&mut odd, PATIENCE), Err(Silence::Nonsense("perhaps".to_owned())));

        let mut long = shell("read -r line; head -c 10000000 /dev/zero | tr '\\0' x; read -r line");
        let Err(Silence::Nonsense(what)) = ask(&mut long, PATIENCE) else { panic!("nonsense") };
        assert!(what.chars().count() <= 200, "{}", what.len());
    }

    #[test]
    fn an_interruption_ends_the_wait() {
        let mut silent = shell("sleep 60");
        let deadline = SystemClock.instant() + PATIENCE;
        let answer = silent.ask("key", deadline, &AtomicBool::new(true));
        assert_eq!(answer, Err(Silence::Interrupted));
    }

    #[test]
    fn what_a_reader_started_ends_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let script =
            format!("sleep 60 & echo $! > {}; read -r line; echo yes a; wait", pid.display());
        let mut reader = shell(&script);
        assert_eq!(ask(&mut reader, PATIENCE), Ok(Answer::yes(&["a"])));
        let pid: i32 = std::fs::read_to_string(pid).expect("a pid").trim().parse().expect("a pid");
        reader.kill();
        let pid = Pid::from_raw(pid).expect("a pid");
        let deadline = SystemClock.instant() + PATIENCE;
        while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid) {
            assert!(SystemClock.instant() < deadline, "it still runs");
            std::thread::sleep(LOOK);
        }
    }

    /// Where nobody waits for it, an ended process stays as a zombie.
    fn is_zombie(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    }
}
