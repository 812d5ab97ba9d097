//! Any text as a writer's schema, and any bytes as a datum of it: answered, within their bounds, and
//! read the same whatever fields the rules read.
#![no_main]

use std::sync::LazyLock;

use assent_contract::domain::event::ClickFields;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::wire::{
    ClickReader, ConsentReader, Framing, Inbound, KnownSchemas, Registered, SchemaName,
    decode_assignment, decode_audit_batch, decode_contextual, decode_dead_letter,
};
use assent_fuzz::PARTITIONS;
use libfuzzer_sys::fuzz_target;

const ID: u32 = 1;
const KEY: &[u8] = b"subject-1";

static READERS: LazyLock<[ClickReader; 2]> = LazyLock::new(|| {
    [ClickFields::ALL, ClickFields::default()]
        .map(|fields| ClickReader::new(fields, Partitioner::Murmur2, PARTITIONS))
});
static CONSENT: LazyLock<ConsentReader> =
    LazyLock::new(|| ConsentReader::new(Partitioner::Murmur2, PARTITIONS));

/// A text, a line's end, a datum.
fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return };
    let registered = Registered::avro(text, &SchemaName::ALL);
    if let Registered::Unusable(why) = &registered {
        assert!(why.chars().count() < 300 && !why.chars().any(char::is_control), "{why:?}");
    }
    let mut known = KnownSchemas::empty();
    known.learn(ID, registered);
    let value = Framing::Confluent(ID).frame(&bytes[end + 1..]);
    let partition = Partitioner::Murmur2.partition(KEY, PARTITIONS);
    let inbound = Inbound { partition, key: Some(KEY), payload: Some(&value) };
    let [whole, least] = READERS.each_ref().map(|reader| reader.read_with(&inbound, &known));
    match (whole, least) {
        (Ok(whole), Ok(least)) => assert_eq!(whole.opt_out_signal, least.opt_out_signal),
        (Err(whole), Err(least)) => assert_eq!(whole, least),
        _ => panic!("whether a click can be read does not depend on the rules"),
    }
    let _ = CONSENT.read_with(&inbound, false, None, &known);
    let _ = decode_assignment(&value, &known);
    let _ = decode_contextual(&value, &known);
    let _ = decode_dead_letter(&value, &known);
    let _ = decode_audit_batch(&value, &known);
});
