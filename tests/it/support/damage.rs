//! Damage to what a broker has on its disk, while it is stopped in good order: a batch whose checksum is
//! wrong, or whose checksum is right and whose records are not.

use std::fs;
use std::path::PathBuf;

use super::Kafka;

/// What is damaged of a batch (record format 2).
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// The checksum does not fit any more.
    Checksum,
    /// Its records, as they lie there, compressed or not; the checksum is that of what lies there now.
    Records,
}

/// Where things lie in a batch: `baseOffset` 0, `length` 8, `epoch` 12, `magic` 16, `crc` 17,
/// `attributes` 21, `lastOffsetDelta` 23, the records from 61 on.
const LENGTH: usize = 8;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const RECORDS: usize = 61;

impl Kafka {
    /// Damages the batch that holds this offset; returns its first and last offset. The broker is stopped.
    pub fn damage(&self, topic: &str, partition: i32, offset: i64, what: Damage) -> (i64, i64) {
        let folder: PathBuf = self.directory.join("data").join(format!("{topic}-{partition}"));
        let file = folder.join("00000000000000000000.log");
        let mut bytes = fs::read(&file).expect("the log of the partition");
        let mut at = 0;
        loop {
            let first = i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            let end = at + 12 + int(&bytes, at + LENGTH) as usize;
            let last = first + i64::from(int(&bytes, at + LAST_OFFSET_DELTA));
            if (first..=last).contains(&offset) {
                let batch = &mut bytes[at..end];
                match what {
                    Damage::Checksum => batch[CRC] ^= 0xFF,
                    Damage::Records => {
                        for byte in &mut batch[RECORDS..] {
                            *byte ^= 0xA5;
                        }
                        let crc = crc32c(&batch[ATTRIBUTES..]);
                        batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
                    }
                }
                fs::write(&file, bytes).expect("written");
                return (first, last);
            }
            at = end;
        }
    }
}

fn int(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}
