//! A wire between clients and a broker that can hold requests or lose answers: what a network does
//! to a commit, on demand.
//!
//! A request of Kafka's protocol is a 4-byte length, then the api key and version (2 bytes each),
//! then the correlation id (4 bytes); an answer is a length and the correlation id.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// EndTxn: the request that commits or aborts.
const END_TXN: u16 = 26;

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

/// Shared by the threads of the wire.
struct State {
    fate: Fate,
    /// How many met another fate than to pass.
    met: usize,
    /// What the broker answered to the one that was held: its error code.
    late_answer: Option<i16>,
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
        let state = State { fate: Fate::Pass, met: 0, late_answer: None };
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
                if let Ok(upstream) = TcpStream::connect(&broker) {
                    proxy.connect(client, upstream);
                }
            }
        });
    }

    pub fn set(&self, fate: Fate) {
        self.state.0.lock().unwrap().fate = fate;
        self.state.1.notify_all();
    }

    /// How many commits or aborts were held or lost so far.
    pub fn met(&self) -> usize {
        self.state.0.lock().unwrap().met
    }

    /// The error code of the broker's answer to the request that was held; `None`: none yet.
    pub fn late_answer(&self) -> Option<i16> {
        self.state.0.lock().unwrap().late_answer
    }

    fn connect(&self, client: TcpStream, upstream: TcpStream) {
        let lost = Arc::new(Mutex::new(HashSet::<[u8; 4]>::new()));
        let late = Arc::new(Mutex::new(HashSet::<[u8; 4]>::new()));
        let pair = |a: &TcpStream, b: &TcpStream| (a.try_clone().unwrap(), b.try_clone().unwrap());
        let (mut from, mut to) = pair(&client, &upstream);
        let (proxy, lost_here, late_here) = (self.clone(), Arc::clone(&lost), Arc::clone(&late));
        std::thread::spawn(move || {
            while let Some(frame) = read_frame(&mut from) {
                if frame.len() >= 12 && frame[4..6] == END_TXN.to_be_bytes() {
                    proxy.meet(&frame, &lost_here, &late_here);
                }
                if to.write_all(&frame).is_err() {
                    return;
                }
            }
            // A client that hung up while its request was held: the broker still gets it.
            std::thread::sleep(Duration::from_millis(500));
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let (mut from, mut to) = (upstream, client);
        let proxy = self.clone();
        std::thread::spawn(move || {
            while let Some(frame) = read_frame(&mut from) {
                let correlation: [u8; 4] = frame[4..8].try_into().unwrap();
                if lost.lock().unwrap().remove(&correlation) {
                    continue;
                }
                if late.lock().unwrap().remove(&correlation) {
                    // EndTxn up to version 2: throttle time (4 bytes), error code (2 bytes).
                    let code = i16::from_be_bytes(frame[12..14].try_into().unwrap());
                    proxy.state.0.lock().unwrap().late_answer = Some(code);
                }
                if to.write_all(&frame).is_err() {
                    return;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
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
