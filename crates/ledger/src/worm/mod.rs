//! The copy that nobody can change: closed segments and checkpoints in a bucket with S3 Object Lock, in
//! compliance mode, found again by recorded version. A segment is copied only if it fits the log, once,
//! and counts as copied when the store says that it is locked and the log names it.

mod archive;
mod bucket;
mod check;
mod fit;
mod repair;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Clock, Kind, Timestamp};

pub use archive::{Copy, all_copies, copies, newest, stream_of};
pub use bucket::{BULK, Bucket, BucketError, BucketOptions, LARGEST, SMALL, Stored};
pub use check::{check, compare, read_whole};
pub use repair::{Damage, Repair, RepairError, Repaired};

use crate::files;
use crate::ledger::{Ledger, LedgerFault};
use crate::note::{Checkpoint, Note};
use crate::tree::Hash;
use archive::{LIST, List, RECENT};

/// An object of ours found in place counts as ours if its lock ends no earlier than this before the one
/// that we would set.
const SLACK_MS: i64 = 3 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// What an archiver needs.
pub struct ArchiveOptions {
    /// Where the copies go.
    pub bucket: Arc<Bucket>,
    /// The ledger's directory.
    pub dir: PathBuf,
    /// Where its keys are kept.
    pub keys_dir: PathBuf,
    /// Before each object's name.
    pub prefix: String,
    /// How long copies are locked, from when they are made.
    pub retention: Duration,
    /// A checkpoint is copied at the end of each segment, and else no more often than this.
    pub note_every: Duration,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
}

/// Why copying did not go on. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bucket did not do it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The log did not take the record of a copy.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// Copies name segments that the log has not got to.
    #[error(
        "segment {copied} was copied, and the log here has only got to segment {here}: it was cut or rolled back"
    )]
    Rollback {
        /// The newest segment copied.
        copied: u32,
        /// The segment that is being written.
        here: u32,
    },
}

/// What a pass did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pass {
    /// Segments copied and recorded.
    pub segments: Vec<u32>,
    /// Whether a checkpoint was copied.
    pub checkpoint: bool,
    /// Whether the latest checkpoint is copied, and all that is closed and fits.
    pub current: bool,
    /// Closed segments that do not fit the log and were not copied.
    pub unfit: Vec<u32>,
}

/// Copies what is closed, in order.
pub struct Archiver {
    options: ArchiveOptions,
    stream: u32,
    list: List,
    recent: List,
    copies: Vec<Copy>,
    done: BTreeSet<u32>,
    /// Whether the bucket was seen to lock.
    locks: bool,
    last_note: Option<Hash>,
    noted: Option<Instant>,
}

impl Archiver {
    /// Finds what was copied before. Blocking: it reads the log.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(options: ArchiveOptions) -> io::Result<Self> {
        let stream = stream_of(&options.dir)?;
        let mut copies = copies(&options.dir, &options.keys_dir)?;
        copies.retain(|copy| copy.is_of(stream));
        let done = copies.iter().filter(|copy| copy.recorded).filter_map(|copy| copy.segment);
        let done = done.collect();
        let list = List::new(&options.keys_dir, LIST);
        let recent = List::new(&options.keys_dir, RECENT);
        let last_note = recent.read()?.last().map(|copy| copy.sha256);
        Ok(Self {
            options,
            stream,
            list,
            recent,
            copies,
            done,
            locks: false,
            last_note,
            noted: None,
        })
    }

    /// Where the copies go.
    pub fn bucket(&self) -> Arc<Bucket> {
        Arc::clone(&self.options.bucket)
    }

    /// Copies every closed segment that is not copied yet, and the checkpoint if it is due. What was
    /// done before an error stays done.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn pass(&mut self, ledger: &Ledger) -> Result<Pass, ArchiveError> {
        if !self.locks {
            self.options.bucket.require_lock().await?;
            self.locks = true;
        }
        let mut pass = Pass::default();
        let dir = self.options.dir.clone();
        let segments = blocking(move || files::segments(&dir)).await?;
        let live = segments.last().map_or(0, |(number, _)| *number);
        let copied = self.copies.iter().filter_map(|copy| copy.segment).max().unwrap_or(0);
        if copied >= live && copied > 0 {
            return Err(ArchiveError::Rollback { copied, here: live });
        }
        for pair in segments.windows(2) {
            let [(number, path), (_, next)] = pair else { continue };
            if self.done.contains(number) {
                continue;
            }
            if self.segment(ledger, *number, path, next).await? {
                pass.segments.push(*number);
            } else {
                pass.unfit.push(*number);
            }
        }
        let closed = !pass.segments.is_empty();
        let due = self.noted.is_none_or(|noted| noted.elapsed() >= self.options.note_every);
        if closed || due {
            let note = if closed { ledger.checkpoint().await? } else { ledger.latest_checkpoint() };
            pass.checkpoint = self.note(ledger, note, closed).await?;
        }
        let latest = keys::sha256(ledger.latest_checkpoint().as_bytes());
        pass.current = pass.checkpoint || self.last_note == Some(latest);
        Ok(pass)
    }

    /// Copies a closed segment and has the log name the copy; false if it does not fit the log.
    async fn segment(
        &mut self,
        ledger: &Ledger,
        number: u32,
        path: &Path,
        next: &Path,
    ) -> Result<bool, ArchiveError> {
        let (path, next) = (path.to_owned(), next.to_owned());
        let (key, stream) = (ledger.verifier_key().clone(), self.stream);
        let read = move || {
            if !fit::fits(&path, &next, number, stream, &key)? {
                return Ok(None);
            }
            archive::read_segment(&path).map(Some)
        };
        let Some(content) = blocking(read).await? else { return Ok(false) };
        let sha256 = keys::sha256(&content);
        // Copied, and cut off before the log could say so?
        let listed =
            self.copies.iter().rev().find(|copy| {
                copy.segment == Some(number) && copy.sha256 == sha256 && !copy.recorded
            });
        let listed = listed.cloned();
        let before = match listed {
            Some(copy) if self.is_sound(&copy).await? => Some(copy),
            _ => None,
        };
        let copy = match before {
            Some(copy) => copy,
            None => {
                let object = format!("{}segment-{number:010}.phl", self.folder());
                let copy = self.store(object, Some(number), content.into(), sha256).await?;
                self.list.add(&copy)?;
                self.copies.push(copy.clone());
                copy
            }
        };
        ledger.append_open(Kind::LedgerArchived, &copy.body()).await?;
        self.done.insert(number);
        if let Some(own) = self.copies.iter_mut().rev().find(|own| **own == copy) {
            own.recorded = true;
        }
        Ok(true)
    }

    /// Copies a checkpoint; the one at the end of a segment is named in the log, too.
    async fn note(
        &mut self,
        ledger: &Ledger,
        note: String,
        record: bool,
    ) -> Result<bool, ArchiveError> {
        let sha256 = keys::sha256(note.as_bytes());
        let parsed = Note::parse(&note).ok().and_then(|n| Checkpoint::parse(n.text()).ok());
        let Some(checkpoint) = parsed else { return Ok(false) };
        if self.last_note == Some(sha256) {
            self.noted = Some(Instant::now());
            return Ok(false);
        }
        let object = format!("{}checkpoint-{:020}.txt", self.folder(), checkpoint.size);
        let mut copy = self.store(object, None, note.into(), sha256).await?;
        if record {
            self.list.add(&copy)?;
            ledger.append_open(Kind::LedgerArchived, &copy.body()).await?;
            copy.recorded = true;
            self.copies.push(copy);
            self.recent.clear()?;
        } else {
            self.recent.add(&copy)?;
        }
        self.last_note = Some(sha256);
        self.noted = Some(Instant::now());
        Ok(true)
    }

    fn folder(&self) -> String {
        format!("{}{}", self.options.prefix, archive::folder(self.stream))
    }

    /// The retention from now, to the end of the day.
    fn retain_until(&self) -> Timestamp {
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        let until = self.options.clock.now().plus_millis(retention).millis();
        let rest = until.rem_euclid(DAY_MS);
        Timestamp::from_millis(until.saturating_sub(rest).saturating_add(DAY_MS))
    }

    /// Stores an object, unless it is there: an answer may have been lost on the way.
    async fn store(
        &self,
        object: String,
        segment: Option<u32>,
        content: Bytes,
        sha256: Hash,
    ) -> Result<Copy, ArchiveError> {
        let bucket = &self.options.bucket;
        let bytes = content.len() as u64;
        let retain_until = self.retain_until();
        let copy = |version_id, retain_until| Copy {
            segment,
            object: object.clone(),
            version_id,
            sha256,
            bytes,
            retain_until,
            recorded: false,
        };
        let mut only_new = true;
        match bucket.head(&object, None).await {
            Ok(stored) => {
                let enough = retain_until.plus_millis(-SLACK_MS);
                if let Some(until) = stored.locked_until
                    && until >= enough
                    && (stored.bytes, stored.sha256) == (bytes, Some(sha256))
                    && bucket.get(&object, &stored.version_id, bytes, &sha256).await.is_ok()
                {
                    return Ok(copy(stored.version_id, until));
                }
                // Somebody else's: ours becomes the newer version.
                only_new = false;
            }
            Err(BucketError::Missing) => {}
            Err(error) => return Err(error.into()),
        }
        let version =
            match bucket.put(&object, content.clone(), &sha256, retain_until, only_new).await {
                Err(BucketError::Exists) => {
                    bucket.put(&object, content, &sha256, retain_until, false).await?
                }
                answer => answer?,
            };
        let copy = copy(version, retain_until);
        if self.is_sound(&copy).await? {
            Ok(copy)
        } else {
            Err(BucketError::Answer("took an object and did not lock it").into())
        }
    }

    /// Whether the store has this copy, locked as we say.
    async fn is_sound(&self, copy: &Copy) -> Result<bool, ArchiveError> {
        match self.options.bucket.head(&copy.object, Some(&copy.version_id)).await {
            Ok(stored) => Ok(stored.bytes == copy.bytes
                && stored.sha256 == Some(copy.sha256)
                && stored.locked_until.is_some_and(|until| until >= copy.retain_until)),
            Err(BucketError::Missing) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// File work off the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (to, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
