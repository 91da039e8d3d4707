//! Bringing segments back from their locked copies. A copy is put in place only if its content has the
//! recorded hash and the log verifies with it, up to its signed checkpoints; what stood there is kept
//! aside. Nothing here changes while another process holds the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::Timestamp;

use crate::files;
use crate::gap::{Gap, GapKind, Weight};
use crate::retention::{self, Stub};
use crate::trouble::Trouble;
use crate::verify::{VerifyError, VerifyOptions, verify};
use crate::worm::archive::{Copy, closed, copies, hash_file};
use crate::worm::bucket::{Bucket, BucketError};
use crate::worm::fit;

const STAGING: &str = "repair";
const TILES: &str = "tile";

/// Why nothing was, or could be, repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A server holds the ledger.
    #[error("ledger {path} is in use by another process; stop the server, repair, start it again", path = .0.display())]
    InUse(PathBuf),
    /// What is here cannot be verified at all: of a newer format, or of another log.
    #[error(transparent)]
    Unverifiable(#[from] VerifyError),
    /// The bucket did not answer as it should.
    #[error(transparent)]
    Bucket(BucketError),
    /// For these segments there is no copy that fits.
    #[error("no good copy of segment {list}: {why}", list = numbers(segments))]
    NoCopy {
        /// The segments.
        segments: Vec<u32>,
        /// Why not.
        why: String,
    },
}

impl RepairError {
    /// Which trouble it is.
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::Io { .. } => Trouble::NotWritable,
            Self::InUse(_) => Trouble::InUse,
            Self::Unverifiable(error) => match error.trouble() {
                Some(trouble) => trouble,
                None => Trouble::NotWritable,
            },
            Self::Bucket(_) => Trouble::Unreachable,
            Self::NoCopy { .. } => Trouble::NoCopy,
        }
    }
}

fn numbers(segments: &[u32]) -> String {
    let texts: Vec<String> = segments.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// What is wrong with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It is not what was copied, or does not fit the log.
    Differs,
}

impl Damage {
    /// `missing` or `damaged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Differs => "damaged",
        }
    }
}

/// A segment brought back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// What was wrong.
    pub damage: Damage,
    /// The copy that it came from; its `segment` is the segment.
    pub copy: Copy,
    /// Where the damaged file is kept.
    pub kept: Option<PathBuf>,
}

/// A repair, with the ledger held.
pub struct Repair {
    dir: PathBuf,
    keys_dir: PathBuf,
    options: VerifyOptions,
    damaged: BTreeMap<u32, (Damage, Vec<Copy>)>,
    _lock: File,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> RepairError + use<'_> {
    move |source| RepairError::Io { path: path.to_owned(), source }
}

impl Repair {
    /// Takes the ledger and finds what is missing or damaged. Needs no bucket. Blocking.
    ///
    /// # Errors
    /// [`RepairError`].
    pub fn begin(
        dir: &Path,
        keys_dir: &Path,
        options: VerifyOptions,
        now: Timestamp,
    ) -> Result<Self, RepairError> {
        let lock = files::lock(dir).map_err(io_error(dir))?;
        let lock = lock.ok_or_else(|| RepairError::InUse(dir.to_owned()))?;
        let mut copies = copies(dir, keys_dir).map_err(io_error(dir))?;
        copies.retain(|copy| options.stream.is_none_or(|stream| copy.is_of(stream)));
        let damaged = find(dir, &copies, &options, now).map_err(io_error(dir))?;
        // Links from the staging folder lead here, wherever this process stands.
        let dir = fs::canonicalize(dir).map_err(io_error(dir))?;
        let keys_dir = keys_dir.to_owned();
        Ok(Self { dir, keys_dir, options, damaged, _lock: lock })
    }

    /// What is missing or damaged, by segment, and how many copies are on record.
    pub fn damaged(&self) -> impl Iterator<Item = (u32, Damage, usize)> {
        self.damaged.iter().map(|(segment, (damage, copies))| (*segment, *damage, copies.len()))
    }

    /// Whether the copies are there: what [`Repair::run`] would fetch. Changes nothing.
    ///
    /// # Errors
    /// [`RepairError`].
    pub async fn rehearse(&self, bucket: &Bucket) -> Result<(), RepairError> {
        let mut without = Vec::new();
        for (segment, (_, copies)) in &self.damaged {
            let mut there = false;
            for copy in copies {
                match bucket.head(&copy.object, Some(&copy.version_id)).await {
                    Ok(stored) => there |= stored.bytes == copy.bytes,
                    Err(BucketError::Missing | BucketError::Answer(_)) => {}
                    Err(error) => return Err(RepairError::Bucket(error)),
                }
            }
            if !there {
                without.push(*segment);
            }
        }
        if without.is_empty() {
            return Ok(());
        }
        Err(RepairError::NoCopy { segments: without, why: "none is on record and there".into() })
    }

    /// Fetches the copies, verifies the log with them, and puts them in place. The log is as it was if
    /// this fails. Segments without a copy stay as they are and are in the second list.
    ///
    /// # Errors
    /// [`RepairError`].
    pub async fn run(
        self,
        bucket: &Bucket,
        now: Timestamp,
    ) -> Result<(Vec<Repaired>, Vec<u32>), RepairError> {
        let staging = self.dir.join(STAGING);
        discard(&staging).map_err(io_error(&staging))?;
        fs::create_dir(&staging).map_err(io_error(&staging))?;
        let fetched = self.fetch(bucket, &staging).await;
        let done = match fetched {
            Ok((fetched, without)) => self.judge(&staging, &fetched, &without).and_then(|()| {
                let placed = self.place(&staging, fetched, now)?;
                Ok((placed, without))
            }),
            Err(error) => Err(error),
        };
        discard(&staging).map_err(io_error(&staging))?;
        done
    }

    async fn fetch(
        &self,
        bucket: &Bucket,
        staging: &Path,
    ) -> Result<(Vec<(Damage, Copy)>, Vec<u32>), RepairError> {
        let (mut fetched, mut without) = (Vec::new(), Vec::new());
        for (segment, (damage, copies)) in &self.damaged {
            let path = files::segment_path(staging, *segment);
            let mut good = None;
            for copy in copies {
                match bucket.get(&copy.object, &copy.version_id, copy.bytes, &copy.sha256).await {
                    Ok(content) => {
                        write(&path, &content).map_err(io_error(&path))?;
                        let key = &self.options.key;
                        let end = fit::end_of(&path, *segment, self.options.stream, key);
                        if end.map_err(io_error(&path))?.is_some() {
                            good = Some(copy.clone());
                            break;
                        }
                    }
                    Err(BucketError::Missing | BucketError::Answer(_)) => {}
                    Err(error) => return Err(RepairError::Bucket(error)),
                }
            }
            match good {
                Some(copy) => fetched.push((*damage, copy)),
                None => match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error(&path)(error));
                    }
                    _ => without.push(*segment),
                },
            }
        }
        if fetched.is_empty() {
            let why = "none is on record, there and whole".into();
            return Err(RepairError::NoCopy { segments: without, why });
        }
        Ok((fetched, without))
    }

    /// Verifies the log as it would be. What is left to find may only be where there was no copy.
    fn judge(
        &self,
        staging: &Path,
        fetched: &[(Damage, Copy)],
        without: &[u32],
    ) -> Result<(), RepairError> {
        for (number, path) in files::segments(&self.dir).map_err(io_error(&self.dir))? {
            let link = files::segment_path(staging, number);
            if !link.exists() {
                std::os::unix::fs::symlink(&path, &link).map_err(io_error(&link))?;
            }
        }
        // What was shredded in order is accounted for by its stubs and its tiles.
        for (number, path) in retention::stubs(&self.dir).map_err(io_error(&self.dir))? {
            let link = retention::stub_path(staging, number);
            std::os::unix::fs::symlink(&path, &link).map_err(io_error(&link))?;
        }
        let tiles = self.dir.join(TILES);
        if tiles.is_dir() {
            let link = staging.join(TILES);
            std::os::unix::fs::symlink(&tiles, &link).map_err(io_error(&link))?;
        }
        let own = self.dir.join(files::CHECKPOINT);
        if own.exists() {
            let copy = staging.join(files::CHECKPOINT);
            fs::copy(&own, &copy).map_err(io_error(&copy))?;
        }
        let mut options = self.options.clone();
        let beside_keys = self.keys_dir.join(files::CHECKPOINT);
        options
            .expectations
            .extend(files::read_text(&beside_keys).map_err(io_error(&beside_keys))?);
        let report = verify(staging, &options, &mut |_| {})?;
        let ours: BTreeSet<u32> = fetched.iter().filter_map(|(_, copy)| copy.segment).collect();
        // Named by the list alone, and nothing after it to fit: it might be of a fork.
        let loose = fetched.iter().find_map(|(_, copy)| {
            let segment = copy.segment.filter(|_| !copy.recorded)?;
            without.contains(&segment.saturating_add(1)).then_some(segment)
        });
        if let Some(segment) = loose {
            let why = "nothing here shows that its copy is of this log".into();
            return Err(RepairError::NoCopy { segments: vec![segment], why });
        }
        let live = files::segments(&self.dir).map_err(io_error(&self.dir))?.pop();
        let rest = Rest { ours: &ours, without, live: live.map_or(0, |(number, _)| number) };
        let wrong = report
            .gaps
            .iter()
            .find(|gap| gap.kind.weight() == Weight::Broken && !rest.explains(gap));
        match wrong {
            None => Ok(()),
            Some(gap) => Err(RepairError::NoCopy {
                segments: ours.into_iter().collect(),
                why: format!("with the copies in place the log would not verify: {gap}"),
            }),
        }
    }

    fn place(
        &self,
        staging: &Path,
        fetched: Vec<(Damage, Copy)>,
        now: Timestamp,
    ) -> Result<Vec<Repaired>, RepairError> {
        let mut repaired = Vec::new();
        for (damage, copy) in fetched {
            let Some(segment) = copy.segment else { continue };
            let path = files::segment_path(&self.dir, segment);
            let mut kept = None;
            if path.exists() {
                let aside = self.dir.join(format!("damaged-{segment:010}-{}", now.millis()));
                fs::rename(&path, &aside).map_err(io_error(&path))?;
                kept = Some(aside);
            }
            fs::rename(files::segment_path(staging, segment), &path).map_err(io_error(&path))?;
            files::sync_dir(&self.dir).map_err(io_error(&self.dir))?;
            repaired.push(Repaired { damage, copy, kept });
        }
        Ok(repaired)
    }
}

/// What stays broken after a repair, because there is no copy of it.
struct Rest<'a> {
    ours: &'a BTreeSet<u32>,
    without: &'a [u32],
    /// The last segment, which is never copied.
    live: u32,
}

impl Rest<'_> {
    /// Whether a finding comes of that alone, and says nothing against what was brought back.
    fn explains(&self, gap: &Gap) -> bool {
        let Some(segment) = gap.place.segment else {
            // The last records may be gone; a fork is never explained.
            return gap.kind == GapKind::CheckpointAhead;
        };
        let joint = matches!(gap.kind, GapKind::SegmentMissing | GapKind::SegmentMismatch);
        if joint {
            return segment.checked_sub(1).is_some_and(|before| self.without.contains(&before));
        }
        !self.ours.contains(&segment) && (self.without.contains(&segment) || segment == self.live)
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Removes what an earlier repair left; links are removed, not what they lead to.
fn discard(staging: &Path) -> io::Result<()> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Segments that are not here, are not what was copied, or do not fit the log; with their copies, the
/// newest first.
fn find(
    dir: &Path,
    copies: &[Copy],
    options: &VerifyOptions,
    now: Timestamp,
) -> io::Result<BTreeMap<u32, (Damage, Vec<Copy>)>> {
    let mut of_segment: BTreeMap<u32, Vec<Copy>> = BTreeMap::new();
    for copy in copies.iter().rev() {
        if let Some(segment) = copy.segment {
            of_segment.entry(segment).or_default().push(copy.clone());
        }
    }
    let closed = closed(dir)?;
    let live = files::segments(dir)?.last().map_or(0, |(number, _)| *number);
    let here: BTreeMap<u32, PathBuf> = closed.into_iter().collect();
    let last = of_segment.keys().next_back().map_or(0, |last| last.saturating_add(1)).max(live);
    let first = here.keys().next().copied().unwrap_or(live);
    let shredded = shredded(dir)?;
    let mut damaged = BTreeMap::new();
    for segment in 1..last {
        let own = of_segment.remove(&segment).unwrap_or_default();
        let damage = match here.get(&segment) {
            None if segment == live => Some(Damage::Differs).filter(|_| !own.is_empty()),
            None if shredded.contains(&segment) => None,
            // Its retention is over: it may have been destroyed in order.
            None if segment < first && own.iter().all(|copy| copy.is_over(now)) => None,
            None => Some(Damage::Missing),
            Some(path) if own.is_empty() => {
                let end = fit::end_of(path, segment, options.stream, &options.key)?;
                end.is_none().then_some(Damage::Differs)
            }
            Some(path) => {
                let hash = hash_file(path)?.map(|(hash, _)| hash);
                let same = own.iter().any(|copy| Some(copy.sha256) == hash);
                (!same).then_some(Damage::Differs)
            }
        };
        if let Some(damage) = damage {
            damaged.insert(segment, (damage, own));
        }
    }
    Ok(damaged)
}

/// Segments of which the log itself says that they were shredded, with these stubs.
fn shredded(dir: &Path) -> io::Result<BTreeSet<u32>> {
    let mut stubs = BTreeMap::new();
    for (number, _) in retention::stubs(dir)? {
        stubs.extend(Stub::read(dir, number)?.map(|(_, bytes)| (number, bytes)));
    }
    let shreds = retention::shreds(dir).map_err(io::Error::other)?;
    let not = retention::uncovered(&shreds, &stubs);
    Ok(stubs.into_keys().filter(|number| !not.contains(number)).collect())
}
