//! The live segment: made whole before it gets its name, preallocated, and no batch is reported
//! written before it is durable. Whoever moves, replaces or cuts the file underneath is noticed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate};

use crate::chain::State;
use crate::files::{self, Disk};

pub(crate) struct LiveSegment {
    file: File,
    path: PathBuf,
    end: u64,
    identity: (u64, u64, u64),
    disk: Arc<dyn Disk>,
    pub opened: Instant,
    pub batches: u64,
}

impl LiveSegment {
    /// Makes the segment that begins at this state.
    pub(crate) fn create(
        dir: &Path,
        state: &State,
        preallocate: u64,
        disk: &Arc<dyn Disk>,
    ) -> io::Result<Self> {
        let path = files::segment_path(dir, state.segment);
        let temporary = files::temporary(&path);
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        let header = state.encode();
        match fallocate(&file, FallocateFlags::empty(), 0, preallocate.max(1)) {
            // Some file systems cannot; then the file grows as it is written.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&temporary, &path)?;
        files::sync_dir(dir)?;
        let meta = file.metadata()?;
        Ok(Self {
            path,
            end: header.len() as u64,
            identity: (meta.dev(), meta.ino(), meta.nlink()),
            file,
            disk: Arc::clone(disk),
            opened: Instant::now(),
            batches: 0,
        })
    }

    /// Where the next batch goes.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Writes a batch; returns when it is durable.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.disk.write(&self.file, batch, self.end)?;
        self.disk.sync(&self.file)?;
        self.end += batch.len() as u64;
        self.batches += 1;
        Ok(())
    }

    /// That the file by this name is still the one written to, and whole.
    pub(crate) fn check(&self) -> io::Result<()> {
        let named = fs::symlink_metadata(&self.path)?;
        let own = self.file.metadata()?;
        let same = [&named, &own].iter().all(|m| (m.dev(), m.ino(), m.nlink()) == self.identity);
        if same && own.len() >= self.end {
            Ok(())
        } else {
            Err(io::Error::other("the live segment was moved, replaced or cut"))
        }
    }

    /// Ends the segment where its data ends.
    pub(crate) fn trim(&self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}
