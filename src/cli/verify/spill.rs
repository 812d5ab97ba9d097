//! Rows between the two passes: blocks of a file that has no name, so nothing of it outlasts the
//! process, however that ends. Pseudonyms stand in it, and no raw identifier (INV-6).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use assent_contract::domain::binary::{Reader, Write as _};
use assent_contract::domain::pseudonym::Pseudonym;
use assent_verify::Row;

/// Of one purpose, by its index, and one partition of its topic.
type Bucket = (usize, i32);

/// Before a bucket is written out: 64 partitions of 8 purposes take 32 MB.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where a part of a bucket lies.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    length: usize,
}

pub struct Spill {
    file: File,
    /// Where the file lies, for what goes wrong with it.
    folder: PathBuf,
    end: u64,
    blocks: BTreeMap<Bucket, Vec<Block>>,
    buffers: BTreeMap<Bucket, Vec<u8>>,
    encoded: Vec<u8>,
    failure: Option<Failure>,
}

impl Spill {
    /// A new file in `folder`, of this user and without a name.
    pub fn create(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| refused(folder, &error))?;
        Ok(Self {
            file,
            folder: folder.to_owned(),
            end: 0,
            blocks: BTreeMap::new(),
            buffers: BTreeMap::new(),
            encoded: Vec::new(),
            failure: None,
        })
    }

    /// Takes a row; what goes wrong is said by [`Spill::flush`].
    pub fn put(&mut self, bucket: Bucket, pseudonym: Pseudonym, row: Row) {
        self.encoded.clear();
        row.encode(pseudonym, &mut self.encoded);
        let buffer = self.buffers.entry(bucket).or_default();
        buffer.put_bytes(&self.encoded);
        if buffer.len() >= BUFFER_BYTES {
            let full = std::mem::take(buffer);
            self.write(bucket, &full);
        }
    }

    /// Everything that was put is in its file, or this says why not.
    pub fn flush(&mut self) -> Result<()> {
        for (bucket, buffer) in std::mem::take(&mut self.buffers) {
            self.write(bucket, &buffer);
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn write(&mut self, bucket: Bucket, bytes: &[u8]) {
        if let Err(error) = self.file.write_all(bytes) {
            self.failure.get_or_insert(refused(&self.folder, &error));
            return;
        }
        let block = Block { at: self.end, length: bytes.len() };
        self.blocks.entry(bucket).or_default().push(block);
        self.end += bytes.len() as u64;
    }

    /// Every row of a bucket, in the order in which they were put.
    pub fn rows(&self, bucket: Bucket, mut each: impl FnMut(Pseudonym, Row)) -> Result<()> {
        let refused = |error: &std::io::Error| refused(&self.folder, error);
        let broken = || refused(&std::io::Error::other("it does not hold what was written"));
        let blocks = self.blocks.get(&bucket).map_or(&[][..], Vec::as_slice);
        let reading = Reading { file: &self.file, blocks: blocks.iter().copied(), rest: None };
        let (mut file, mut row) = (BufReader::with_capacity(BUFFER_BYTES, reading), Vec::new());
        while let Some(length) = read_length(&mut file).map_err(|error| refused(&error))? {
            row.resize(length, 0);
            file.read_exact(&mut row).map_err(|error| refused(&error))?;
            let (pseudonym, row) = Row::decode(&mut Reader::new(&row)).map_err(|_| broken())?;
            each(pseudonym, row);
        }
        Ok(())
    }
}

/// One block after the other.
struct Reading<'a, B> {
    file: &'a File,
    blocks: B,
    rest: Option<Block>,
}

impl<B: Iterator<Item = Block>> Read for Reading<'_, B> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Some(block) = self.rest.take().or_else(|| self.blocks.next()) else { return Ok(0) };
        let length = block.length.min(into.len());
        let read = self.file.read_at(&mut into[..length], block.at)?;
        if read == 0 && length > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = Block { at: block.at + read as u64, length: block.length - read };
        self.rest = (rest.length > 0).then_some(rest);
        Ok(read)
    }
}

/// A row is shorter than 64 bytes, so its length takes one byte, doubled; `None`: the end.
fn read_length(file: &mut impl std::io::Read) -> std::io::Result<Option<usize>> {
    let mut byte = [0];
    match file.read(&mut byte)? {
        0 => Ok(None),
        _ => Ok(Some(usize::from(byte[0] / 2))),
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "{}: {error}; choose another directory for the temporary file with `assent verify \
         --scratch FOLDER`",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;
    use assent_verify::Written;

    fn row(number: i64) -> Row {
        let (decided_at, written) = (Timestamp(number * 7), Written::Assigned([number as u8; 16]));
        Row::Effect { partition: 1, offset: number, decided_at, written }
    }

    #[test]
    fn rows_come_back_by_bucket_and_in_order_and_nothing_lies_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(folder.path()).unwrap();
        for number in 0..10_000 {
            spill.put((number as usize % 2, 3), Pseudonym([number as u8; 17]), row(number));
            let stored = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(stored, 0, "a killed process leaves nothing");
        }
        spill.flush().unwrap();
        assert!(spill.blocks[&(0, 3)].len() > 2, "several blocks");
        for first in 0..2 {
            let mut expected = (first..10_000).step_by(2);
            let read = spill.rows((first as usize, 3), |pseudonym, it| {
                let number = expected.next().unwrap();
                assert_eq!((pseudonym, it), (Pseudonym([number as u8; 17]), row(number)));
            });
            assert!(read.is_ok() && expected.next().is_none());
        }
        spill.rows((2, 3), |_, _| panic!("an empty bucket")).unwrap();
    }
}
