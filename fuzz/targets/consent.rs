//! Any bytes of a consent record are answered and decided; what was read is written and read the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use assent_contract::domain::partitioner::Partitioner;
use assent_contract::wire::{ConsentReader, ConsentReading, Inbound, encode_consent};
use assent_core::engine::Setup;
use assent_core::engine::input::{ConsentInput, Coverage};
use assent_fuzz::{NOW, PARTITIONS, fresh, record, setup};
use libfuzzer_sys::fuzz_target;

static SETUP: LazyLock<Arc<Setup>> = LazyLock::new(setup);
static READER: LazyLock<ConsentReader> =
    LazyLock::new(|| ConsentReader::new(Partitioner::Murmur2, PARTITIONS));

fuzz_target!(|bytes: &[u8]| {
    let Some(inbound) = record(bytes) else { return };
    let reading = READER.read(&inbound, false, None);
    if let ConsentReading::Record(record) = &reading {
        let written = encode_consent(record);
        let again = Inbound { payload: Some(&written), ..inbound };
        let ConsentReading::Record(again) = READER.read(&again, false, None) else {
            panic!("what was written is read");
        };
        assert!(again == *record);
    }
    let partition = fresh(&SETUP);
    let mut batch = partition.begin(NOW, true);
    for offset in 0..2 {
        batch.consent(&ConsentInput {
            offset,
            append_time: NOW,
            key: inbound.key.unwrap_or_default(),
            payload: inbound.payload,
            body: reading.body(),
        });
    }
    batch.timers();
    let (_, mut output) =
        batch.finish(Coverage { click_to: 0, consent_to: 2, barrier: 2, synced: None });
    output.hold_to_account(0, 2);
    assert!(!output.is_broken(), "one outcome each");
});
