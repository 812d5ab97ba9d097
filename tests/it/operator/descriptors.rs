//! A process that may have few descriptors, and a crowd that takes connections.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::{WITHIN, await_line};
use crate::support::{Service, Shop, wait_until};

const FEW: u32 = 96;

fn crowd(service: &Service, count: usize) -> Vec<TcpStream> {
    let half = |_| {
        let mut stream = TcpStream::connect(service.address()).expect("connected");
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Half: ");
        stream
    };
    (0..count).map(half).collect()
}

/// What a running process may have from now on; what it has stays.
fn allow(service: &Service, descriptors: u32) {
    let pid = service.pid().to_string();
    let limit = format!("--nofile={descriptors}:{FEW}");
    let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status().expect("prlimit");
    assert!(done.success());
}

#[test]
fn a_crowd_takes_no_descriptor_from_the_pipeline_and_no_place_from_the_scraper() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start_with_descriptors(&shop, "a", FEW);
    service.await_ready();
    let held = crowd(&service, 200);
    for _ in 0..20 {
        assert_eq!(service.get("/readyz").0, 200);
        assert_eq!(service.get("/livez").0, 200);
        assert_eq!(service.get("/metrics").0, 200);
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).expect("proc").count();
    assert!(open < FEW as usize, "{open} of {FEW} descriptors");
    drop(held);
    service.stop();
}

#[test]
fn metrics_come_back_once_descriptors_are_free_again() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start_with_descriptors(&shop, "a", FEW);
    service.await_ready();
    allow(&service, 8); // fewer than it has: every accept fails with EMFILE
    let waiting = crowd(&service, 10);
    await_line(&service, "http: can't accept a connection");
    std::thread::sleep(Duration::from_secs(1));
    allow(&service, FEW);
    drop(waiting);
    wait_until(WITHIN, "metrics again", || {
        (service.get("/metrics").0 == 200 && service.get("/readyz").0 == 200).then_some(())
    });
    assert_eq!(super::lines(&service, "http: can't accept a connection").len(), 1, "no flood");
    service.stop();
}
