//! The live segment: made whole before it gets its name, preallocated, and no batch is reported
//! written before it is durable. Whoever moves, replaces, cuts or extends the file underneath, takes
//! away its directory or its mount, or remounts it read-only, is noticed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::chain::State;
use crate::disk::{Disk, sync_failed};
use crate::files;

pub(crate) struct LiveSegment {
    file: File,
    path: PathBuf,
    dir: PathBuf,
    /// The open directory, to see whether its name still leads to it.
    dir_file: File,
    end: u64,
    /// The length that was allocated.
    room: u64,
    identity: (u64, u64, u64),
    closed: bool,
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
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let temporary = files::temporary(&path);
        let file = disk.create(&temporary, 0o600)?;
        let header = state.encode();
        disk.allocate(&file, preallocate.max(1))?;
        disk.write(&file, &header, 0)?;
        disk.sync(&file).map_err(sync_failed)?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir).map_err(sync_failed)?;
        let meta = file.metadata()?;
        Ok(Self {
            path,
            dir: dir.to_owned(),
            dir_file: File::open(dir)?,
            end: header.len() as u64,
            room: meta.len(),
            identity: (meta.dev(), meta.ino(), meta.nlink()),
            file,
            closed: false,
            disk: Arc::clone(disk),
            opened: Instant::now(),
            batches: 0,
        })
    }

    /// Where the next batch goes.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Whether nothing more can be written to it.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes a batch; returns when it is durable.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.disk.write(&self.file, batch, self.end)?;
        self.disk.sync(&self.file).map_err(sync_failed)?;
        self.end += batch.len() as u64;
        self.batches += 1;
        Ok(())
    }

    /// That the file by this name is still the one written to, whole, and on the same disk.
    pub(crate) fn check(&self) -> io::Result<()> {
        let named = fs::symlink_metadata(&self.path)?;
        let own = self.file.metadata()?;
        if [&named, &own].iter().any(|m| (m.dev(), m.ino(), m.nlink()) != self.identity) {
            return Err(io::Error::other("the live segment was moved, replaced or linked"));
        }
        if own.len() != self.room.max(self.end) {
            return Err(io::Error::other("the live segment was cut or extended by somebody else"));
        }
        let (named, own) = (fs::metadata(&self.dir)?, self.dir_file.metadata()?);
        if (named.dev(), named.ino()) != (own.dev(), own.ino()) || own.nlink() == 0 {
            return Err(io::Error::other("the ledger's directory was moved or replaced"));
        }
        if self.disk.is_read_only(&self.file)? {
            return Err(io::Error::other("the ledger's disk was remounted read-only"));
        }
        Ok(())
    }

    /// Ends the segment where its data ends.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        self.disk.set_len(&self.file, self.end)?;
        (self.room, self.closed) = (self.end, true);
        self.disk.sync(&self.file).map_err(sync_failed)
    }
}
