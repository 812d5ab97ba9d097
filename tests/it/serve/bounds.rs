//! Crowds and slow clients: the front door stays open for everybody else.

use std::time::Instant;

use serde_json::json;

use super::*;

/// As many as one test process may have besides its own: a thousand descriptors is what a shell gives.
const CROWD: usize = 600;

#[test]
fn slow_and_idle_connections_keep_nobody_out() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let half = format!("POST /v1/lookup HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SERVER}\r\n");
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut connection = TcpStream::connect(&server.address).expect("a place");
        if number % 2 == 0 {
            connection.write_all(half.as_bytes()).expect("written");
        }
        crowd.push(connection);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.look_up("kim", OFFERS)["is_default"], true);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // A body that never comes whole is given up, with an answer.
    let mut slow = TcpStream::connect(&server.address).expect("a place");
    let head = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(format!("{half}{head}").as_bytes()).expect("written");
    slow.set_read_timeout(Some(WITHIN)).expect("a time-out");
    let mut buffer = [0; 2048];
    let length = slow.read(&mut buffer).expect("an answer");
    let answer = read_answer(&String::from_utf8_lossy(&buffer[..length])).expect("an answer");
    assert_eq!(answer.status, 408, "{answer:?}");
    drop(crowd);
    serve.stop();
}

#[test]
fn a_stop_ends_what_is_under_way_and_exits_in_time() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let mut serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let mut kept = TcpStream::connect(&server.address).expect("a place");
    let body = json!({"purpose": OFFERS}).to_string();
    let request = format!(
        "POST /v1/lookup HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SERVER}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    kept.write_all(request.as_bytes()).expect("written");
    let mut buffer = [0; 2048];
    assert!(kept.read(&mut buffer).expect("an answer") > 0);
    // Half a request: it has the time that a stop leaves.
    let (first, second) = request.split_at(request.len() - 3);
    kept.write_all(first.as_bytes()).expect("written");
    std::thread::sleep(Duration::from_millis(200));
    serve.sigterm();
    std::thread::sleep(Duration::from_millis(200));
    kept.write_all(second.as_bytes()).expect("written");
    let length = kept.read(&mut buffer).expect("an answer");
    assert!(buffer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer));
    assert_eq!(serve.wait(Duration::from_secs(10)).code(), Some(0));
}
