//! Only a null value under its own partition's reserved key is a heartbeat; no other key that is
//! reserved is anybody's consent.
#![no_main]

use std::sync::LazyLock;

use assent_contract::domain::partitioner::Partitioner;
use assent_contract::wire::{ConsentReader, ConsentReading, Inbound};
use assent_fuzz::PARTITIONS;
use libfuzzer_sys::fuzz_target;

static READER: LazyLock<ConsentReader> =
    LazyLock::new(|| ConsentReader::new(Partitioner::Murmur2, PARTITIONS));

fuzz_target!(|input: (u8, bool, Option<&str>, &[u8], Option<&[u8]>)| {
    let (partition, forwarded, source, tail, payload) = input;
    let partition = i32::from(partition) % PARTITIONS;
    let key = [b"__assent_", tail].concat();
    let inbound = Inbound { partition, key: Some(&key), payload };
    let is_heartbeat = key == format!("__assent_heartbeat_{partition}").as_bytes();
    match READER.read(&inbound, forwarded, source) {
        ConsentReading::Heartbeat { source: read } => {
            assert!(is_heartbeat && payload.is_none());
            assert_eq!(read.as_deref(), source);
        }
        ConsentReading::DeadLettered(_) => assert!(!is_heartbeat || payload.is_some()),
        _ => panic!("a reserved key is nobody's consent"),
    }
});
