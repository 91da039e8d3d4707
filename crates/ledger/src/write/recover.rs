//! Where a log stands when its process starts. Only a tail that never was acknowledged is ever cut
//! off, and kept aside; a log smaller or other than a checkpoint that was signed is refused.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::chain::{Chain, State, genesis};
use crate::disk::Disk;
use crate::files;
use crate::gap::{Gap, GapKind, Place, Weight};
use crate::key_store::KeyStoreError;
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::trouble::Trouble;
use crate::walk::{SegmentReader, Step};

/// A ledger cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error("ledger {path} is in use by another process", path = .0.display())]
    InUse(PathBuf),
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// There is a log but no stable key for it.
    #[error("ledger {path} has records, but its stable key is missing from the key directory", path = .0.display())]
    StableKeyMissing(PathBuf),
    /// The month's sealing key is gone, and records of the month cannot be followed by others.
    #[error("the sealing key of {period} of ledger {path} is missing from the key directory", path = path.display())]
    PeriodKeyMissing {
        /// The ledger's directory.
        path: PathBuf,
        /// The month, as `yyyymm`.
        period: u32,
    },
    /// The day key in the key directory is another than the log names.
    #[error("the day key in the key directory is not the one that ledger {path} names", path = .0.display())]
    DayKeyForeign(PathBuf),
    /// The origin cannot be a key's name.
    #[error("`{0}` cannot be a ledger's origin: no spaces, no plus, not empty")]
    Origin(String),
    /// The log is damaged before its end. Nothing was changed.
    #[error("ledger {path} is corrupt: {gap}", path = path.display())]
    Corrupt {
        /// The ledger's directory.
        path: PathBuf,
        /// The first finding; `verify` lists them all.
        gap: Box<Gap>,
    },
    /// A newer program wrote here. Nothing was changed.
    #[error("{path} is of a newer format than this program reads; run a newer one", path = .0.display())]
    NewerFormat(PathBuf),
    /// A checkpoint was signed for more than there is: the log was cut or rolled back.
    #[error("ledger {path} was cut or rolled back: {signed} leaves were signed for, {found} are here", path = path.display())]
    Rollback {
        /// The ledger's directory.
        path: PathBuf,
        /// The size of the checkpoint.
        signed: u64,
        /// The size of the log.
        found: u64,
    },
    /// A checkpoint was signed for another history.
    #[error("ledger {path} differs from what was signed at {size} leaves", path = path.display())]
    Fork {
        /// The ledger's directory.
        path: PathBuf,
        /// The size of the checkpoint.
        size: u64,
    },
    /// The last checkpoint is gone or not this log's; without it a rollback would not show.
    #[error("checkpoint {path} is {what}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// `missing`, `malformed`, `not signed by this ledger's stable key`.
        what: &'static str,
    },
    /// A witness said so in an earlier life, and it is not mended.
    #[error("{reason}. {path} says so; remove it only when that is mended", path = path.display())]
    Witness {
        /// The file that says so.
        path: PathBuf,
        /// What the witness said.
        reason: String,
        /// Whether it holds another history, or more of this one.
        fork: bool,
    },
    /// The first records could not be written.
    #[error("ledger {path} cannot be written: {reason}", path = path.display())]
    Failed {
        /// The ledger's directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl OpenError {
    /// Which trouble it is.
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::Io { .. } | Self::Failed { .. } => Trouble::NotWritable,
            Self::InUse(_) => Trouble::InUse,
            Self::Keys(error) => error.trouble(),
            Self::StableKeyMissing(_) | Self::PeriodKeyMissing { .. } => Trouble::KeyMissing,
            Self::Origin(_) | Self::DayKeyForeign(_) => Trouble::ForeignKey,
            Self::Corrupt { .. } => Trouble::Corrupt,
            Self::NewerFormat(_) => Trouble::NewerFormat,
            Self::Rollback { .. } | Self::Witness { fork: false, .. } => Trouble::Rollback,
            Self::Fork { .. } | Self::Witness { fork: true, .. } => Trouble::Fork,
            Self::Checkpoint { .. } => Trouble::CheckpointMissing,
        }
    }
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<'_> {
    move |source| OpenError::Io { path: path.to_owned(), source }
}

/// Something a crash left, put aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// The segment that it was cut from.
    pub segment: u32,
    /// Where it began.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where it is kept.
    pub file: PathBuf,
}

/// What was found.
pub(crate) enum Found {
    /// No log yet, or none that got as far as its first record.
    Fresh { set_aside: Option<SetAside> },
    /// A log, ready for its next segment.
    Log { state: State, set_aside: Option<SetAside> },
}

/// A witnessed checkpoint is looked for in so many of the last segments.
const WITNESSED_SEGMENTS: usize = 16;

/// Walks the end of the log, compares it with the checkpoints, and cuts a torn tail.
pub(crate) fn recover(
    dir: &Path,
    kept: &[String],
    keys_dir: &Path,
    stream: u32,
    stable: &VerifierKey,
    disk: &dyn Disk,
) -> Result<Found, OpenError> {
    let segments = files::segments(dir).map_err(io_error(dir))?;
    let beside_log = checkpoint(&dir.join(files::CHECKPOINT), stable)?;
    let beside_keys = checkpoint(&keys_dir.join(files::CHECKPOINT), stable)?;
    let witnessed = checkpoint(&dir.join(files::WITNESSED), stable)?;
    let elsewhere = kept.iter().map(|text| read_checkpoint(Path::new(KEPT), text, stable));
    let elsewhere = elsewhere.collect::<Result<Vec<_>, _>>()?;
    let mut signed: Vec<&Checkpoint> = [&beside_log, &beside_keys].into_iter().flatten().collect();
    signed.extend(&elsewhere);
    let smallest = signed.iter().map(|c| c.size).min().unwrap_or(0);
    let largest = signed.iter().copied().chain(&witnessed).map(|c| c.size).max().unwrap_or(0);
    let rollback = |found| OpenError::Rollback { path: dir.to_owned(), signed: largest, found };

    let Some(mut at) = segments.len().checked_sub(1) else {
        let set_aside = unrecorded(dir).map_err(io_error(dir))?;
        return if largest == 0 { Ok(Found::Fresh { set_aside }) } else { Err(rollback(0)) };
    };
    // Back to the segment in which the older checkpoint lies.
    let header_of = |at: usize| -> Result<Option<State>, OpenError> {
        let Some((number, path)) = segments.get(at) else { return Ok(None) };
        let (_, header) = SegmentReader::open(path).map_err(io_error(path))?;
        Ok(header.filter(|header| header.segment == *number && header.stream == stream))
    };
    while at > 0 && header_of(at)?.is_none_or(|header| header.tree.size() > smallest) {
        at -= 1;
    }
    // And to that of the witnessed one, unless it is far behind: then `verify` compares it.
    if let Some(witnessed) = &witnessed {
        let floor = segments.len().saturating_sub(WITNESSED_SEGMENTS);
        while at > floor && header_of(at)?.is_none_or(|header| header.tree.size() > witnessed.size)
        {
            at -= 1;
        }
        if header_of(at)?.is_none_or(|header| header.tree.size() <= witnessed.size) {
            signed.push(witnessed);
        }
    }
    let sizes: Vec<u64> = signed.iter().map(|c| c.size).collect();
    let first = header_of(at)?.unwrap_or_else(|| genesis(stream));
    let mut chain = Chain::new(first.clone(), stable.clone(), &sizes);
    let mut tail = None;
    let last = segments.len() - 1;
    for (index, (number, path)) in segments.iter().enumerate().skip(at) {
        let place = Place { segment: Some(*number), ..Place::default() };
        let (mut reader, header) = SegmentReader::open(path).map_err(io_error(path))?;
        let corrupt = |kind, offset| OpenError::Corrupt {
            path: dir.to_owned(),
            gap: Box::new(Gap {
                kind,
                place: Place { offset: Some(offset), ..place },
                detail: String::new(),
            }),
        };
        let Some(header) = header.filter(|header| header.segment == *number) else {
            if reader.is_newer(0).map_err(io_error(path))? {
                return Err(OpenError::NewerFormat(path.clone()));
            }
            return Err(corrupt(GapKind::SegmentHeader, 0));
        };
        if index > at && *number != chain.state.segment.saturating_add(1) {
            return Err(corrupt(GapKind::SegmentMissing, 0));
        }
        chain.segment(header, place);
        let mut last_batch = (0, 0);
        loop {
            let offset = reader.offset();
            let place = Place { offset: Some(offset), ..place };
            match reader.step().map_err(io_error(path))? {
                Step::Batch(batch) => {
                    chain.batch(&batch, place);
                    last_batch = (offset, reader.offset());
                    continue;
                }
                Step::End => break,
                Step::Bad => {}
            }
            // Only the very last write can be torn; a whole batch after it says it was not.
            let torn =
                index == last && reader.next_whole(offset).map_err(io_error(path))?.is_none();
            if !torn {
                return Err(corrupt(GapKind::Damaged, offset));
            }
            tail = Some((offset, reader.end_of_data(offset).map_err(io_error(path))?));
            break;
        }
        if let Some(gap) = chain.gaps.iter().find(|gap| gap.kind.weight() == Weight::Broken) {
            return Err(OpenError::Corrupt { path: dir.to_owned(), gap: Box::new(gap.clone()) });
        }
        if index == last {
            // Nothing is changed on disk before the checkpoints agree.
            compare(dir, &chain, &signed)?;
            if chain.state.batch > 1 {
                for (found, place) in [(&beside_log, dir), (&beside_keys, keys_dir)] {
                    if found.is_none() {
                        let path = place.join(files::CHECKPOINT);
                        return Err(OpenError::Checkpoint { path, what: "missing" });
                    }
                }
            }
            let data_end = tail.map_or_else(|| reader.offset(), |(offset, _)| offset);
            let set_aside = match tail {
                Some((from, to)) => Some(put_aside(disk, path, *number, from, to)?),
                None => unrecorded(dir).map_err(io_error(dir))?,
            };
            harden(disk, path, last_batch, data_end).map_err(io_error(path))?;
            return Ok(Found::Log { state: chain.state, set_aside });
        }
    }
    Err(rollback(chain.state.tree.size()))
}

fn checkpoint(path: &Path, stable: &VerifierKey) -> Result<Option<Checkpoint>, OpenError> {
    let text = files::read_text(path).map_err(io_error(path))?;
    text.map(|text| read_checkpoint(path, &text, stable)).transpose()
}

/// How a checkpoint that is in no file is called.
const KEPT: &str = "in the database";

fn read_checkpoint(path: &Path, text: &str, stable: &VerifierKey) -> Result<Checkpoint, OpenError> {
    let wrong = |what| OpenError::Checkpoint { path: path.to_owned(), what };
    let note = Note::parse(text).map_err(|_| wrong("malformed"))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|_| wrong("malformed"))?;
    if !note.signed_by(stable) || checkpoint.origin != stable.name() {
        return Err(wrong("not signed by this ledger's stable key"));
    }
    Ok(checkpoint)
}

fn compare(dir: &Path, chain: &Chain, signed: &[&Checkpoint]) -> Result<(), OpenError> {
    let found = chain.state.tree.size();
    for checkpoint in signed {
        let size = checkpoint.size;
        if size > found {
            return Err(OpenError::Rollback { path: dir.to_owned(), signed: size, found });
        }
        if chain.root_at(size) != Some(checkpoint.root) {
            return Err(OpenError::Fork { path: dir.to_owned(), size });
        }
    }
    Ok(())
}

/// The end of a kept tail's name until the record of it is durable.
const UNRECORDED: &str = ".unrecorded";

impl SetAside {
    /// The record of it is durable.
    pub(crate) fn recorded(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let file = self.file.with_extension("");
        disk.rename(&self.file, &file)?;
        disk.sync_dir(file.parent().unwrap_or(&file))?;
        self.file = file;
        Ok(())
    }
}

/// A tail that an earlier start kept and cut off, and did not come to record.
fn unrecorded(dir: &Path) -> io::Result<Option<SetAside>> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let numbers = name
            .to_str()
            .and_then(|name| name.strip_prefix("set-aside-")?.strip_suffix(UNRECORDED))
            .and_then(|numbers| numbers.split_once('-'))
            .and_then(|(segment, from)| Some((segment.parse().ok()?, from.parse().ok()?)));
        if let Some((segment, offset)) = numbers {
            let bytes = entry.metadata()?.len();
            return Ok(Some(SetAside { segment, offset, bytes, file: entry.path() }));
        }
    }
    Ok(None)
}

/// Keeps a copy of a torn tail.
fn put_aside(
    disk: &dyn Disk,
    segment_path: &Path,
    segment: u32,
    from: u64,
    to: u64,
) -> Result<SetAside, OpenError> {
    let bytes = to.saturating_sub(from);
    let name = format!("set-aside-{segment:010}-{from}{UNRECORDED}");
    let file = segment_path.with_file_name(name);
    let copy = || -> io::Result<()> {
        let source = File::open(segment_path)?;
        let target = disk.create(&file, 0o600)?;
        let mut piece = vec![0; 1 << 16];
        let mut at = 0;
        while at < bytes {
            let wanted = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(piece.len());
            let Some(piece) = piece.get_mut(..wanted) else { break };
            source.read_exact_at(piece, from + at)?;
            disk.write(&target, piece, at)?;
            at += wanted as u64;
        }
        disk.sync(&target)?;
        disk.sync_dir(segment_path.parent().unwrap_or(segment_path))
    };
    copy().map_err(io_error(&file))?;
    Ok(SetAside { segment, offset: from, bytes, file })
}

/// Ends a segment where its data ends, and makes durable what this start goes on from. The last batch
/// is written again: after a sync that failed, or a process that was killed before it, the system may
/// show what is not on the disk and call the next sync done.
fn harden(disk: &dyn Disk, path: &Path, last_batch: (u64, u64), end: u64) -> io::Result<()> {
    let file = disk.open(path)?;
    let (mut at, to) = last_batch;
    let mut piece = vec![0; 1 << 16];
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(piece.len());
        let Some(piece) = piece.get_mut(..wanted) else { break };
        file.read_exact_at(piece, at)?;
        disk.write(&file, piece, at)?;
        at += wanted as u64;
    }
    // Also where the length shows already: it may not be durable either.
    disk.set_len(&file, end)?;
    disk.sync(&file)?;
    disk.sync_dir(path.parent().unwrap_or(path))
}
