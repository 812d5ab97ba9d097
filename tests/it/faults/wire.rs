//! A network that fails between Assent and the broker: cut, slow, dead for longer than a session,
//! and a commit that is held up or whose answer is lost. Only Assent's own way leads over the wire.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::plan;
use crate::proxy::{Fate, Link, Proxy};
use crate::support::{self, BrokerPlan, Kafka, LeftOut, Service, Shop, wait_until};

const WITHIN: Duration = Duration::from_mins(1);
const SLOW: Duration = Duration::from_millis(300);
/// Longer than the session of 12 s.
const DEAD_FOR: Duration = Duration::from_secs(16);
/// So long a commit waits for its answer, in seconds.
const ANSWER_AWAITED: f64 = 8.0;

struct Wire {
    kafka: Kafka,
    proxy: Proxy,
}

impl Wire {
    fn lay() -> Result<Self, LeftOut> {
        let (proxy, listener) = Proxy::listen();
        let wire = format!("WIRE=PLAINTEXT@{}", proxy.address());
        let kafka = Kafka::start_as(BrokerPlan { listeners: &[&wire], ..BrokerPlan::default() })?;
        proxy.serve(listener, kafka.listener("WIRE"));
        Ok(Self { kafka, proxy })
    }

    fn shop(&self) -> Shop<'_> {
        let over_the_wire = json!({"bootstrap_servers": self.proxy.address().to_string()});
        Shop::open_with(&self.kafka, &plan(json!({"kafka": over_the_wire})))
    }
}

#[test]
fn a_network_that_fails_is_outlasted() {
    ci_or_skip!();
    let wire = match Wire::lay() {
        Ok(wire) => wire,
        Err(why) => return support::leave_out(&why),
    };
    let shop = wire.shop();
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut crowd = Crowd::new();
    let fail = |link, lasts, named: &str| {
        wire.proxy.set_link(link);
        std::thread::sleep(lasts);
        wire.proxy.set_link(Link::Up);
        recovered(&shop, named);
    };
    during(&mut crowd, &shop, || {
        for _ in 0..5 {
            fail(Link::Cut, Duration::from_millis(300), "every connection cut");
        }
        fail(Link::Cut, Duration::from_secs(5), "no connection for 5 s");
        fail(Link::Slow(SLOW), Duration::from_secs(10), "answers 300 ms late for 10 s");
        fail(Link::Dead, Duration::from_secs(5), "nothing arrives for 5 s");
        fail(Link::Dead, DEAD_FOR, "nothing arrives for longer than the session");
    });
    accounted(&shop, &[&service], &crowd);
    service.stop();
}

/// It has nothing to commit, so nothing but its own session tells it.
#[test]
fn an_idle_instance_on_a_dead_network_says_that_it_is_out_of_the_group() {
    ci_or_skip!();
    let wire = match Wire::lay() {
        Ok(wire) => wire,
        Err(why) => return support::leave_out(&why),
    };
    let shop = wire.shop();
    let service = Service::start(&shop, "a");
    service.await_ready();
    recovered(&shop, "at the start");
    let member = || service.metrics().count("assent_group_member", &[]);
    assert_eq!(member(), 1);
    let began = Instant::now();
    wire.proxy.set_link(Link::Dead);
    wait_until(DEAD_FOR + Duration::from_secs(10), "out of the group", || {
        (member() == 0 && service.readyz().0 == 503).then_some(())
    });
    let _ =
        writeln!(std::io::stderr(), "idle on a dead network: known after {:?}", began.elapsed());
    wire.proxy.set_link(Link::Up);
    service.await_ready();
    assert_eq!(member(), 1);
    recovered(&shop, "an idle instance, and nothing arrives for longer than the session");
    service.stop();
}

/// A late EndTxn must not commit or abort the transaction after its own: under transactions version 1 it
/// names none, and ends whatever its producer's epoch has open. So the producer is replaced, and the new
/// epoch fences it.
#[test]
fn a_commit_that_is_held_up_or_unheard_hits_nothing_else() {
    let wire = match Wire::lay() {
        Ok(wire) => wire,
        Err(why) => return support::leave_out(&why),
    };
    hold_a_commit(&wire);
    lose_an_answer(&wire);
    #[cfg(feature = "crash-points")]
    crash_after_reading_back(&wire);
}

fn hold_a_commit(wire: &Wire) {
    let shop = wire.shop();
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut crowd = Crowd::new();
    let proxy = &wire.proxy;
    during(&mut crowd, &shop, || {
        proxy.set(Fate::HoldRequest);
        // A transaction after it has committed, and more are on their way, when it arrives.
        await_more(&service, "unclear");
        await_more(&service, "committed");
        proxy.set(Fate::Pass);
        let code = wait_until(WITHIN, "the late request's answer", || proxy.late_answer());
        assert!([47, 90].contains(&code), "fenced, not {code}"); // INVALID_PRODUCER_EPOCH, PRODUCER_FENCED
        recovered(&shop, "a commit held up, and let go later");
    });
    accounted(&shop, &[&service], &crowd);
    service.stop();
}

fn lose_an_answer(wire: &Wire) {
    let shop = wire.shop();
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut crowd = Crowd::new();
    during(&mut crowd, &shop, || {
        wire.proxy.set(Fate::LoseAnswer);
        await_more(&service, "unclear");
        wire.proxy.set(Fate::Pass);
        recovered(&shop, "the answer to a commit lost");
        let longest = service.metrics().sum("assent_transaction_duration_seconds_sum", &[]);
        assert!(longest > Some(ANSWER_AWAITED), "of the batch that was read back: {longest:?} s");
    });
    accounted(&shop, &[&service], &crowd);
    service.stop();
}

/// The answer to a commit is lost, and the process ends once it has read back what became of it.
#[cfg(feature = "crash-points")]
fn crash_after_reading_back(wire: &Wire) {
    let shop = wire.shop();
    let mut crowd = Crowd::new();
    let mut crashing = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", "after_read_back")]);
    crashing.await_ready();
    let service = during(&mut crowd, &shop, || {
        wire.proxy.set(Fate::LoseAnswer);
        await_more(&crashing, "unclear");
        wire.proxy.set(Fate::Pass);
        let ended = crashing.wait(WITHIN);
        assert!(ended.code().is_none(), "{ended:?}");
        let service = Service::start(&shop, "a");
        recovered(&shop, "a crash after reading back");
        service
    });
    accounted(&shop, &[&service], &crowd);
    service.stop();
}

/// One more transaction with this result than there is now.
fn await_more(service: &Service, result: &str) {
    let count = || service.metrics().count("assent_transactions_total", &[("result", result)]);
    let before = count();
    wait_until(WITHIN, &format!("a transaction that is {result}"), || {
        (count() > before).then_some(())
    });
}
