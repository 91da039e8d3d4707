//! Shredding: a month past its retention loses its key and its segments, and the log still proves
//! itself. For each dropped segment a stub stays, which says how the tree stood before and after it;
//! the record of the shredding, under the tree itself, holds the hash of all stubs of the month, so a
//! segment that is missing without one is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::Kind;

use crate::body::Body;
use crate::calendar::{end_of_period, period_of};
use crate::chain::{Chain, State};
use crate::files;
use crate::format::{MAX_SEGMENT_HEADER, SegmentHeader, VERSION_OPEN};
use crate::gap::{Place, Weight};
use crate::key_store::period_path;
use crate::note::VerifierKey;
use crate::rewrap::wipe;
use crate::tile;
use crate::tree::{Hash, leaf_hash};
use crate::walk::{SegmentReader, Step};

const MAGIC: &[u8; 8] = b"PHWSHR1\n";
const DAY_MS: u64 = 86_400_000;
/// 45 CFR 164.316(b)(2)(i): six years. A log that was shredded earlier does not verify.
pub const LEAST_DAYS: u32 = 2_192;

/// A month cannot be shredded, or not now. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment of the month is damaged; shredding would hide it.
    #[error("segment {0} is damaged, and shredding would hide it; run verify")]
    Damaged(u32),
    /// What old checkpoints are compared by would be gone with the segments.
    #[error("the hash tiles are not complete{0}; try again in a minute, with the server running")]
    Tiles(String),
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RetentionError + use<'_> {
    move |source| RetentionError::Io { path: path.to_owned(), source }
}

/// A month as people write it: `2026-11`.
pub fn period_text(period: u32) -> String {
    format!("{:04}-{:02}", period / 100, period % 100)
}

/// The month that is written so.
pub fn parse_period(text: &str) -> Option<u32> {
    let (year, month) = text.split_once('-')?;
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    let period = year.checked_mul(100)?.checked_add(month)?;
    ((1..=12).contains(&month) && period_text(period) == text).then_some(period)
}

/// Whether a month's records have been kept for this many days after its last, at this time.
pub fn is_due(period: u32, retention_days: u32, now: u64) -> bool {
    let kept = u64::from(retention_days).saturating_mul(DAY_MS);
    end_of_period(period).is_some_and(|end| end.saturating_add(kept) <= now)
}

/// What the log says of a shredded month.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shred {
    /// The month, as `yyyymm`.
    pub period: u32,
    /// The first and the last segment that went; none if there were none.
    pub segments: Option<(u32, u32)>,
    /// SHA-256 of the stubs that stay.
    pub stubs: [u8; 32],
}

impl Shred {
    /// Reads the record's body.
    pub(crate) fn of(body: &Body) -> Option<Self> {
        Some(Self { period: body.period?, segments: body.part, stubs: body.body_sha256? })
    }

    /// The record's body.
    pub fn body(&self) -> Body {
        Body {
            period: Some(self.period),
            part: self.segments,
            body_sha256: Some(self.stubs),
            ..Body::default()
        }
    }
}

/// What stays of a dropped segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stub {
    pub before: State,
    /// The header of the segment that followed.
    pub after: State,
}

impl Stub {
    fn encode(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &self.before.encode(), &self.after.encode()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (before, len) = SegmentHeader::decode(rest)?;
        let rest = rest.get(len..)?;
        let (after, len) = SegmentHeader::decode(rest)?;
        (rest.len() == len).then_some(Self { before, after })
    }

    pub(crate) fn read(dir: &Path, segment: u32) -> io::Result<Option<(Self, Vec<u8>)>> {
        let path = stub_path(dir, segment);
        let longest = MAGIC.len() + 2 * MAX_SEGMENT_HEADER;
        match fs::metadata(&path) {
            Ok(meta) if meta.len() <= longest as u64 => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let bytes = fs::read(&path)?;
        let stub = Self::decode(&bytes).filter(|stub| stub.before.segment == segment);
        Ok(stub.map(|stub| (stub, bytes)))
    }
}

pub(crate) fn stub_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("segment-{segment:010}.shredded"))
}

/// Whether the dropped segments, with the bytes of their stubs, are those that the log says were
/// shredded; the ones that are not are given back.
pub(crate) fn uncovered(shreds: &[Shred], stubs: &BTreeMap<u32, Vec<u8>>) -> Vec<u32> {
    let mut covered = std::collections::BTreeSet::new();
    for shred in shreds {
        let Some((first, last)) = shred.segments else { continue };
        let mut sha = keys::Sha256Stream::new();
        let mut count = 0_u64;
        for bytes in stubs.range(first..=last.max(first)).map(|(_, bytes)| bytes) {
            sha.update(bytes);
            // A month's record speaks for no other month's segments.
            let own = Stub::decode(bytes).map(|stub| period_of(stub.after.time));
            count += u64::from(own == Some(shred.period));
        }
        let all = u64::from(last).checked_sub(u64::from(first)).map(|span| span + 1);
        if all == Some(count) && sha.finish() == shred.stubs {
            covered.extend(first..=last);
        }
    }
    stubs.keys().filter(|segment| !covered.contains(segment)).copied().collect()
}

/// The months that the log says were shredded. Reads the whole log.
///
/// # Errors
/// [`RetentionError::Io`].
pub fn shreds(dir: &Path) -> Result<Vec<Shred>, RetentionError> {
    let mut found = Vec::new();
    for (_, path) in files::segments(dir).map_err(failed(dir))? {
        let (mut reader, _) = SegmentReader::open(&path).map_err(failed(&path))?;
        while let Step::Batch(batch) = reader.step().map_err(failed(&path))? {
            for leaf in batch.leaves().flatten() {
                if leaf.kind == Kind::LedgerShredded.code() && leaf.version == VERSION_OPEN {
                    found.extend(Body::decode(leaf.body).ok().as_ref().and_then(Shred::of));
                }
            }
        }
    }
    Ok(found)
}

/// Destroys keys of months that the log says were shredded, should they have come back; which.
///
/// # Errors
/// [`RetentionError::Io`].
pub fn shred_again(dir: &Path, keys_dir: &Path) -> Result<Vec<u32>, RetentionError> {
    let mut again = Vec::new();
    for shred in shreds(dir)? {
        let path = period_path(keys_dir, shred.period);
        if path.exists() {
            wipe(&path).map_err(failed(&path))?;
            again.push(shred.period);
        }
    }
    Ok(again)
}

/// Whether there is a month's key.
pub fn has_key(keys_dir: &Path, period: u32) -> bool {
    period_path(keys_dir, period).exists()
}

/// Destroys a month's key.
///
/// # Errors
/// [`RetentionError::Io`].
pub fn destroy_key(keys_dir: &Path, period: u32) -> Result<(), RetentionError> {
    let path = period_path(keys_dir, period);
    if path.exists() { wipe(&path).map_err(failed(&path)) } else { Ok(()) }
}

/// The months of which there is a key or a segment, in order.
///
/// # Errors
/// [`RetentionError::Io`].
pub fn periods(dir: &Path, keys_dir: &Path) -> Result<Vec<u32>, RetentionError> {
    let mut found = crate::key_store::periods(keys_dir).map_err(failed(keys_dir))?;
    for (number, path) in files::segments(dir).map_err(failed(dir))? {
        found.extend(first_period(number, &path)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The month of a segment's first batch; a segment begins with each day, so it is of all. `None` for
/// one that is still empty.
fn first_period(number: u32, path: &Path) -> Result<Option<u32>, RetentionError> {
    let (mut reader, header) = SegmentReader::open(path).map_err(failed(path))?;
    if header.is_none() {
        return Err(RetentionError::Damaged(number));
    }
    match reader.step().map_err(failed(path))? {
        Step::Batch(batch) => Ok(Some(batch.header.period)),
        Step::End => Ok(None),
        Step::Bad => Err(RetentionError::Damaged(number)),
    }
}

/// What shredding a month will do; made without changing anything.
#[derive(Debug)]
pub struct ShredPlan {
    /// What is to be recorded first.
    pub shred: Shred,
    dir: PathBuf,
    key: PathBuf,
    segments: Vec<(PathBuf, PathBuf, Vec<u8>)>,
    /// Bytes of segments that will go.
    pub bytes: u64,
}

impl ShredPlan {
    /// Reads every segment of the month, and finds it whole.
    ///
    /// # Errors
    /// [`RetentionError::Damaged`] if one is not.
    pub fn new(
        dir: &Path,
        keys_dir: &Path,
        period: u32,
        stable: &VerifierKey,
    ) -> Result<Self, RetentionError> {
        let mut segments = Vec::new();
        let mut numbers = Vec::new();
        let mut bytes = 0;
        let present = files::segments(dir).map_err(failed(dir))?;
        for (number, path) in &present {
            if first_period(*number, path)? != Some(period) {
                continue;
            }
            let stub = Self::stub(dir, *number, path, period, stable)?.encode();
            bytes += fs::metadata(path).map_err(failed(path))?.len();
            numbers.push(*number);
            segments.push((path.clone(), stub_path(dir, *number), stub));
        }
        if !segments.is_empty() {
            // Durable, too, before what they could be made again from is gone.
            tile::complete(dir, &mut |_| {})
                .map_err(|error| RetentionError::Tiles(format!(": {error}")))?;
        }
        // What an interrupted run has dropped already belongs to the month, too.
        for (number, stub) in stubs(dir).map_err(failed(dir))? {
            let Some((found, bytes)) = Stub::read(dir, number).map_err(failed(&stub))? else {
                continue;
            };
            if period_of(found.after.time) == period && !numbers.contains(&number) {
                numbers.push(number);
                segments.push((files::segment_path(dir, number), stub, bytes));
            }
        }
        segments.sort_unstable();
        let mut sha = keys::Sha256Stream::new();
        segments.iter().for_each(|(_, _, stub)| sha.update(stub));
        let range = numbers.iter().min().copied().zip(numbers.iter().max().copied());
        let shred = Shred { period, segments: range, stubs: sha.finish() };
        let key = period_path(keys_dir, period);
        Ok(Self { shred, dir: dir.to_owned(), key, segments, bytes })
    }

    fn stub(
        dir: &Path,
        number: u32,
        path: &Path,
        period: u32,
        stable: &VerifierKey,
    ) -> Result<Stub, RetentionError> {
        let damaged = || RetentionError::Damaged(number);
        let (mut reader, before) = SegmentReader::open(path).map_err(failed(path))?;
        let before = before.filter(|header| header.segment == number).ok_or_else(damaged)?;
        let mut chain = Chain::new(before.clone(), stable.clone(), &[]);
        let mut hashes = Vec::new();
        loop {
            match reader.step().map_err(failed(path))? {
                Step::Batch(batch) if batch.header.period == period => {
                    hashes.push(leaf_hash(batch.header_bytes));
                    hashes.extend(batch.leaves().flatten().map(|leaf| leaf_hash(leaf.bytes)));
                    chain.batch(&batch, Place::default());
                }
                Step::End => break,
                _ => return Err(damaged()),
            }
        }
        let next = number.checked_add(1).ok_or_else(damaged)?;
        let next_path = files::segment_path(dir, next);
        let after = match SegmentReader::open(&next_path) {
            Ok((_, header)) => header,
            Err(_) => Stub::read(dir, next).map_err(failed(&next_path))?.map(|(s, _)| s.before),
        };
        let after = after.ok_or_else(damaged)?;
        let expected = State { segment: next, ..chain.state.clone() };
        let broken = chain.gaps.iter().any(|gap| gap.kind.weight() == Weight::Broken);
        if broken || after != expected {
            return Err(damaged());
        }
        keep_tiles(dir, before.tree.size()..after.tree.size(), &hashes)?;
        Ok(Stub { before, after })
    }

    /// Whether there is anything left to do.
    pub fn is_done(&self) -> bool {
        !self.key.exists() && self.segments.iter().all(|(path, ..)| !path.exists())
    }

    /// Destroys the key, then drops the segments. Only after [`ShredPlan::shred`] was recorded; can be
    /// run again.
    ///
    /// # Errors
    /// [`RetentionError::Io`].
    pub fn carry_out(&self) -> Result<(), RetentionError> {
        if self.key.exists() {
            wipe(&self.key).map_err(failed(&self.key))?;
        }
        for (path, stub_path, stub) in &self.segments {
            if path.exists() {
                files::replace(stub_path, stub, 0o600).map_err(failed(stub_path))?;
                files::sync_dir(&self.dir).map_err(failed(&self.dir))?;
                fs::remove_file(path).map_err(failed(path))?;
            }
        }
        files::sync_dir(&self.dir).map_err(failed(&self.dir))
    }
}

/// The hash tiles are what proves an old checkpoint once the segments are gone: they must have every
/// leaf's hash before.
fn keep_tiles(dir: &Path, leaves: Range<u64>, hashes: &[Hash]) -> Result<(), RetentionError> {
    let whole = || tile::leaf_hashes(dir, leaves.clone()).as_deref() == Some(hashes);
    if whole() {
        return Ok(());
    }
    // Full tiles are made again here; what stands right of them the writer's own thread keeps.
    let made = tile::complete(dir, &mut |_| {});
    for _ in 0..40 {
        if whole() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(RetentionError::Tiles(made.err().map_or_else(String::new, |error| format!(": {error}"))))
}

/// The stubs of a directory, by segment number.
pub(crate) fn stubs(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| {
            name.strip_prefix("segment-")?.strip_suffix(".shredded")?.parse().ok()
        });
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_written_and_fall_due_after_their_last_day() {
        assert_eq!(parse_period("2026-11"), Some(202_611));
        assert_eq!(period_text(202_611), "2026-11");
        for none in ["2026-13", "2026-00", "2026-1", "202611", "", "2026-11-01", "-1-01"] {
            assert_eq!(parse_period(none), None, "{none}");
        }
        // 2020-02 ends at 2020-03-01T00:00:00Z.
        let end = 1_583_020_800_000;
        assert!(!is_due(202_002, 10, end + 10 * DAY_MS - 1));
        assert!(is_due(202_002, 10, end + 10 * DAY_MS));
        assert!(!is_due(999_912, 10, u64::MAX - 1));
    }

    #[test]
    fn a_stub_reads_back_and_no_bent_one_does() {
        let state = crate::chain::genesis(1);
        let stub = Stub { before: state.clone(), after: State { segment: 2, ..state } };
        let bytes = stub.encode();
        assert_eq!(Stub::decode(&bytes), Some(stub));
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert_eq!(Stub::decode(&bent), None, "{at}");
            assert_eq!(Stub::decode(&bytes[..at]), None);
        }
    }

    #[test]
    fn only_what_a_record_names_with_this_hash_and_month_is_covered() {
        let stub = |segment: u32| {
            let before = State { segment, ..crate::chain::genesis(1) };
            // 2020-01-15.
            let after = State { segment: segment + 1, time: 1_579_046_400_000, ..before.clone() };
            Stub { before, after }.encode()
        };
        let stubs: BTreeMap<u32, Vec<u8>> = (1..=3).map(|n| (n, stub(n))).collect();
        let shred = |first: u32, last: u32, period| Shred {
            period,
            segments: Some((first, last)),
            stubs: keys::sha256(
                &(first.min(last)..=last.max(first)).map(stub).collect::<Vec<_>>().concat(),
            ),
        };
        assert_eq!(uncovered(&[shred(1, 3, 202_001)], &stubs), Vec::<u32>::new());
        assert_eq!(uncovered(&[shred(1, 2, 202_001)], &stubs), [3]);
        assert_eq!(uncovered(&[shred(1, 3, 202_002)], &stubs), [1, 2, 3]);
        assert_eq!(uncovered(&[shred(1, 4, 202_001)], &stubs), [1, 2, 3]);
        assert_eq!(uncovered(&[shred(3, 1, 202_001)], &stubs), [1, 2, 3]);
        let bent = Shred { stubs: [0; 32], ..shred(1, 3, 202_001) };
        assert_eq!(uncovered(&[bent], &stubs), [1, 2, 3]);
        assert_eq!(uncovered(&[], &stubs), [1, 2, 3]);
    }
}
