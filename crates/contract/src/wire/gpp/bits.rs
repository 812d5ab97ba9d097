//! The bits of base64url text, most significant first, without padding.

/// Is all of it base64url?
pub fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| sextet(byte).is_some())
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// `None` of any question: the text ends before, or is not base64url.
pub struct Bits<'a> {
    text: &'a [u8],
    next: usize,
}

impl<'a> Bits<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), next: 0 }
    }

    pub fn bit(&mut self) -> Option<bool> {
        let sextet = sextet(*self.text.get(self.next / 6)?)?;
        let bit = sextet >> (5 - self.next % 6) & 1;
        self.next += 1;
        Some(bit == 1)
    }

    pub fn number(&mut self, bits: usize) -> Option<u16> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u16::from(self.bit()?);
        }
        Some(number)
    }

    /// To a bit that lies ahead.
    pub fn skip_to(&mut self, at: usize) -> Option<()> {
        while self.next < at {
            self.bit()?;
        }
        Some(())
    }

    /// A Fibonacci-coded number: bit `i` stands for the `i`th of 1, 2, 3, 5, 8 ..; a second one in
    /// a row ends it. `None` too where it is over 255, which no section id is.
    pub fn fibonacci(&mut self) -> Option<u8> {
        let (mut value, mut place, mut next_place) = (0u16, 1u16, 2u16);
        let mut last_bit = false;
        loop {
            let bit = self.bit()?;
            if bit && last_bit {
                return u8::try_from(value).ok();
            }
            if bit {
                value = value.saturating_add(place);
            }
            (place, next_place) = (next_place, place.saturating_add(next_place));
            last_bit = bit;
        }
    }
}
