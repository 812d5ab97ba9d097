//! A wire between clients and a broker: one that is cut, slow or dead, holds a commit, or loses the
//! answer to it. What a network does, on demand.
//!
//! A request of Kafka's protocol is a 4-byte length, then the api key and version (2 bytes each),
//! then the correlation id (4 bytes); an answer is a length and the correlation id.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// EndTxn: the request that commits or aborts.
const END_TXN: u16 = 26;

/// What was under way when one side hung up still arrives, as on a real network.
const LINGER: Duration = Duration::from_millis(500);

/// What happens to commits and aborts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// The broker gets the first such request once it is released, and nothing else of that
    /// connection before. Later ones, on other connections, pass.
    HoldRequest,
    /// The broker does it, and nobody hears of it.
    LoseAnswer,
}

/// What happens to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    /// Answers take so much longer.
    Slow(Duration),
    /// Nothing arrives, nobody is told; what was sent meanwhile arrives once the link is up.
    Dead,
    /// Every connection is cut and none is taken.
    Cut,
}

/// Shared by the threads of the wire.
struct State {
    fate: Fate,
    /// How many met another fate than to pass.
    met: usize,
    /// What the broker answered to the one that was held: its error code.
    late_answer: Option<i16>,
    link: Link,
    /// Both ends of every connection there ever was.
    ends: Vec<TcpStream>,
}

#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    /// Listens; the broker's address is told later, since the broker must advertise this one.
    pub fn listen() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (fate, met, late_answer) = (Fate::Pass, 0, None);
        let state = State { fate, met, late_answer, link: Link::Up, ends: Vec::new() };
        let address = listener.local_addr().expect("an address");
        (Self { address, state: Arc::new((Mutex::new(state), Condvar::new())) }, listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes connections on to `broker` from now on, in threads that end with the process.
    pub fn serve(&self, listener: TcpListener, broker: String) {
        let proxy = self.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if proxy.state.0.lock().unwrap().link == Link::Cut {
                    continue;
                }
                if let Ok(upstream) = TcpStream::connect(&broker) {
                    proxy.connect(client, upstream);
                }
            }
        });
    }

    /// Counts anew, unless everything passes again.
    pub fn set(&self, fate: Fate) {
        let mut state = self.state.0.lock().unwrap();
        state.fate = fate;
        if fate != Fate::Pass {
            (state.met, state.late_answer) = (0, None);
        }
        drop(state);
        self.state.1.notify_all();
    }

    pub fn set_link(&self, link: Link) {
        let mut state = self.state.0.lock().unwrap();
        state.link = link;
        if link == Link::Cut {
            for end in state.ends.drain(..) {
                let _ = end.shutdown(Shutdown::Both); // gone already
            }
        }
        self.state.1.notify_all();
    }

    /// The error code of the broker's answer to the request that was held; `None`: none yet.
    pub fn late_answer(&self) -> Option<i16> {
        self.state.0.lock().unwrap().late_answer
    }

    fn connect(&self, client: TcpStream, upstream: TcpStream) {
        let lost = Arc::new(Mutex::new(HashSet::<[u8; 4]>::new()));
        let late = Arc::new(Mutex::new(HashSet::<[u8; 4]>::new()));
        let clone = |end: &TcpStream| end.try_clone().expect("a second handle");
        self.state.0.lock().unwrap().ends.extend([clone(&client), clone(&upstream)]);

        let (proxy, lost_here, late_here) = (self.clone(), Arc::clone(&lost), Arc::clone(&late));
        self.carry(clone(&client), clone(&upstream), false, move |request| {
            if request.len() >= 12 && request[4..6] == END_TXN.to_be_bytes() {
                proxy.meet(request, &lost_here, &late_here);
            }
            true
        });
        let proxy = self.clone();
        self.carry(upstream, client, true, move |answer| {
            let correlation: [u8; 4] = answer[4..8].try_into().unwrap();
            if late.lock().unwrap().remove(&correlation) {
                // EndTxn up to version 2: throttle time (4 bytes), error code (2 bytes).
                let code = i16::from_be_bytes(answer[12..14].try_into().unwrap());
                proxy.state.0.lock().unwrap().late_answer = Some(code);
            }
            !lost.lock().unwrap().remove(&correlation)
        });
    }

    /// One direction: frames that pass `look` go on, in order, once the link lets them.
    fn carry(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        answers: bool,
        mut look: impl FnMut(&[u8]) -> bool + Send + 'static,
    ) {
        let (sender, frames) = mpsc::channel::<(Instant, Vec<u8>)>();
        let proxy = self.clone();
        std::thread::spawn(move || {
            for (due, frame) in frames {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                proxy.await_link();
                if to.write_all(&frame).is_err() {
                    return;
                }
            }
            std::thread::sleep(LINGER);
            let _ = to.shutdown(Shutdown::Both);
        });
        let proxy = self.clone();
        std::thread::spawn(move || {
            while let Some(frame) = read_frame(&mut from) {
                if look(&frame) && sender.send((proxy.due(answers), frame)).is_err() {
                    return;
                }
            }
        });
    }

    /// When a frame that comes now may go on.
    fn due(&self, answer: bool) -> Instant {
        match self.state.0.lock().unwrap().link {
            Link::Slow(by) if answer => Instant::now() + by,
            _ => Instant::now(),
        }
    }

    fn await_link(&self) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |state| state.link == Link::Dead));
    }

    /// Returns when the request may go on.
    fn meet(&self, frame: &[u8], lost: &Mutex<HashSet<[u8; 4]>>, late: &Mutex<HashSet<[u8; 4]>>) {
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        match state.fate {
            Fate::Pass => {}
            Fate::LoseAnswer => {
                state.met += 1;
                lost.lock().unwrap().insert(frame[8..12].try_into().unwrap());
            }
            Fate::HoldRequest if state.met > 0 => {}
            Fate::HoldRequest => {
                state.met += 1;
                late.lock().unwrap().insert(frame[8..12].try_into().unwrap());
                while state.fate == Fate::HoldRequest {
                    state = changed.wait(state).unwrap();
                }
            }
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = length.to_vec();
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}
