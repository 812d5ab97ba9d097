//! A rolling upgrade from an older build, under load, on three brokers, and the way back. `scripts/upgrade-rehearsal`
//! brings the older build and runs this; what was seen is in docs/operations.md.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Crowd, accounted, during, in_sync, recovered};
use crate::contract::plan;
use crate::support::{Finished, Service, Shop, wait_until};

const OWNED_WITHIN: Duration = Duration::from_mins(2);

/// Between two steps: transactions go on.
const WORK: Duration = Duration::from_secs(5);

/// Names that builds before 0.1.0's later commits refuse; none is used here.
const LATER_TOPICS: [&str; 5] =
    ["audit_access", "privacy_requests", "identity_map", "intake_state", "reader_acks"];

#[test]
#[ignore = "it needs an older build: scripts/upgrade-rehearsal brings one"]
fn an_older_build_is_replaced_one_instance_after_the_other() {
    let former = std::env::var_os("ASSENT_FORMER").map(PathBuf::from);
    let former = former.expect("scripts/upgrade-rehearsal sets ASSENT_FORMER");
    let kafka = three_or_skip!();
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    forget_later_topics(&shop);
    let before = ["a", "b"].map(|it| Service::start_program(&shop, it, &former));
    await_two_each(&before);
    let mut crowd = Crowd::new();
    let services = during(&mut crowd, &shop, || {
        std::thread::sleep(WORK);
        before.map(|service| replaced(&shop, service, &former))
    });
    recovered(&shop, "a rolling upgrade");
    let _ = writeln!(std::io::stderr(), "{} opt-outs, all honored", crowd.opt_outs());
    accounted(&shop, &services.each_ref(), &crowd);
    services.into_iter().for_each(Service::stop);
    gone_back(&shop, &former, &mut crowd);
}

/// By the new build; the other one goes on meanwhile.
fn replaced(shop: &Shop<'_>, service: Service, former: &std::path::Path) -> Service {
    let (began, name) = (Instant::now(), service.instance().to_owned());
    service.stop();
    let service = Service::start(shop, &name);
    in_sync(&service);
    let (took, old) = (began.elapsed().as_millis(), former.display());
    let _ =
        writeln!(std::io::stderr(), "{name}: {old} replaced, ready and in sync after {took} ms");
    std::thread::sleep(WORK);
    service
}

/// The older build at the newer one's state: it runs, or stops and changes nothing. Then the newer one goes on.
fn gone_back(shop: &Shop<'_>, former: &std::path::Path, crowd: &mut Crowd) {
    crowd.turns(shop, 10);
    let mut command = Command::new("timeout");
    command.arg("60").arg(former).arg("--config").arg(shop.config()).arg("run");
    command.env("ASSENT__PIPELINE__STATE_DIR", shop.folder().join("state-a"));
    let ended = Finished::of(command.current_dir(shop.folder()));
    let said = ended.stderr.lines().last().unwrap_or_default();
    let _ =
        writeln!(std::io::stderr(), "back: the older build ended with {:?}: {said}", ended.code);
    let service = Service::start(shop, "a");
    recovered(shop, "a rollback that was tried");
    accounted(shop, &[&service], crowd);
    service.stop();
}

fn await_two_each(services: &[Service]) {
    let owned = |it: &Service| it.metrics().count("assent_assigned_partitions", &[]);
    wait_until(OWNED_WITHIN, "two partitions each", || {
        services.iter().all(|it| owned(it) == 2).then_some(())
    });
}

fn forget_later_topics(shop: &Shop<'_>) {
    let text = std::fs::read_to_string(shop.config()).expect("a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let topics = config["topics"].as_object_mut().expect("topics");
    topics.retain(|key, _| !LATER_TOPICS.contains(&key.as_str()));
    std::fs::write(shop.config(), format!("{config:#}")).expect("written");
}
