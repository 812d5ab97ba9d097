//! Ends the process at every named point of a batch's life, and looks that nothing is lost or
//! doubled. Built with `--features crash-points`.

use std::time::Duration;

use crate::pipeline::{live_keys, settled, traffic};
use crate::support::{Service, Shop};

#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    // after_abort and after_read_back need a fault of Kafka besides.
    let points = [
        "after_init",
        "after_restore",
        "after_decide",
        "after_begin",
        "after_produce",
        "after_send_offsets",
        "after_commit",
    ];
    for point in points {
        traffic(&shop, point, 10);
        let mut crashing = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", point)]);
        let ended = crashing.wait(Duration::from_secs(30));
        assert!(!ended.success() && ended.code().is_none(), "{point}: {ended:?}");
    }
    let service = Service::start(&shop, "a");
    let audit = settled(&shop);
    assert_eq!(audit.clicks.len(), points.len() * 40);
    assert_eq!(live_keys(&shop).len(), points.len() * 10);
    service.stop();
}
