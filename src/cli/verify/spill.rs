//! Rows between the two passes: a file a purpose and partition of its segment topic, in a folder of
//! its own that goes when the command ends. Pseudonyms stand in it, and no raw identifier (INV-6).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::binary::{Reader, Write as _};
use crate::domain::pseudonym::Pseudonym;
use crate::failure::{Failure, Result};
use crate::verify::Row;

/// Of one purpose, by its index, and one partition of its topic.
type Bucket = (usize, i32);

/// Before a bucket is written out: 64 partitions of 8 purposes take 32 MB.
const BUFFER_BYTES: usize = 64 * 1024;

pub struct Spill {
    folder: PathBuf,
    buffers: BTreeMap<Bucket, Vec<u8>>,
    encoded: Vec<u8>,
    failure: Option<Failure>,
}

impl Spill {
    /// A new folder in `parent`, for this user only.
    pub fn create(parent: &Path) -> Result<Self> {
        let folder = parent.join(format!("assent-verify-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| refused(&folder, &error))?;
        Ok(Self { folder, buffers: BTreeMap::new(), encoded: Vec::new(), failure: None })
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
        let path = self.path(bucket);
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(bytes)) {
            self.failure.get_or_insert(refused(&path, &error));
        }
    }

    /// Every row of a bucket, in the order in which they were put.
    pub fn rows(&self, bucket: Bucket, mut each: impl FnMut(Pseudonym, Row)) -> Result<()> {
        let path = self.path(bucket);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|error| refused(&path, &error))?,
        };
        let broken = || refused(&path, &std::io::Error::other("it is not what was written"));
        let (mut file, mut row) = (BufReader::new(file), Vec::new());
        while let Some(length) = read_length(&mut file).map_err(|error| refused(&path, &error))? {
            row.resize(length, 0);
            file.read_exact(&mut row).map_err(|error| refused(&path, &error))?;
            let (pseudonym, row) = Row::decode(&mut Reader::new(&row)).map_err(|_| broken())?;
            each(pseudonym, row);
        }
        Ok(())
    }

    fn path(&self, (purpose, partition): Bucket) -> PathBuf {
        self.folder.join(format!("{purpose}-{partition}"))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
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
        "{}: {error}; `assent verify --scratch FOLDER` names another place for what lies between its \
         two passes",
        path.display()
    ))
}
