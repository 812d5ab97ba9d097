//! A server that behaves like the documented list APIs: pages by a continuation token, in no order, windows of
//! at most 7 days, and 429 with Retry-After for who asks too often.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What it wants as `Authorization: Bearer`.
pub const TOKEN: &str = "token-of-the-platforms-api";

#[derive(Default)]
struct State {
    /// Purpose details of OneTrust, each with its time in epoch ms.
    details: Vec<(i64, Value)>,
    /// Consents of TrustArc.
    consents: Vec<Value>,
    asked: Vec<String>,
    /// So many answers are a 429.
    refuse: u32,
}

pub struct Api {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Api {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || drop(answer(connection, &state)));
            }
        });
        Self { url, state }
    }

    pub fn add_detail(&self, at_ms: i64, detail: Value) {
        self.state.lock().unwrap().details.push((at_ms, detail));
    }

    pub fn set_consents(&self, consents: Vec<Value>) {
        self.state.lock().unwrap().consents = consents;
    }

    pub fn refuse(&self, times: u32) {
        self.state.lock().unwrap().refuse = times;
    }

    /// Paths with their queries.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn answer(connection: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut is_known, mut continuation) = (false, String::new());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
        let (name, value) = header.trim().split_once(": ").unwrap_or_default();
        is_known |=
            name.eq_ignore_ascii_case("authorization") && value == format!("Bearer {TOKEN}");
        if name.eq_ignore_ascii_case("requestContinuation") {
            value.clone_into(&mut continuation);
        }
    }
    let (status, more, body) = if is_known {
        page(&path, &continuation, &mut state.lock().unwrap())
    } else {
        (401, "", json!({}))
    };
    let body = body.to_string();
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let _ = reader.read(&mut [0; 1]);
    Ok(())
}

fn page(path: &str, continuation: &str, state: &mut State) -> (u16, &'static str, Value) {
    state.asked.push(path.to_owned());
    if state.refuse > 0 {
        state.refuse -= 1;
        return (429, "Retry-After: 1\r\n", json!({}));
    }
    if path.starts_with("/server/api/v1/external/consents") {
        return (200, "", json!(state.consents));
    }
    let query = |name: &str| {
        let (_, query) = path.split_once('?')?;
        query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")))
    };
    let times = query("updatedSince").and_then(time).zip(query("updatedUntil").and_then(time));
    let Some((from, to)) = times.filter(|(from, to)| to - from <= 7 * 86_400_000) else {
        return (400, "", json!({"message": "at most 7 days"}));
    };
    let mut found: Vec<&Value> = state
        .details
        .iter()
        .filter(|(at, _)| (from..=to).contains(at))
        .map(|(_, detail)| detail)
        .collect();
    found.reverse();
    let start: usize = continuation.strip_prefix("from-").map_or(0, |at| at.parse().unwrap());
    let some: Vec<&Value> = found.iter().skip(start).take(2).copied().collect();
    let next = start + some.len();
    let last = next >= found.len();
    let body =
        json!({"content": some, "last": last, "requestContinuation": format!("from-{next}")});
    (200, "", body)
}

/// `2026-11-22T09:00:00`, in UTC, as epoch ms.
fn time(text: &str) -> Option<i64> {
    format!("{text}Z").parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
