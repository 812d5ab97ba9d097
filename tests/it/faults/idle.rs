//! An idle instance whose process, or machine, stands still past its session: nothing it does would show it that
//! the group went on without it. It has to notice by itself within seconds, and must not commit as who it was.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::{Crowd, accounted, recovered};
use crate::contract::plan;
use crate::support::{Plan, Service, Shop, wait_until};

/// Past the session of 12 s.
const STOPPED_FOR: Duration = Duration::from_secs(18);

/// From the moment at which it goes on: it has to say so within this.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

const WITHIN: Duration = Duration::from_mins(1);

#[test]
fn an_idle_instance_notices_that_its_session_is_over() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let open = || Shop::open_with(kafka, &Plan { partitions: 2, ..plan(serde_json::json!({})) });
    let (alone, shared) = (open(), open());
    let idle = [&alone, &shared].map(|shop| {
        let mut crowd = Crowd::new();
        let service = Service::start(shop, "a");
        service.await_ready();
        crowd.turns(shop, 10);
        recovered(shop, "at the start");
        (service, crowd)
    });
    let since = Instant::now();
    for (service, _) in &idle {
        service.sigstop();
    }
    let heir = Service::start(&shared, "b");
    owns(&heir, 2);
    std::thread::sleep(STOPPED_FOR.saturating_sub(since.elapsed()));
    let [(one, mut of_one), (other, mut of_other)] = idle;
    comes_back(&one, 2);
    // Nobody helps: no input, no rebalance but its own.
    comes_back(&other, 1);
    owns(&heir, 1);
    for (shop, crowd, running) in
        [(&alone, &mut of_one, vec![&one]), (&shared, &mut of_other, vec![&other, &heir])]
    {
        crowd.turns(shop, 10);
        recovered(shop, "an idle instance that stood still");
        accounted(shop, &running, crowd);
    }
    [one, other, heir].into_iter().for_each(Service::stop);
}

/// It goes on, says that it lost what it had, and has its share again.
fn comes_back(service: &Service, share: u64) {
    let began = Instant::now();
    service.sigcont();
    let mut unready = None;
    wait_until(NOTICED_WITHIN, "the loss noticed", || {
        let (status, body) = service.readyz();
        let left = service.metrics().count("assent_group_member", &[]) == 0;
        if unready.is_none() && (status == 503 || left) {
            unready = Some((began.elapsed(), body));
        }
        service.log().contains("partitions lost").then_some(())
    });
    let noticed = began.elapsed();
    let (unready, body) = wait_until(NOTICED_WITHIN, "/readyz or assent_group_member", || {
        let (status, body) = service.readyz();
        let left = service.metrics().count("assent_group_member", &[]) == 0;
        unready.clone().or_else(|| (status == 503 || left).then(|| (began.elapsed(), body)))
    });
    owns(service, share);
    service.await_ready();
    let whole = began.elapsed();
    let _ = writeln!(
        std::io::stderr(),
        "idle: not ready after {unready:?} ({body}), lost after {noticed:?}, back after {whole:?}"
    );
}

fn owns(service: &Service, partitions: u64) {
    wait_until(WITHIN, "its share of the partitions", || {
        let owned = service.metrics().count("assent_assigned_partitions", &[]);
        (owned == partitions).then_some(())
    });
}
