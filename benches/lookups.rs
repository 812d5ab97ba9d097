//! What `scripts/bench-serve` measures look-ups with: live keys to look up, a static handler to compare with,
//! and a load at a constant rate.
//!
//! `lookups fill BOOTSTRAP TOPIC PARTITIONS KEYSET PURPOSE KEYS` writes so many live assignments, of the subjects
//! `subject-0` and on. `lookups static ADDRESS` answers every POST with a text of a look-up's size, by the same
//! axum and hyper. `lookups load ADDRESS TOKEN PURPOSE KEYS CONNECTIONS RATE SECONDS` asks at that rate, whatever
//! the answers take (a request that waits for its connection has begun when it was due), and prints one JSON
//! object: requests, errors, and latencies in microseconds.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use assent::clock::{Clock, SystemClock};
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{SchemaName, frame};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// As Assent has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As long as the answer to a look-up of one segment.
const ANSWER: &str = r#"{"segments":["preschool-explorers"],"contextual":[],"is_default":false,"purpose":"personalized-offers","basis":"OPT_IN","expires_at":1795478400000,"opt_out":null}"#;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", brokers, topic, partitions, keyset, purpose, keys] => {
            fill(brokers, topic, partitions.parse()?, keyset, purpose, keys.parse()?)
        }
        ["static", address] => serve_static(address),
        ["load", address, token, purpose, keys, connections, rate, seconds] => {
            let plan = Plan {
                address: address.to_owned(),
                token: token.to_owned(),
                purpose: purpose.to_owned(),
                keys: keys.parse()?,
                connections: connections.parse()?,
                rate: rate.parse()?,
                length: Duration::from_secs(seconds.parse()?),
            };
            load(&plan)
        }
        _ => Err("see the head of benches/lookups.rs; scripts/bench-serve runs it".into()),
    }
}

fn fill(
    brokers: &str,
    topic: &str,
    partitions: i32,
    keyset: &str,
    purpose: &str,
    keys: u64,
) -> Result<(), Failure> {
    let keyset = Keyset::parse(&std::fs::read_to_string(keyset)?).map_err(|it| it.to_string())?;
    let ring = KeyRing::new(&keyset, &[purpose.to_owned()]);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .create()?;
    let now = SystemClock.now();
    for number in 0..keys {
        let pseudonym = ring.pseudonym(0, format!("subject-{number}").as_bytes()).text();
        let assignment = SegmentAssignment {
            pseudonym: pseudonym.clone(),
            purpose: purpose.to_owned(),
            segments: vec!["preschool-explorers".to_owned()],
            basis: Basis::OptIn,
            decided_at: now,
            expires_at: Timestamp((now + Span::DAY).0),
            rulebook: "bench".to_owned(),
        };
        let value = frame(SchemaName::SegmentAssignment, &assignment.body());
        let mut record = BaseRecord::to(topic)
            .partition(Partitioner::Murmur2.partition(pseudonym.as_bytes(), partitions))
            .key(pseudonym.as_bytes())
            .payload(&value);
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            record = back;
            producer.poll(Duration::from_millis(5));
        }
        if number % 1_024 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(producer.flush(Duration::from_mins(2))?)
}

fn serve_static(address: &str) -> Result<(), Failure> {
    let kind = [("content-type", "application/json")];
    let routes = axum::Router::new()
        .fallback(axum::routing::post(move |_: axum::body::Bytes| async move { (kind, ANSWER) }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("{}", listener.local_addr()?);
        Ok(axum::serve(listener, routes).await?)
    })
}

struct Plan {
    address: String,
    token: String,
    purpose: String,
    keys: u64,
    connections: u32,
    /// Requests a second, of all connections together.
    rate: u32,
    length: Duration,
}

fn load(plan: &Plan) -> Result<(), Failure> {
    let (mut took, mut errors) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let asking = (0..plan.connections).map(|number| scope.spawn(move || ask(plan, number)));
        for asked in asking.collect::<Vec<_>>() {
            let (of_one, failed) = asked.join().expect("it does not panic")?;
            took.extend(of_one);
            errors += failed;
        }
        Ok::<_, Failure>(())
    })?;
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or(0);
    println!(
        "{}",
        serde_json::json!({
            "requests": took.len(), "errors": errors, "p50_us": at(0.5), "p99_us": at(0.99),
            "p999_us": at(0.999), "max_us": took.last(),
        })
    );
    Ok(())
}

/// Of one connection, on a thread of its own: each request when it is due, which tokio's timers miss by up to a
/// millisecond. Latencies in microseconds, and answers that were not 200 or were the default.
fn ask(plan: &Plan, connection: u32) -> Result<(Vec<u32>, u32), Failure> {
    let mut stream = TcpStream::connect(&plan.address)?;
    stream.set_nodelay(true)?;
    let every = Duration::from_secs(1) * plan.connections / plan.rate;
    let start: Instant = SystemClock.instant();
    let (mut took, mut errors, mut buffer) = (Vec::new(), 0, vec![0; 4 << 10]);
    for number in 0u32.. {
        let due = every * number + every * connection / plan.connections;
        if due > plan.length {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let key = (u64::from(number) * u64::from(plan.connections) + u64::from(connection))
            .wrapping_mul(0x9e37_79b9)
            % plan.keys;
        let body = format!(r#"{{"subject_id":"subject-{key}","purpose":"{}"}}"#, plan.purpose);
        let request = format!(
            "POST /v1/lookup HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n{body}",
            plan.token,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let length = stream.read(&mut buffer)?;
        let answer = &buffer[..length];
        let is_right = answer.starts_with(b"HTTP/1.1 200")
            && answer.windows(18).any(|window| window == b"\"is_default\":false");
        errors += u32::from(!is_right);
        took.push(start.elapsed().saturating_sub(due).as_micros() as u32);
    }
    Ok((took, errors))
}
