//! `assent wait-ready`: waits until the `assent run` of this configuration is ready, for scripts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Globals, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::http_client;
use crate::kafka::backlog::Backlog;
use assent_contract::domain::foreign_text::shown;

const ASK_AGAIN: Duration = Duration::from_millis(200);

/// /readyz answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A few hundred partitions of some 150 bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// A report of consent-sync lag 0 may be a second old, and rest on a question that is a second older.
const IN_SYNC_SINCE: Duration = Duration::from_secs(2);

/// Wait until `assent run` is ready, for scripts
///
/// Asks /readyz at `http.listen`: run it on the host of the instance, with the same configuration.
/// If that port is 0, wait for the file of `assent run --ready-file` instead. Exits with code 0 if
/// the instance is ready, 1 if it was not ready in time, and 69 if nothing answers.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent run & assent wait-ready && assent segments list\n  assent replay \
                  clicks.jsonl && assent wait-ready --caught-up --timeout 5m"
)]
pub struct Args {
    /// How long to wait (30s, 5m)
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: String,
    /// Also wait until all consent and clicks that are in Kafka now have been decided
    #[arg(long)]
    caught_up: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let timeout = when::duration(&args.timeout)
        .map_err(|why| Failure::new(Exit::Usage, format!("--timeout: {why}")))?;
    let config = globals.load_config()?;
    let wait = Wait::begin(&config, timeout)?;
    let answer = if args.caught_up { wait.caught_up(&config)? } else { wait.ready(|_| true)? };
    if globals.json {
        return stdout::json(&answer);
    }
    let partitions = answer["partitions"].as_array().map_or(0, Vec::len);
    let decided = if args.caught_up { "; everything that was in Kafka is decided" } else { "" };
    stdout::line(&format!("ready at http://{}: {partitions} partitions{decided}", wait.address))
}

struct Wait {
    address: SocketAddr,
    agent: ureq::Agent,
    started: Instant,
    timeout: Duration,
}

/// What /readyz said, or why it said nothing.
type Asked = std::result::Result<Value, String>;

impl Wait {
    fn begin(config: &Config, timeout: Duration) -> Result<Self> {
        let agent = http_client::settings(ANSWER_WITHIN).build();
        let (address, started) = (reachable(config.http.listen)?, SystemClock.instant());
        Ok(Self { address, agent: agent.into(), started, timeout })
    }

    /// Until it is ready and this holds of its answer.
    fn ready(&self, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let asked = self.ask();
            match &asked {
                Ok(answer) if answer["ready"] == true && holds(answer) => {
                    return asked.map_err(gone);
                }
                _ if self.started.elapsed() < self.timeout => std::thread::sleep(ASK_AGAIN),
                Ok(answer) => return Err(self.not_ready(answer)),
                Err(why) => return Err(self.unanswered(why)),
            }
        }
    }

    /// Until it is ready and nothing that was there when this began is undecided.
    fn caught_up(&self, config: &Config) -> Result<Value> {
        self.ready(|_| true)?; // before it has joined, the group has no offsets
        let mut backlog = Backlog::measure(config)?;
        loop {
            let left = backlog.left();
            if let Ok(0) = left {
                return self
                    .ready(|answer| self.started.elapsed() >= IN_SYNC_SINCE && is_in_sync(answer));
            }
            if self.started.elapsed() >= self.timeout {
                let left = left?; // brokers that don't answer now are asked again until then
                return Err(Failure::failed(format!(
                    "{left} of the clicks that were there at the start are not decided after {} s; \
                     wait longer (--timeout), or look at the log and at \
                     assent_consent_sync_lag_seconds",
                    self.timeout.as_secs()
                )));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn ask(&self) -> Asked {
        let url = format!("http://{}/readyz", self.address);
        let mut response = self.agent.get(url).call().map_err(|error| error.to_string())?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| error.to_string())?;
        match serde_json::from_str::<Value>(&body) {
            Ok(answer) if answer["ready"].is_boolean() => Ok(answer),
            _ => Err("another program answers there, not assent".to_owned()),
        }
    }

    fn unanswered(&self, why: &str) -> Failure {
        Failure::unavailable(format!(
            "http.listen {}: no answer within {} s ({}); check that `assent run` runs on this host \
             with this configuration, and look at its log",
            self.address,
            self.timeout.as_secs(),
            shown(why)
        ))
    }

    fn not_ready(&self, answer: &Value) -> Failure {
        Failure::failed(format!(
            "not ready after {} s: {}; wait longer (--timeout), or look at the log of `assent run`",
            self.timeout.as_secs(),
            reasons(answer)
        ))
    }
}

fn gone(why: String) -> Failure {
    Failure::failed(why) // never: it was an answer
}

/// Where an address that stands for all of the host's is asked.
fn reachable(listen: SocketAddr) -> Result<SocketAddr> {
    if listen.port() == 0 {
        return Err(Failure::config(
            "http.listen has port 0, so only the instance knows its port; set a port, or wait for \
             the file of `assent run --ready-file FILE`",
        ));
    }
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

fn partitions(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["partitions"].as_array().into_iter().flatten()
}

fn is_in_sync(answer: &Value) -> bool {
    partitions(answer)
        .all(|it| it["consent_sync_lag_seconds"].as_f64().is_some_and(|lag| lag <= 1.0))
}

/// In the words of the answer: how many partitions wait for what.
fn reasons(answer: &Value) -> String {
    if let Some(halted) = answer["halted"].as_str() {
        return shown(halted);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for partition in partitions(answer) {
        let why = match partition["reason"].as_str() {
            Some(reason) => shown(reason),
            None if partition["restored"] == false => "restoring".to_owned(),
            None if partition["gate_open"] == false => "gate closed".to_owned(),
            None => continue,
        };
        *counts.entry(why).or_default() += 1;
    }
    if counts.is_empty() {
        return "it has not joined its consumer group yet".to_owned();
    }
    let parts = counts.iter().map(|(why, count)| format!("{count} partitions: {why}"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_asked_at_this_host() {
        for (listen, expected) in [
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
        ] {
            let asked = reachable(listen.parse().unwrap()).unwrap();
            assert_eq!(asked, expected.parse().unwrap());
        }
        let failure = reachable("127.0.0.1:0".parse().unwrap()).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.message.contains("--ready-file"), "{failure}");
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let partition = |restored: bool, reason: Value| json!({"restored": restored, "gate_open": restored, "reason": reason});
        for (answer, expected) in [
            (json!({"ready": false, "partitions": []}), "it has not joined its consumer group yet"),
            (json!({"ready": false, "halted": "the\nclock", "partitions": []}), "the\\nclock"),
            (
                json!({"partitions": [partition(false, Value::Null), partition(true, Value::Null),
                    partition(true, json!("stale")), partition(true, json!("stale"))]}),
                "1 partitions: restoring, 2 partitions: stale",
            ),
        ] {
            assert_eq!(reasons(&answer), expected);
        }
    }
}
