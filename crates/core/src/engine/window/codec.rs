//! The packed form of a purpose's counters, private to the state.
//!
//! ```text
//! long slots, then for each: long (slots skipped since the last) * 4 + kind, long items, items
//! kind 0 times:   seconds
//! kind 1 values:  seconds + 8 bytes hash
//! kind 2 sums:    long hours + long high + long low (of 128 bits)
//! kind 3 regions: seconds + long offset + 8 bytes hash
//! seconds: the first as 4 bytes, big-endian; then the long distance from the item before
//! hours:   the long distance from the item before (from 1970, the first)
//! ```

use super::kept::{Bucket, Kept, RegionAt, ValueAt};
use super::{Counters, SlotState};
use assent_contract::domain::binary::{Malformed, Reader, Write};

const TIMES: i64 = 0;
const VALUES: i64 = 1;
const SUMS: i64 = 2;
const REGIONS: i64 = 3;
const KINDS: i64 = 4;

const HOUR: u32 = 3_600;

impl Counters {
    pub fn pack(&self, out: &mut Vec<u8>) {
        out.put_long(self.slots.len() as i64);
        let mut next_slot = 0;
        for state in &self.slots {
            let skipped = i64::from(state.slot) - next_slot;
            next_slot = i64::from(state.slot) + 1;
            pack_kept(&state.kept, skipped, out);
        }
    }

    /// `slots`: how many the purpose has.
    pub fn unpack(reader: &mut Reader<'_>, slots: usize) -> Result<Self, Malformed> {
        let length = reader.length()?;
        let mut states = Vec::with_capacity(length.min(slots));
        let mut next_slot: i64 = 0;
        for _ in 0..length {
            let head = reader.long()?;
            let slot = next_slot.checked_add(head / KINDS).filter(|slot| *slot < slots as i64);
            let slot = slot.and_then(|slot| u16::try_from(slot).ok()).ok_or(Malformed("slot"))?;
            next_slot = i64::from(slot) + 1;
            states.push(SlotState { slot, kept: unpack_kept(reader, head)? });
        }
        Ok(Self { slots: states.into_boxed_slice() })
    }
}

fn pack_kept(kept: &Kept, skipped: i64, out: &mut Vec<u8>) {
    let mut put_head = |kind, length: usize| {
        out.put_long(skipped * KINDS + kind);
        out.put_long(length as i64);
    };
    match kept {
        Kept::Times(times) => {
            put_head(TIMES, times.len());
            put_seconds(times, |time| *time, |_, _| {}, out);
        }
        Kept::Values(values) => {
            put_head(VALUES, values.len());
            let put_hash = |value: &ValueAt, out: &mut Vec<u8>| {
                out.put_fixed(&value.hash.to_be_bytes());
            };
            put_seconds(values, |value| value.second, put_hash, out);
        }
        Kept::Sums(buckets) => {
            put_head(SUMS, buckets.len());
            let mut before = 0;
            for Bucket { start, cents } in buckets {
                out.put_long(i64::from(start / HOUR) - before);
                before = i64::from(start / HOUR);
                out.put_long((cents >> 64) as i64);
                out.put_long(*cents as i64);
            }
        }
        Kept::Regions(regions) => {
            put_head(REGIONS, regions.len());
            let put_rest = |region: &RegionAt, out: &mut Vec<u8>| {
                out.put_long(region.offset);
                out.put_fixed(&region.hash.to_be_bytes());
            };
            put_seconds(regions, |region| region.second, put_rest, out);
        }
    }
}

fn put_seconds<T>(
    items: &[T],
    second: impl Fn(&T) -> u32,
    put_rest: impl Fn(&T, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let mut before = None;
    for item in items {
        let second = second(item);
        match before {
            None => out.put_fixed(&second.to_be_bytes()),
            Some(before) => out.put_long(i64::from(second) - i64::from(before)),
        }
        before = Some(second);
        put_rest(item, out);
    }
}

fn unpack_kept(reader: &mut Reader<'_>, head: i64) -> Result<Kept, Malformed> {
    let length = reader.length()?;
    if length == 0 || head < 0 {
        return Err(Malformed("slot"));
    }
    Ok(match head % KINDS {
        TIMES => Kept::Times(seconds(reader, length, |_, second| Ok(second))?),
        VALUES => Kept::Values(seconds(reader, length, |reader, second| {
            Ok(ValueAt { second, hash: u64::from_be_bytes(reader.fixed()?) })
        })?),
        SUMS => Kept::Sums(buckets(reader, length)?),
        _ => Kept::Regions(seconds(reader, length, |reader, second| {
            let offset = reader.long()?;
            Ok(RegionAt { second, offset, hash: u64::from_be_bytes(reader.fixed()?) })
        })?),
    })
}

fn seconds<T: Ord>(
    reader: &mut Reader<'_>,
    length: usize,
    item: impl Fn(&mut Reader<'_>, u32) -> Result<T, Malformed>,
) -> Result<Box<[T]>, Malformed> {
    let mut second = u32::from_be_bytes(reader.fixed()?);
    let mut items = Vec::with_capacity(length);
    items.push(item(reader, second)?);
    for _ in 1..length {
        second = later(second, reader.long()?)?;
        items.push(item(reader, second)?);
    }
    ascending(items)
}

fn buckets(reader: &mut Reader<'_>, length: usize) -> Result<Box<[Bucket]>, Malformed> {
    let mut hour = 0;
    let mut buckets = Vec::with_capacity(length);
    for _ in 0..length {
        hour = later(hour, reader.long()?)?;
        let start = hour.checked_mul(HOUR).ok_or(Malformed("time"))?;
        let high = i128::from(reader.long()?) << 64;
        let low = i128::from(reader.long()? as u64);
        buckets.push(Bucket { start, cents: high | low });
    }
    ascending(buckets)
}

fn later(before: u32, distance: i64) -> Result<u32, Malformed> {
    let time = u32::try_from(distance).ok().and_then(|distance| before.checked_add(distance));
    time.ok_or(Malformed("time"))
}

/// The order is what every question to the counters rests on.
fn ascending<T: Ord>(items: Vec<T>) -> Result<Box<[T]>, Malformed> {
    if items.is_sorted() { Ok(items.into_boxed_slice()) } else { Err(Malformed("order")) }
}
