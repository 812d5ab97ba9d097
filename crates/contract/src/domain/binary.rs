//! The few primitives of Avro's binary encoding that Assent writes, and their reader.
//!
//! `long`: zigzag, then base-128 with the low group first. `string` and `bytes`: a long count, then
//! the bytes. `boolean`: one byte. `union`: a long index, then the branch. The packed state uses the
//! same primitives. Sources: Avro 1.11 specification, "Binary Encoding".

/// What a reader met instead of what it expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// 64 bits in groups of seven.
const LONG_BYTES_MAX: usize = 10;

/// Appends Avro primitives to a buffer.
pub trait Write {
    fn put_long(&mut self, value: i64);
    fn put_bytes(&mut self, bytes: &[u8]);
    fn put_fixed(&mut self, bytes: &[u8]);

    fn put_string(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    fn put_bool(&mut self, value: bool) {
        self.put_fixed(&[u8::from(value)]);
    }

    /// A union `["null", "string"]`.
    fn put_optional_string(&mut self, value: Option<&str>) {
        match value {
            None => self.put_long(0),
            Some(value) => {
                self.put_long(1);
                self.put_string(value);
            }
        }
    }

    /// A union `["null", "long"]`.
    fn put_optional_long(&mut self, value: Option<i64>) {
        match value {
            None => self.put_long(0),
            Some(value) => {
                self.put_long(1);
                self.put_long(value);
            }
        }
    }
}

impl Write for Vec<u8> {
    fn put_long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        if rest < 0x80 {
            self.push(rest as u8);
            return;
        }
        let (mut bytes, mut length) = ([0; LONG_BYTES_MAX], 0);
        while rest >= 0x80 {
            bytes[length] = rest as u8 | 0x80;
            rest >>= 7;
            length += 1;
        }
        bytes[length] = rest as u8;
        self.extend_from_slice(&bytes[..=length]);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_long(bytes.len() as i64);
        self.extend_from_slice(bytes);
    }

    fn put_fixed(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reads what [`Write`] wrote. Never panics, never allocates more than it was given.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn long(&mut self) -> Result<i64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Malformed("long"))
    }

    /// A count or length that can't exceed the bytes that are left.
    pub fn length(&mut self) -> Result<usize, Malformed> {
        let length = usize::try_from(self.long()?).map_err(|_| Malformed("length"))?;
        if length > self.rest.len() { Err(Malformed("length")) } else { Ok(length) }
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed("end"))?;
        self.rest = rest;
        Ok(first)
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("boolean")),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("string"))
    }

    /// A `fixed` whose size is known only when it is read.
    pub fn take(&mut self, size: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(Malformed("end"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("end"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An Avro `int`: a long that fits 32 bits.
    pub fn int(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.long()?).map_err(|_| Malformed("int"))
    }

    /// An Avro enum: the index of one of `symbols`.
    pub fn symbol<T: Copy>(&mut self, symbols: &[T]) -> Result<T, Malformed> {
        let index = usize::try_from(self.long()?).map_err(|_| Malformed("symbol"))?;
        symbols.get(index).copied().ok_or(Malformed("symbol"))
    }

    /// An Avro array in whatever blocks it came. Every item takes at least a byte, so a count can't
    /// promise more items than there are bytes.
    pub fn array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut items = Vec::new();
        self.pass_array(|reader| item(reader).map(|item| items.push(item)))?;
        Ok(items)
    }

    /// The same without keeping the items: how many they are.
    pub fn pass_array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<u64, Malformed> {
        let mut passed = 0_u64;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(passed);
            }
            if count < 0 {
                self.long()?; // the block's size in bytes, for those who skip it
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
                passed += 1;
            }
        }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("end: bytes are left over")) }
    }

    fn optional<T>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.long()? {
            0 => Ok(None),
            1 => some(self).map(Some),
            _ => Err(Malformed("union")),
        }
    }

    pub fn optional_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        self.optional(Self::string)
    }

    pub fn optional_fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Malformed> {
        self.optional(Self::fixed)
    }

    pub fn optional_long(&mut self) -> Result<Option<i64>, Malformed> {
        self.optional(Self::long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_round_trip_at_their_edges() {
        for value in [0, -1, 1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            bytes.put_long(value);
            assert_eq!(Reader::new(&bytes).long(), Ok(value));
        }
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        let mut bytes = Vec::new();
        bytes.put_long(1 << 40);
        assert_eq!(Reader::new(&bytes).bytes(), Err(Malformed("length")));
    }
}
