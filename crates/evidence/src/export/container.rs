//! Batches as an Avro object container file, of one batch a block and without compression: any Avro tool
//! reads it, and what lies between a block's size and its end mark is the body that the chain hashes.
//!
//! ```text
//! "Obj" 01 | map: avro.codec = null, avro.schema = the schema's JSON | 16 bytes: the mark
//! then for each batch: long 1 | long: bytes of the body | body | the mark
//! ```
//!
//! The mark is chosen by the schema, so that the same batches make the same file. Source: Avro 1.11
//! specification, "Object Container Files".

use std::io::{self, Read};

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 4] = b"Obj\x01";

type Mark = [u8; 16];

/// A schema is 6 KB.
const META_BYTES_MAX: usize = 1 << 20;

/// What no batch that Kafka holds can pass.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// Writes the file's parts.
pub struct Container {
    schema: String,
    mark: Mark,
}

impl Container {
    /// Of values of this schema, as JSON.
    pub fn new(schema: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(schema).into();
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash[..16]);
        Self { schema: schema.to_owned(), mark }
    }

    pub fn header(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_long(&mut bytes, 2);
        for (key, value) in [("avro.codec", "null"), ("avro.schema", &self.schema)] {
            put_bytes(&mut bytes, key.as_bytes());
            put_bytes(&mut bytes, value.as_bytes());
        }
        put_long(&mut bytes, 0);
        bytes.extend(self.mark);
        bytes
    }

    pub fn block(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(body.len() + 32);
        put_long(&mut bytes, 1);
        put_bytes(&mut bytes, body);
        bytes.extend(self.mark);
        bytes
    }
}

/// Reads such a file. What any other Avro program made of the same batches may be refused: its blocks may
/// hold several.
pub struct Blocks<R> {
    input: R,
    mark: Mark,
    /// The schema that the file names.
    pub schema: Vec<u8>,
    /// Where the next block begins.
    pub at: u64,
}

impl<R: Read> Blocks<R> {
    pub fn open(input: R) -> io::Result<Self> {
        let mut blocks = Self { input, mark: [0; 16], schema: Vec::new(), at: 0 };
        if blocks.fixed::<4>()? != *MAGIC {
            return Err(malformed("this is not an Avro object container file"));
        }
        loop {
            let entries = blocks.long()?;
            if entries == 0 {
                break;
            }
            if !(1..=64).contains(&entries) {
                return Err(malformed("the header is not one of an export"));
            }
            for _ in 0..entries {
                let (key, value) = (blocks.bytes(META_BYTES_MAX)?, blocks.bytes(META_BYTES_MAX)?);
                match key.as_slice() {
                    b"avro.schema" => blocks.schema = value,
                    b"avro.codec" if value != b"null" => {
                        return Err(malformed("the blocks are compressed"));
                    }
                    _ => {}
                }
            }
        }
        blocks.mark = blocks.fixed()?;
        Ok(blocks)
    }

    /// The next batch's body; `None`: the file ends here.
    pub fn next_body(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(count) = self.long_or_end()? else { return Ok(None) };
        if count != 1 {
            return Err(malformed("a block does not hold exactly one batch"));
        }
        let body = self.bytes(BODY_BYTES_MAX)?;
        if self.fixed::<16>()? != self.mark {
            return Err(malformed("a block does not end with the mark of the file"));
        }
        Ok(Some(body))
    }

    fn long_or_end(&mut self) -> io::Result<Option<i64>> {
        let mut first = [0];
        loop {
            match self.input.read(&mut first) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += 1;
        self.long_from(first[0]).map(Some)
    }

    fn long(&mut self) -> io::Result<i64> {
        let [first] = self.fixed()?;
        self.long_from(first)
    }

    /// Zigzag, then base 128 with the low group first.
    fn long_from(&mut self, first: u8) -> io::Result<i64> {
        let (mut value, mut byte) = (0_u64, first);
        for shift in (0..64).step_by(7) {
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            [byte] = self.fixed()?;
        }
        Err(malformed("a length has too many bytes"))
    }

    fn bytes(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.long()?).ok().filter(|length| *length <= max);
        let length = length.ok_or_else(|| malformed("a length is out of bounds"))?;
        let mut bytes = Vec::new();
        // No more memory than there are bytes, whatever the length says.
        (&mut self.input).take(length as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        if bytes.len() == length { Ok(bytes) } else { Err(malformed("the file is cut off")) }
    }

    fn fixed<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => malformed("the file is cut off"),
            _ => error,
        })?;
        self.at += N as u64;
        Ok(bytes)
    }

    /// What reads, with what it knows.
    pub fn into_input(self) -> R {
        self.input
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let container = Container::new("{\"type\": \"bytes\"}");
        let bodies: [&[u8]; 3] = [b"first", b"", &[7; 300]];
        let blocks = bodies.map(|body| container.block(body));
        [container.header(), blocks.concat()].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut blocks = Blocks::open(bytes)?;
        assert_eq!(blocks.schema, b"{\"type\": \"bytes\"}");
        let mut bodies = Vec::new();
        while let Some(body) = blocks.next_body()? {
            bodies.push(body);
        }
        assert_eq!(blocks.at, bytes.len() as u64);
        Ok(bodies)
    }

    #[test]
    fn bodies_come_back_as_they_were() {
        assert_eq!(read(&file()).unwrap(), [b"first".to_vec(), vec![], vec![7; 300]]);
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused_or_ends_with_a_block() {
        let file = file();
        let whole = (0..file.len()).filter(|&cut| read(&file[..cut]).is_ok()).count();
        assert_eq!(whole, 3, "after the header, and after two of its three blocks");
    }

    #[test]
    fn a_hostile_length_takes_no_memory() {
        let mut file = Container::new("{\"type\": \"bytes\"}").header();
        put_long(&mut file, 1);
        put_long(&mut file, BODY_BYTES_MAX as i64);
        assert!(read(&file).is_err());
        put_long(&mut file, i64::MAX);
        assert!(read(&file).is_err());
    }
}
