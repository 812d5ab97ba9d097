//! Any content of the state topic is refused, or restored into a partition that goes on.
//! `kind, length (2, big-endian), value`, again and again: the ledger, a delta, a bucket, a rulebook.
#![no_main]

use std::sync::{Arc, LazyLock};

use assent_core::engine::input::{ConsentBody, ConsentInput, Coverage};
use assent_core::engine::{Restore, Setup};
use assent_fuzz::{NOW, setup};
use libfuzzer_sys::fuzz_target;

static SETUP: LazyLock<Arc<Setup>> = LazyLock::new(setup);

fuzz_target!(|bytes: &[u8]| {
    let mut restore = Restore::new(0);
    let mut rest = bytes;
    while let [kind, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, tail) = tail.split_at(length.min(tail.len()));
        rest = tail;
        let key = match kind % 4 {
            0 => b"meta".to_vec(),
            1 => b"d/0".to_vec(),
            2 => b"b/0/0".to_vec(),
            _ => [b"r/", value].concat(),
        };
        if restore.apply(&key, Some(value)).is_err() {
            return;
        }
    }
    let Ok(partition) = restore.finish(Arc::clone(&SETUP)) else { return };
    let (click_to, next) = partition.positions().map_or((0, 0), |p| (p.next_click, p.next_consent));
    if next == i64::MAX {
        return; // no topic is that long
    }
    let mut batch = partition.begin(NOW, true);
    batch.consent(&ConsentInput {
        offset: next,
        append_time: NOW,
        key: b"subject-1",
        payload: None,
        body: ConsentBody::Erasure,
    });
    batch.timers();
    let coverage = Coverage { click_to, consent_to: next + 1, barrier: next + 1, synced: None };
    let (decided, _) = batch.finish(coverage);
    let _ = decided.rollback();
});
