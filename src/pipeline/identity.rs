//! Who this process is: `pipeline.state_dir` holds a lock and an instance id that was made once.
//!
//! The id outlives the process, so that the same instance, started again, fences what its
//! predecessor left and gets its partitions back without a rebalance.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use crate::failure::{Failure, Result};

const LOCK: &str = "lock";
const INSTANCE: &str = "instance-id";

/// Holds the lock as long as it lives; a crash releases it, the operating system sees to that.
pub struct Identity {
    /// 16 characters of lower-case hex.
    pub instance: String,
    _lock: File,
}

impl Identity {
    /// Makes the folder and the id where they are missing. 78: another process holds the lock, or
    /// the folder can't be used.
    pub fn take(state_dir: &Path) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Failure::config(format!(
                "pipeline.state_dir: {} can't be used: {error}; set a directory that this user can \
                 write",
                state_dir.display()
            ))
        };
        std::fs::create_dir_all(state_dir).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(state_dir.join(LOCK))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(state_dir)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let instance = instance(state_dir).map_err(unusable)?;
        Ok(Self { instance, _lock: lock })
    }

    /// The name of a worker towards Kafka: transactional.id and group.instance.id.
    pub fn of_worker(&self, group_id: &str, worker: usize) -> String {
        format!("{group_id}-{}-{worker}", self.instance)
    }
}

fn taken(state_dir: &Path) -> Failure {
    Failure::config(format!(
        "pipeline.state_dir: {} is in use by another instance; give each instance its own \
         directory, or run one instance with more pipeline.workers",
        state_dir.display()
    ))
}

fn instance(state_dir: &Path) -> std::io::Result<String> {
    let path = state_dir.join(INSTANCE);
    match std::fs::read_to_string(&path) {
        Ok(text) if is_instance(text.trim()) => Ok(text.trim().to_owned()),
        Ok(_) => Err(std::io::Error::other(format!(
            "{} does not contain 16 hexadecimal characters; remove the file, and a new one is \
             created",
            path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = make()?;
            // Written whole or not at all: a torn id would be another instance's name.
            let draft = state_dir.join("instance-id.new");
            let mut file = File::create(&draft)?;
            file.write_all(made.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(draft, path)?;
            Ok(made)
        }
        Err(error) => Err(error),
    }
}

fn is_instance(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn make() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn an_instance_keeps_its_name_and_its_folder_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("a/b");
        let first = Identity::take(&state_dir).unwrap();
        let name = first.of_worker("shop", 2);
        assert!(name.starts_with("shop-") && name.ends_with("-2") && name.len() == 5 + 16 + 2);
        let Err(failure) = Identity::take(&state_dir) else { panic!("taken twice") };
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.message.starts_with("pipeline.state_dir: "), "{failure}");
        drop(first);
        assert_eq!(Identity::take(&state_dir).unwrap().of_worker("shop", 2), name);
    }

    #[test]
    fn a_damaged_name_is_refused_rather_than_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(INSTANCE), "abc").unwrap();
        assert!(Identity::take(folder.path()).is_err());
    }
}
