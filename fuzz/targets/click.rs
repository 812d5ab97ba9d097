//! Any bytes of a click are answered, decided, and read the same whatever fields the rules read.
#![no_main]

use std::sync::LazyLock;

use assent_contract::domain::event::ClickFields;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::wire::ClickReader;
use assent_core::engine::input::{ClickInput, Coverage};
use assent_fuzz::{NOW, PARTITIONS, fresh, record, setup};
use libfuzzer_sys::fuzz_target;

static READERS: LazyLock<[ClickReader; 2]> = LazyLock::new(|| {
    [ClickFields::ALL, ClickFields::default()]
        .map(|fields| ClickReader::new(fields, Partitioner::Murmur2, PARTITIONS))
});

fuzz_target!(|bytes: &[u8]| {
    let Some(inbound) = record(bytes) else { return };
    let [whole, least] = READERS.each_ref().map(|reader| reader.read(&inbound));
    if let Ok(whole) = &whole {
        let least = least.as_ref().ok().expect("fewer fields are no harder to read");
        assert_eq!(
            (whole.subject_id, whole.session_id, whole.occurred_at, whole.gpc),
            (least.subject_id, least.session_id, least.occurred_at, least.gpc)
        );
        assert_eq!(whole.opt_out_signal, least.opt_out_signal);
    }
    let partition = fresh(&setup_once());
    let mut batch = partition.begin(NOW, true);
    batch.timers();
    batch.click(&ClickInput { offset: 0, payload: inbound.payload, click: whole });
    let (_, mut output) =
        batch.finish(Coverage { click_to: 1, consent_to: 0, barrier: 0, synced: None });
    output.hold_to_account(1, 0);
    assert!(!output.is_broken(), "one outcome");
});

fn setup_once() -> std::sync::Arc<assent_core::engine::Setup> {
    static SETUP: LazyLock<std::sync::Arc<assent_core::engine::Setup>> = LazyLock::new(setup);
    std::sync::Arc::clone(&SETUP)
}
