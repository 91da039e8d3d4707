//! One process at a time in a data directory. The lock is the operating system's and ends with the
//! process, however that ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::failure::Failure;

/// A held data directory.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the directory.
    pub(crate) fn take(dir: &Path) -> Result<Self, Failure> {
        Self::take_named(dir, "lock")
    }

    /// Takes the directory for one kind of work, beside whoever holds it for another.
    pub(crate) fn take_named(dir: &Path, name: &str) -> Result<Self, Failure> {
        let path = dir.join(name);
        let failed =
            |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::usage(format!(
                "{} is in use by another process; stop that one, or use another directory",
                dir.display()
            ))),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataLock::take(dir.path()).unwrap();
        assert!(DataLock::take(dir.path()).is_err());
        drop(held);
        assert!(DataLock::take(dir.path()).is_ok());
    }
}
