//! Any bytes of an audit batch are refused, or read and written to the same content.
#![no_main]

use assent_contract::domain::audit::AuditBatch;
use assent_contract::wire::{KnownSchemas, decode_audit_batch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = decode_audit_batch(bytes, &KnownSchemas::none());
    let Ok(batch) = AuditBatch::decode(bytes) else { return };
    let mut written = Vec::new();
    batch.encode(&mut written);
    assert_eq!(AuditBatch::decode(&written).expect("what was written is read"), batch);
});
