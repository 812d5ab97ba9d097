//! Many small pieces of bytes, each found by a handle. A page holds slots of one size, so a piece needs no
//! allocation of its own; one that is too large for a slot has a page to itself.
//!
//! ```text
//! slot   length of the piece, 2 bytes | the piece | up to 7 bytes of room, 63 from half a KiB on
//! free   number of the page's next free slot, 2 bytes
//! ```

use std::ops::Range;

/// Small enough that a partition with few subjects has little room to spare: one page for each size in use.
const PAGE_BYTES: usize = 8 << 10;

const LENGTH_BYTES: usize = 2;

/// Slots grow by 8 bytes up to 512, then by 64 up to 2,048: four to a page.
const SLOT_STEP: usize = 8;
const SMALL_MAX: usize = 512;
const SLOT_STEP_LARGE: usize = 64;
const SLOT_MAX: usize = 2_048;

const SMALL_SIZES: usize = SMALL_MAX / SLOT_STEP;
const SIZES: usize = SMALL_SIZES + (SLOT_MAX - SMALL_MAX) / SLOT_STEP_LARGE;

/// Of a handle, the part that names the slot. What is left names one of 4 million pages, 32 GiB.
const SLOT_BITS: u32 = 10;

const _: () = assert!(PAGE_BYTES / SLOT_STEP <= 1 << SLOT_BITS);
const _: () = assert!(SLOT_MAX <= u16::MAX as usize);

/// No slot, no place.
const NONE: u16 = u16::MAX;
const NOWHERE: u32 = u32::MAX;

/// Where a piece lies, until it is replaced or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u32);

#[derive(Clone, Debug, Default)]
pub struct Arena {
    pages: Vec<Page>,
    /// Pages without memory, to be used again.
    empty: Vec<u32>,
    /// By the size of their slots: the pages that have room.
    open: Vec<Vec<u32>>,
    /// What the slots in use take.
    used_bytes: usize,
}

#[derive(Clone, Debug)]
struct Page {
    bytes: Box<[u8]>,
    /// Index of the size of its slots; [`SIZES`]: one piece has it to itself.
    size: u8,
    used: u16,
    /// The first free slot of those that were used before.
    free: u16,
    /// Slots from here on were never used.
    fresh: u16,
    /// Its place among the open pages of its size.
    open_at: u32,
}

const _: () = assert!(SIZES < u8::MAX as usize);

/// Index of the smallest slots that hold so many bytes; [`SIZES`]: none does.
fn size_for(bytes: usize) -> usize {
    match bytes {
        0..=SMALL_MAX => bytes.div_ceil(SLOT_STEP).max(1) - 1,
        _ if bytes <= SLOT_MAX => SMALL_SIZES + (bytes - SMALL_MAX).div_ceil(SLOT_STEP_LARGE) - 1,
        _ => SIZES,
    }
}

fn slot_bytes(size: usize) -> usize {
    if size < SMALL_SIZES {
        (size + 1) * SLOT_STEP
    } else {
        SMALL_MAX + (size + 1 - SMALL_SIZES) * SLOT_STEP_LARGE
    }
}

impl Handle {
    fn new(page: u32, slot: u16) -> Self {
        assert!(page < 1 << (u32::BITS - SLOT_BITS), "no more than 4 million pages");
        Self(page << SLOT_BITS | u32::from(slot))
    }

    fn page(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

impl Page {
    /// One piece has it to itself.
    fn is_whole(&self) -> bool {
        usize::from(self.size) == SIZES
    }

    /// The slot's bytes of the page.
    fn slot(&self, number: usize) -> Range<usize> {
        if self.is_whole() {
            return 0..self.bytes.len();
        }
        let bytes = slot_bytes(self.size.into());
        number * bytes..(number + 1) * bytes
    }

    /// Two bytes at the beginning of a slot: the length of its piece or, where it is free, the next free slot.
    fn number_in(&self, slot: Range<usize>) -> u16 {
        u16::from_le_bytes(*self.bytes[slot].first_chunk().expect("a slot begins with a number"))
    }

    fn put_number(&mut self, slot: Range<usize>, number: u16) {
        self.bytes[slot][..LENGTH_BYTES].copy_from_slice(&number.to_le_bytes());
    }

    /// The bytes of the page that the slot's piece has.
    fn piece(&self, number: usize) -> Range<usize> {
        let slot = self.slot(number);
        if self.is_whole() {
            return slot;
        }
        let start = slot.start + LENGTH_BYTES;
        start..start + usize::from(self.number_in(slot))
    }
}

impl Arena {
    pub fn get(&self, at: Handle) -> &[u8] {
        let page = &self.pages[at.page()];
        &page.bytes[page.piece(at.slot())]
    }

    /// For changes that leave the piece as long as it is.
    pub fn get_mut(&mut self, at: Handle) -> &mut [u8] {
        let page = &mut self.pages[at.page()];
        let piece = page.piece(at.slot());
        &mut page.bytes[piece]
    }

    /// The piece is these parts, one after the other.
    pub fn insert(&mut self, parts: &[&[u8]]) -> Handle {
        let length = parts.iter().map(|part| part.len()).sum();
        let size = size_for(LENGTH_BYTES + length);
        let at = if size == SIZES { self.take_whole(length) } else { self.take_slot(size) };
        self.used_bytes += self.bytes_at(at);
        self.write(at, parts, length);
        at
    }

    /// In its place where it fits there.
    pub fn replace(&mut self, at: Handle, parts: &[&[u8]]) -> Handle {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let size = size_for(LENGTH_BYTES + length);
        let page = &self.pages[at.page()];
        let fits = usize::from(page.size) == size && (size < SIZES || page.bytes.len() == length);
        if fits {
            self.write(at, parts, length);
            return at;
        }
        self.remove(at);
        self.insert(parts)
    }

    pub fn remove(&mut self, at: Handle) {
        self.used_bytes -= self.bytes_at(at);
        let page = &mut self.pages[at.page()];
        page.used -= 1;
        if page.used == 0 {
            return self.empty_page(at.page() as u32);
        }
        page.put_number(page.slot(at.slot()), page.free);
        page.free = at.slot() as u16;
        self.list_as_open(at.page() as u32);
    }

    /// What the slots in use take; their pages may have room besides.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    fn bytes_at(&self, at: Handle) -> usize {
        self.pages[at.page()].slot(at.slot()).len()
    }

    fn write(&mut self, at: Handle, parts: &[&[u8]], length: usize) {
        let page = &mut self.pages[at.page()];
        if !page.is_whole() {
            page.put_number(page.slot(at.slot()), length as u16);
        }
        let mut rest = self.get_mut(at);
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
    }

    fn take_slot(&mut self, size: usize) -> Handle {
        let open = self.open.get(size).and_then(|open| open.last().copied());
        let number = open.unwrap_or_else(|| self.open_page(size));
        let page = &mut self.pages[number as usize];
        let slot = if page.free == NONE {
            page.fresh += 1;
            page.fresh - 1
        } else {
            let slot = page.free;
            page.free = page.number_in(page.slot(slot.into()));
            slot
        };
        page.used += 1;
        if page.free == NONE && usize::from(page.fresh) * slot_bytes(size) == page.bytes.len() {
            self.list_as_full(number);
        }
        Handle::new(number, slot)
    }

    /// A page for one piece.
    fn take_whole(&mut self, length: usize) -> Handle {
        let number = self.take_page(SIZES, length);
        self.pages[number as usize].used = 1;
        Handle::new(number, 0)
    }

    /// A page that has room.
    fn open_page(&mut self, size: usize) -> u32 {
        let number = self.take_page(size, PAGE_BYTES / slot_bytes(size) * slot_bytes(size));
        self.list_as_open(number);
        number
    }

    /// A page without pieces.
    fn take_page(&mut self, size: usize, bytes: usize) -> u32 {
        let page = Page {
            bytes: vec![0; bytes].into(),
            size: size as u8,
            used: 0,
            free: NONE,
            fresh: 0,
            open_at: NOWHERE,
        };
        if let Some(number) = self.empty.pop() {
            self.pages[number as usize] = page;
            return number;
        }
        self.pages.push(page);
        self.pages.len() as u32 - 1
    }

    fn empty_page(&mut self, number: u32) {
        self.list_as_full(number);
        self.pages[number as usize].bytes = Box::default();
        self.empty.push(number);
    }

    fn list_as_open(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        if page.open_at != NOWHERE {
            return;
        }
        self.open.resize_with(SIZES, Vec::new);
        let open = &mut self.open[usize::from(page.size)];
        page.open_at = open.len() as u32;
        open.push(number);
    }

    /// It has no room, or no memory any more.
    fn list_as_full(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let at = std::mem::replace(&mut page.open_at, NOWHERE);
        if at == NOWHERE {
            return;
        }
        let open = &mut self.open[usize::from(page.size)];
        open.swap_remove(at as usize);
        if let Some(&moved) = open.get(at as usize) {
            self.pages[moved as usize].open_at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Arena {
        /// All that is allocated for pieces.
        fn allocated(&self) -> usize {
            self.pages.iter().map(|page| page.bytes.len()).sum()
        }
    }

    #[test]
    fn sizes_grow_by_steps_and_hold_what_they_are_for() {
        for bytes in 1..=SLOT_MAX {
            let size = size_for(bytes);
            let step = if bytes <= SMALL_MAX { SLOT_STEP } else { SLOT_STEP_LARGE };
            assert!(size < SIZES, "{bytes}");
            assert!((bytes..bytes + step).contains(&slot_bytes(size)), "{bytes}");
        }
        assert_eq!(size_for(SLOT_MAX + 1), SIZES);
    }

    #[test]
    fn a_page_without_pieces_gives_its_memory_back_and_its_number_to_another_size() {
        let mut arena = Arena::default();
        let small: Vec<Handle> = (0..200_u8).map(|byte| arena.insert(&[&[byte; 90]])).collect();
        assert_eq!(arena.used_bytes(), 200 * 96);
        let pages = arena.pages.len();
        assert_eq!(pages, 200_usize.div_ceil(PAGE_BYTES / 96));
        for at in small {
            arena.remove(at);
        }
        assert_eq!((arena.allocated(), arena.used_bytes()), (0, 0));
        let large = arena.insert(&[&[7; 5_000]]);
        assert_eq!((arena.pages.len(), arena.get(large)), (pages, &[7; 5_000][..]));
        assert_eq!(arena.replace(large, &[&[8; 5_000]]), large);
        let shorter = arena.replace(large, &[&[8], &[9; 20]]);
        assert_eq!((arena.get(shorter)[..2].to_vec(), arena.used_bytes()), (vec![8, 9], 24));
    }

    proptest! {
        #[test]
        fn pieces_are_what_was_put_there_whatever_came_and_went(
            steps in prop::collection::vec((0..30_u8, 0..4_u8, 0..3_000_usize), 1..400),
        ) {
            let mut arena = Arena::default();
            let mut model: BTreeMap<u8, (Handle, Vec<u8>)> = BTreeMap::new();
            for (number, (who, what, length)) in steps.into_iter().enumerate() {
                let length = if what == 0 { length } else { length % 120 };
                let piece = vec![number as u8; length];
                let (head, tail) = piece.split_at(length / 3);
                match (model.remove(&who), what) {
                    (Some((at, _)), 3) => arena.remove(at),
                    (Some((at, _)), _) => {
                        model.insert(who, (arena.replace(at, &[head, tail]), piece));
                    }
                    (None, _) => {
                        model.insert(who, (arena.insert(&[head, tail]), piece));
                    }
                }
                for (at, piece) in model.values() {
                    prop_assert_eq!(arena.get(*at), &piece[..]);
                }
            }
            for (at, _) in model.into_values() {
                arena.remove(at);
            }
            prop_assert_eq!((arena.allocated(), arena.used_bytes()), (0, 0));
        }
    }
}
