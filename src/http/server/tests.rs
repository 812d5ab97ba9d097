//! The endpoints over real sockets, asked well and ill.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::config::Consent;
use crate::http::PartitionStatus;
use crate::http::Status;
use assent_contract::domain::time::Timestamp;

fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn started() -> (Server, Arc<Status>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let consent = Consent {
        max_sync_lag: Duration::from_mins(1),
        signals_without_record_max: 1,
        sources: BTreeMap::default(),
    };
    let status = Arc::new(Status::new(1, &consent, clock.clone()));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (serve(any, Arc::new(Metrics::new()), status.clone()).unwrap(), status, clock)
}

#[test]
fn answers_over_a_real_socket() {
    let (server, status, clock) = started();
    let address = server.address();
    let (code, body) = ask(address, "/metrics");
    assert_eq!(code, 200);
    assert!(body.contains("assent_build_info{"), "{body}");
    assert_eq!(ask(address, "/livez").0, 200);
    assert_eq!(ask(address, "/readyz"), (503, r#"{"ready":false,"partitions":[]}"#.into()));
    assert!(ask(address, "/version").1.contains(VERSION));
    assert_eq!(ask(address, "/else").0, 404);

    status.set_joined(0, &[]);
    let good = PartitionStatus {
        restored: true,
        consent_sync_lag_seconds: 0.5,
        gate_open: true,
        reasons: vec![],
        ..PartitionStatus::restoring(Timestamp(0))
    };
    status.set_partition(0, 7, good);
    let body = r#"{"ready":true,"partitions":[{"partition":7,"restored":true,"consent_sync_lag_seconds":0.5,"gate_open":true,"reason":null}]}"#;
    assert_eq!(ask(address, "/readyz"), (200, body.into()));

    clock.advance(Duration::from_secs(31));
    assert_eq!(ask(address, "/livez"), (503, r#"{"live":false}"#.into()));
}

#[test]
fn a_taken_port_is_one_message_and_a_dropped_server_frees_it() {
    let (server, status, _) = started();
    let address = server.address();
    let metrics = Arc::new(Metrics::new());
    let Err(failure) = serve(address, metrics.clone(), status.clone()) else {
        panic!("two servers on one port");
    };
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.message.starts_with("http.listen: can't listen on 127.0.0.1:"), "{failure}");
    drop(server);
    serve(address, metrics, status).unwrap();
}

/// A server that is short of places and of patience.
fn short(connections: usize, patience_ms: u64) -> Server {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let consent = Consent {
        max_sync_lag: Duration::from_mins(1),
        signals_without_record_max: 1,
        sources: BTreeMap::default(),
    };
    let status = Arc::new(Status::new(1, &consent, clock));
    let limits = Limits { connections, patience: Duration::from_millis(patience_ms) };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    serve_within(limits, any, Arc::new(Metrics::new()), status).unwrap()
}

const LONG: Duration = Duration::from_secs(20);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads to the end; an end that comes as a reset is one, too. Panics where none comes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        let still_open = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
        assert!(!still_open.contains(&error.kind()), "it stays open: {error}");
    }
    read
}

#[test]
fn who_says_nothing_or_half_is_let_go() {
    let server = short(8, 300);
    let idle = connect(server.address());
    let mut half = connect(server.address());
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost: a").unwrap();
    let mut used = connect(server.address());
    used.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(rest(idle).is_empty());
    assert!(rest(half).is_empty());
    assert!(rest(used).starts_with(b"HTTP/1.1 200"), "idle after its answer");
}

#[test]
fn a_byte_now_and_then_is_no_request() {
    let server = short(8, 500);
    let mut dripping = connect(server.address());
    let drops = b"GET /metrics HTTP/1.1\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let fell = drops.iter().take_while(|&&byte| {
        std::thread::sleep(Duration::from_millis(100));
        dripping.write_all(&[byte]).is_ok()
    });
    assert!(fell.count() < 20, "let go in the middle of a head");
}

#[test]
fn who_asks_and_does_not_read_is_let_go() {
    let server = short(8, 500);
    let mut slow = connect(server.address());
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    // Requests without end, until both sides' buffers are full of answers, and then until the end.
    while slow.write_all(&request).is_ok() {}
    assert!(slow.set_read_timeout(Some(LONG)).is_ok());
    assert_eq!(ask(server.address(), "/version").0, 200);
    rest(slow);
}

#[test]
fn requests_in_a_row_have_their_answers_in_a_row() {
    let server = short(8, 500);
    let mut stream = connect(server.address());
    let paths = ["/version", "/livez", "/else"];
    let all: String = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).concat();
    stream.write_all(all.as_bytes()).unwrap();
    let answers = String::from_utf8(rest(stream)).unwrap();
    let codes: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["200", "200", "404"]);
}

#[test]
fn a_head_without_end_is_refused() {
    let server = short(8, 10_000);
    let mut stream = connect(server.address());
    let _ = write!(stream, "GET /metrics HTTP/1.1\r\nX-Long: {}\r\n\r\n", "a".repeat(1_000_000));
    assert!(rest(stream).starts_with(b"HTTP/1.1 431"));
    assert_eq!(ask(server.address(), "/version").0, 200);
}

#[test]
fn a_crowd_leaves_a_place_for_the_scraper() {
    let server = short(4, 60_000);
    let crowd: Vec<TcpStream> = (0..40).map(|_| connect(server.address())).collect();
    assert_eq!(ask(server.address(), "/metrics").0, 200);
    let mut open = 0;
    for mut stream in crowd {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        open += usize::from(stream.read(&mut [0]).is_err());
    }
    assert!(open <= 4, "{open} are still open");
}

#[test]
fn a_crowd_from_one_address_closes_no_connection_of_another() {
    let server = short(4, 60_000);
    let address = server.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut scraper = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap().into_std().unwrap()
    });
    scraper.set_nonblocking(false).unwrap();
    let _crowd: Vec<TcpStream> = (0..40).map(|_| connect(address)).collect();
    scraper.write_all(b"GET /version HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n").unwrap();
    assert!(rest(scraper).starts_with(b"HTTP/1.1 200"));
}

#[test]
fn connections_take_a_share_of_the_descriptors() {
    assert_eq!(Limits::of(None).connections, 256);
    assert_eq!(Limits::of(Some(1_048_576)).connections, 256);
    assert_eq!(Limits::of(Some(96)).connections, 24);
    assert_eq!(Limits::of(Some(1)).connections, 1);
}
