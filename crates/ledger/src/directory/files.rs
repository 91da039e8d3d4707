//! The ledger's directory: which files there are, who holds it, and how a small file is replaced so
//! that a crash leaves the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::disk::{Disk, SystemDisk};

pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The latest checkpoint that a quorum of witnesses cosigned.
pub(crate) const WITNESSED: &str = "checkpoint.witnessed";
const LOCK: &str = "lock";
const SEGMENT_PREFIX: &str = "segment-";
const SEGMENT_SUFFIX: &str = ".phl";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The segment's file name.
pub(crate) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{SEGMENT_PREFIX}{segment:010}{SEGMENT_SUFFIX}"))
}

/// The segments of a directory, by number. Other files are let be.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let found = segment_numbers(dir)?;
    Ok(found.into_iter().map(|number| (number, segment_path(dir, number))).collect())
}

/// The numbers of a directory's segments, in order: four bytes each, for there may be many.
pub(crate) fn segment_numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(SEGMENT_PREFIX)?.strip_suffix(SEGMENT_SUFFIX))
            .filter(|digits| digits.len() == 10)
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The segment of this number, or the first after it where those before were shredded.
pub(crate) fn next_segment(dir: &Path, number: u32) -> io::Result<Option<(u32, PathBuf)>> {
    let path = segment_path(dir, number);
    if path.exists() {
        return Ok(Some((number, path)));
    }
    if !crate::retention::stub_path(dir, number).exists() {
        return Ok(None);
    }
    Ok(segments(dir)?.into_iter().find(|(found, _)| *found >= number))
}

/// Removes what an interrupted [`replace`] or segment creation left.
pub(crate) fn remove_temporaries(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(TEMPORARY_SUFFIX)) {
            disk.remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The name under which a file is prepared before it takes its place.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY_SUFFIX);
    path.with_file_name(name)
}

/// Replaces a file's content: the old content or the new, never a part.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_on(&SystemDisk, path, content, mode)
}

/// The same on a disk of the caller's. When it returns, the new content is durable under its name.
pub(crate) fn replace_on(
    disk: &dyn Disk,
    path: &Path,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let temporary = temporary(path);
    let file = disk.create(&temporary, mode)?;
    disk.write(&file, content, 0)?;
    disk.sync(&file)?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(path))
}

/// The file's text, if there is one; what is no text, or longer than any note, is invalid data.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    const MOST: u64 = 1 << 20;
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= MOST => {}
        Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut text = String::new();
    File::open(path)?.take(MOST).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Makes renames and new files in the directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the directory for this process; `None` while another holds it. Held until dropped.
pub(crate) fn lock(dir: &Path) -> io::Result<Option<File>> {
    let path = dir.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
