//! The file layer under the log: everything that changes a file of the ledger goes through one
//! [`Disk`], so that tests can put one there that fails, lies and forgets as real ones do. A failed
//! sync is never tried again, and is told apart from a disk that has no room.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, StatVfsMountFlags, fallocate, fstatvfs};

/// How the ledger's files are made, written and made durable. What is not overridden is the system's.
pub trait Disk: Send + Sync {
    /// Makes an empty file, or empties one that is there.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        File::options().read(true).write(true).create(true).truncate(true).mode(mode).open(path)
    }

    /// Opens a file to write into it.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(path)
    }

    /// Takes room for the file's first `len` bytes, which read as zeros until written.
    ///
    /// # Errors
    /// What the system says; that it cannot on this file system is none.
    fn allocate(&self, file: &File, len: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::empty(), 0, len.max(1)) {
            // Some file systems cannot; then the file grows as it is written.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all of the bytes at the offset.
    ///
    /// # Errors
    /// What the system says; the ledger then stops.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written is durable.
    ///
    /// # Errors
    /// What the system says; the ledger then stops, for a failed sync must not be tried again.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Cuts the file to this length, or fills it up with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Returns when the directory's names are durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Whether the file system that the file is on is mounted read-only by now.
    ///
    /// # Errors
    /// What the system says.
    fn is_read_only(&self, file: &File) -> io::Result<bool> {
        Ok(fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

/// The disk as it is: `pwrite` and `fdatasync`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// A sync that failed. What is durable is unknown from here on, whatever the system's reason was:
/// it does not count as a full disk, after which one last record may be written.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn sync_failed(error: io::Error) -> io::Error {
    io::Error::other(format!("a sync failed and is not tried again: {error}"))
}

/// Whether an error, or what caused it, is that the disk has no room.
pub(crate) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        next = error.source();
    }
    false
}
