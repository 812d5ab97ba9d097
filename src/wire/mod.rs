//! Bytes to inputs and back: framing, Avro, GPP. Pure.
