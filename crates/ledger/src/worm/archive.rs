//! Which copies there are: each is named by an open record of the log, which needs no key to read and
//! is found even in a damaged log, and by a line of `archive.ndjson` beside the keys. A version is
//! what counts; what a bucket lists is never asked.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::{Kind, Timestamp};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::body::Body;
use crate::files;
use crate::format::VERSION_OPEN;
use crate::tree::Hash;
use crate::walk::{SegmentReader, Step};
use crate::worm::bucket::fits_version;
use crate::worm::{hex, unhex};

/// All segments, and the checkpoint at the end of each.
pub(super) const LIST: &str = "archive.ndjson";
/// The checkpoints since the last closed segment.
pub(super) const RECENT: &str = "archive-recent.ndjson";
/// No line is longer; what follows in it is passed over.
const LINE: u64 = 8 * 1024;

/// One locked copy: of a closed segment, or of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// Which segment; `None` for a checkpoint.
    pub segment: Option<u32>,
    /// The object's name in the bucket.
    pub object: String,
    /// The version that was stored.
    pub version_id: String,
    /// The hash of its content.
    pub sha256: Hash,
    /// Its length in bytes.
    pub bytes: u64,
    /// Until when it is locked.
    pub retain_until: Timestamp,
    /// Whether the log itself names it, or only the list beside the keys.
    pub recorded: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u32>,
    object: String,
    version_id: String,
    sha256: String,
    bytes: u64,
    retain_until: String,
}

impl Copy {
    /// The body of the record that names it.
    pub fn body(&self) -> Body {
        Body {
            segment: self.segment,
            object: Some(self.object.clone()),
            version_id: Some(self.version_id.clone()),
            body_sha256: Some(self.sha256),
            bytes: Some(self.bytes),
            retain_until: date_text(self.retain_until),
            ..Body::default()
        }
    }

    /// Whether it is of this stream.
    pub(super) fn is_of(&self, stream: u32) -> bool {
        self.object.contains(&folder(stream))
    }

    /// Whether its lock is over, or as good as: what it holds may have been destroyed in order.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.retain_until.plus_millis(-super::SLACK_MS) <= now
    }

    fn from_body(body: Body) -> Option<Self> {
        let copy = Self {
            segment: body.segment,
            object: body.object?,
            version_id: body.version_id?,
            sha256: body.body_sha256?,
            bytes: body.bytes?,
            retain_until: date(&body.retain_until?)?,
            recorded: true,
        };
        copy.in_form()
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let copy = Self {
            segment: line.segment,
            object: line.object,
            version_id: line.version_id,
            sha256: unhex(&line.sha256)?,
            bytes: line.bytes,
            retain_until: date(&line.retain_until)?,
            recorded: false,
        };
        copy.in_form()
    }

    fn in_form(self) -> Option<Self> {
        let named = (1..=1024).contains(&self.object.len())
            && self.object.bytes().all(|byte| byte.is_ascii_graphic());
        (named && fits_version(&self.version_id)).then_some(self)
    }

    fn line(&self) -> io::Result<Vec<u8>> {
        let line = Line {
            segment: self.segment,
            object: self.object.clone(),
            version_id: self.version_id.clone(),
            sha256: hex(&self.sha256),
            bytes: self.bytes,
            retain_until: date_text(self.retain_until).unwrap_or_default(),
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Every copy that the log or the list names, the log's first, in the order recorded.
///
/// # Errors
/// What the system says. Damaged places are passed over.
pub fn copies(dir: &Path, keys_dir: &Path) -> io::Result<Vec<Copy>> {
    let mut found = recorded(dir)?;
    let listed = List::new(keys_dir, LIST).read()?;
    let version = |copy: &Copy| (copy.object.clone(), copy.version_id.clone());
    let known: HashSet<_> = found.iter().map(version).collect();
    let more: Vec<Copy> =
        listed.into_iter().filter(|copy| !known.contains(&version(copy))).collect();
    found.extend(more);
    Ok(found)
}

/// A time as people and S3 write it (RFC 3339), to the second; `None` beyond the calendar.
pub(super) fn date_text(time: Timestamp) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(time.secs()).ok()?.format(&Rfc3339).ok()
}

pub(super) fn date(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_secs(time.unix_timestamp()))
}

/// Where the copies of a stream are, after the configured prefix.
pub(super) fn folder(stream: u32) -> String {
    format!("stream-{stream:010}/")
}

/// The stream of a directory, as its newest readable segment says; 1 where none does.
///
/// # Errors
/// What the system says.
pub fn stream_of(dir: &Path) -> io::Result<u32> {
    let segments = match files::segments(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let header = |path: &Path| SegmentReader::open(path).ok().and_then(|(_, header)| header);
    let newest = segments.iter().rev().find_map(|(_, path)| header(path));
    Ok(newest.map_or(1, |header| header.stream))
}

/// When a copy was last listed; `None` if never.
pub fn newest(keys_dir: &Path) -> Option<Timestamp> {
    let touched = |name| List::new(keys_dir, name).touched();
    touched(LIST).max(touched(RECENT))
}

/// As [`copies`], and those of the latest checkpoints.
///
/// # Errors
/// What the system says.
pub fn all_copies(dir: &Path, keys_dir: &Path) -> io::Result<Vec<Copy>> {
    let mut found = copies(dir, keys_dir)?;
    found.extend(List::new(keys_dir, RECENT).read()?);
    Ok(found)
}

/// The copies that open records of the log name.
fn recorded(dir: &Path) -> io::Result<Vec<Copy>> {
    let mut found = Vec::new();
    let segments = match files::segments(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for (_, path) in segments {
        let (reader, header) = match SegmentReader::open(&path) {
            Ok(opened) => opened,
            // Moved away between listing and opening, or unreadable: the others still speak.
            Err(_) => continue,
        };
        let mut reader = reader.skim();
        if header.is_none() {
            match reader.next_whole(0)? {
                Some(offset) => reader.seek(offset),
                None => continue,
            }
        }
        loop {
            let offset = reader.offset();
            match reader.step()? {
                Step::Batch(batch) => found.extend(
                    batch
                        .leaves()
                        .flatten()
                        .filter(|leaf| {
                            leaf.version == VERSION_OPEN && leaf.kind == Kind::LedgerArchived.code()
                        })
                        .filter_map(|leaf| Copy::from_body(Body::decode(leaf.body).ok()?)),
                ),
                Step::End => break,
                Step::Bad => match reader.next_whole(offset)? {
                    Some(next) => reader.seek(next),
                    None => break,
                },
            }
        }
    }
    Ok(found)
}

/// A list beside the keys, to which copies are added.
pub(super) struct List(PathBuf);

impl List {
    pub(super) fn new(keys_dir: &Path, name: &str) -> Self {
        Self(keys_dir.join(name))
    }

    /// The copies listed; lines that are none are passed over.
    pub(super) fn read(&self) -> io::Result<Vec<Copy>> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        let mut found = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(found);
            }
            found.extend(Copy::from_line(&line));
        }
    }

    /// When a copy was last added.
    pub(super) fn touched(&self) -> Option<Timestamp> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.0).ok().map(|meta| Timestamp::from_secs(meta.mtime()))
    }

    /// Begins anew.
    pub(super) fn clear(&self) -> io::Result<()> {
        files::replace(&self.0, b"", 0o600)
    }

    /// Adds a copy; returns when that is durable.
    pub(super) fn add(&self, copy: &Copy) -> io::Result<()> {
        let mut file = File::options().append(true).create(true).mode(0o600).open(&self.0)?;
        // A line that a crash cut ends here, and is passed over.
        let len = file.metadata()?.len();
        let mut bytes = Vec::new();
        if len > 0 && !ends_line(&self.0, len)? {
            bytes.push(b'\n');
        }
        bytes.extend(copy.line()?);
        file.write_all(&bytes)?;
        file.sync_all()?;
        if len == 0 {
            files::sync_dir(self.0.parent().unwrap_or(Path::new(".")))?;
        }
        Ok(())
    }
}

fn ends_line(path: &Path, len: u64) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut last = [0];
    File::open(path)?.read_exact_at(&mut last, len.saturating_sub(1))?;
    Ok(last == *b"\n")
}

/// The hash and length of a file; `None` if there is none.
pub(super) fn hash_file(path: &Path) -> io::Result<Option<(Hash, u64)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut sha = keys::Sha256Stream::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Some((sha.finish(), bytes))),
            read => {
                sha.update(buffer.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
        }
    }
}

/// The closed segments: all but the last, which may be written to.
pub(super) fn closed(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut segments = match files::segments(dir) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    segments.pop();
    Ok(segments)
}

/// A whole segment, if it is no larger than can be kept.
pub(super) fn read_segment(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > super::LARGEST {
        return Err(io::Error::other("the segment is larger than any can be"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(segment: Option<u32>, version: &str) -> Copy {
        Copy {
            segment,
            object: "a/stream-0000000001/segment-1".into(),
            version_id: version.into(),
            sha256: [7; 32],
            bytes: 9,
            retain_until: Timestamp::from_secs(1_983_484_800),
            recorded: false,
        }
    }

    #[test]
    fn the_list_reads_back_past_torn_foreign_and_endless_lines() {
        let dir = tempfile::tempdir().unwrap();
        let list = List::new(dir.path(), LIST);
        assert!(copies(dir.path(), dir.path()).unwrap().is_empty());
        list.add(&copy(Some(1), "a")).unwrap();
        let path = dir.path().join(LIST);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(b"{\"segment\":2}\n\xff\xfe\n");
        bytes.extend(vec![b'x'; 3 * usize::try_from(LINE).unwrap()]);
        bytes.extend(b"\n{\"segment\":3,\"obj");
        fs::write(&path, bytes).unwrap();
        list.add(&copy(None, "b")).unwrap();
        let read = copies(dir.path(), dir.path()).unwrap();
        assert_eq!(read, [copy(Some(1), "a"), copy(None, "b")]);
    }

    #[test]
    fn a_record_reads_back_and_one_out_of_form_is_none() {
        let whole = copy(Some(4), "v");
        assert!(whole.is_of(1) && !whole.is_of(2) && !whole.is_of(10));
        let read = Copy::from_body(whole.body()).unwrap();
        assert_eq!(Copy { recorded: false, ..read }, whole);
        for bad in ["", "with space", "new\nline", &"x".repeat(1025)] {
            assert!(Copy::from_body(copy(Some(4), bad).body()).is_none());
        }
        assert!(Copy::from_body(Body::default()).is_none());
    }
}
