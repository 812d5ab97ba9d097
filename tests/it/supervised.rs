//! What systemd hears of `assent run` with Type=notify: on a socket as systemd gives one.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::{Service, Shop};

const WITHIN: Duration = Duration::from_mins(1);

/// Half of the watchdog's patience, and as much again.
const NEXT_WITHIN: Duration = Duration::from_secs(2);

struct Systemd(UnixDatagram);

impl Systemd {
    fn hear(&self, within: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(within)).expect("a time-out");
        let mut said = [0; 256];
        let length = self.0.recv(&mut said).ok()?;
        Some(String::from_utf8_lossy(&said[..length]).trim().to_owned())
    }

    fn await_said(&self, expected: &str) {
        let deadline = Instant::now() + WITHIN;
        while let Some(said) = self.hear(deadline.saturating_duration_since(Instant::now())) {
            if said == expected {
                return;
            }
        }
        panic!("systemd never heard {expected}");
    }
}

#[test]
fn a_service_that_is_supervised_says_that_it_started_lives_and_stops() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let path = shop.folder().join("notify");
    let systemd = Systemd(UnixDatagram::bind(&path).expect("a socket"));
    let socket = path.to_str().expect("UTF-8");
    let service =
        Service::start_with(&shop, "a", &[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "2000000")]);
    systemd.await_said("READY=1");
    for _ in 0..3 {
        assert_eq!(systemd.hear(NEXT_WITHIN).as_deref(), Some("WATCHDOG=1"));
    }
    // A process that stands still says nothing, so its watchdog bites.
    service.sigstop();
    while systemd.hear(Duration::from_millis(100)).is_some() {}
    assert_eq!(systemd.hear(NEXT_WITHIN), None);
    service.sigcont();
    systemd.await_said("WATCHDOG=1");
    service.sigterm();
    systemd.await_said("STOPPING=1");
    service.stop();
}
