//! Faults on a real Kafka while people change their minds: each test breaks something, lets it heal,
//! and then holds everything that was sent against the contract (`accounted`).
//!
//! What takes long runs with `CI=true` only; docs/reliability.md has the command for each, and what was
//! measured.

mod brokers;
mod cluster;
mod crowd;
mod deleted;
mod idle;
#[cfg(feature = "crash-points")]
mod kills;
mod lag;
mod race;
pub mod secured;
mod sizes;
mod storms;
mod upgrade;
mod wire;
mod workers;
#[cfg(feature = "crash-points")]
mod zombies;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

pub use self::crowd::{Crowd, during};
use crate::audit::{self, Audit};
use crate::contract::{PURPOSES, RULEBOOK};
use crate::support::{Service, Shop, view, wait_until};
use crate::told::{self, Inputs};

/// Far above what is promised: tests run next to others. What it took is printed.
const RECOVERED_WITHIN: Duration = Duration::from_mins(2);

/// Every verdict that lets something be used.
const ALLOWANCES: [&str; 3] = ["OPT_IN", "GUARDIAN_OPT_IN", "NOT_OPTED_OUT"];

/// Passers-by whom nobody knows: enough for one in each of a few partitions.
const PASSERS_BY: usize = 24;

/// As [`decided`]; says, past libtest's capture, how long after the end of a fault that was.
fn recovered(shop: &Shop<'_>, fault: &str) {
    let took = decided(shop);
    let _ = writeln!(std::io::stderr(), "recovery: {fault}: {} ms", took.as_millis());
}

/// Passers-by click; waits until they and everything before are committed.
fn decided(shop: &Shop<'_>) -> Duration {
    let (topic, began) = (shop.topic("clickstream"), Instant::now());
    let clicks = (0..PASSERS_BY).map(|it| shop.click(&view(&format!("passer-by-{it}"))));
    let mut ends = BTreeMap::new();
    for (partition, offset) in shop.kafka.produce(clicks) {
        ends.insert(partition, offset + 1);
    }
    wait_until(RECOVERED_WITHIN, "every click committed", || {
        let committed = shop.kafka.committed_offsets(shop.group_id(), &topic, shop.partitions);
        ends.iter().all(|(it, end)| committed.get(it).is_some_and(|at| at >= end)).then_some(())
    });
    began.elapsed()
}

/// Everything that was sent has its effect once and as the reference model says, no opt-out was
/// lost, every chain is whole, and all that still runs is in sync without help.
fn accounted(shop: &Shop<'_>, running: &[&Service], crowd: &Crowd) -> Audit {
    accounted_in(shop, running, crowd, &Inputs::of(shop))
}

/// As [`accounted`], where the topics no longer hold all that was sent.
fn accounted_in(shop: &Shop<'_>, running: &[&Service], crowd: &Crowd, inputs: &Inputs) -> Audit {
    let audit = wait_until(RECOVERED_WITHIN, "every input audited", || {
        let audit = audit::read(shop);
        let audited = audit.clicks.len() + audit.consents.len();
        (audited as u64 >= inputs.count()).then_some(audit)
    });
    audit.assert_effects(shop, &PURPOSES);
    told::hold(shop, RULEBOOK, inputs);
    verified(shop);
    for place in crowd.withheld() {
        let verdicts = &audit.clicks[place].verdicts;
        let used = verdicts.values().any(|verdict| ALLOWANCES.contains(&verdict.as_str()));
        assert!(!used, "an opt-out was lost: {place:?}: {verdicts:?}");
    }
    for service in running {
        in_sync(service);
    }
    audit
}

/// `assent verify` finds nothing.
fn verified(shop: &Shop<'_>) {
    let verified = shop.run(&["verify", "--json"]);
    assert_eq!(verified.code, Some(0), "{}\n{}", verified.stdout, verified.stderr);
    assert_eq!(verified.json()["ok"], true, "{}", verified.stdout);
}

/// Consent-sync lag is back at zero.
fn in_sync(service: &Service) {
    service.await_ready();
    wait_until(RECOVERED_WITHIN, "lag at zero", || {
        (service.metrics().sum("assent_consent_sync_lag_seconds", &[]) == Some(0.0)).then_some(())
    });
    assert_eq!(service.metrics().count("assent_invariant_violations_total", &[]), 0);
}
