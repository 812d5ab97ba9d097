//! The endpoints over real sockets, asked well and ill.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::config::Consent;
use crate::domain::time::Timestamp;
use crate::http::PartitionStatus;

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
    let consent = Consent { max_sync_lag: Duration::from_mins(1), sources: BTreeMap::default() };
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
