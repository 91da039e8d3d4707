//! Reading records, beside a running writer or not, with the key-encryption key. A record is handed
//! out only if it opens under the key that its batch commits to; a record whose month was shredded
//! keeps its header.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Kind, Outcome, Timestamp};
use keys::custody::Custody;
use keys::seal::{self, NONCE_LEN, SealKey};
use serde_json::{Value, json};

use crate::body::Body;
use crate::entry::{Field, tags};
use crate::files;
use crate::format::{Batch, Leaf, TOKEN_LEN, VERSION, VERSION_OPEN};
use crate::key_store::{KeyStore, KeyStoreError, PeriodKey};
use crate::walk::{SegmentReader, Step};

pub mod census;
mod damage;
mod tagged;
pub mod tags;

pub use tagged::{Places, Spot, Tag, Tags};

/// A ledger cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that are no batch, or a record that does not open under its key.
    #[error("the ledger is damaged at offset {offset} of {path}; run verify", path = path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
}

/// A record as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its sequence number.
    pub seq: u64,
    /// Its leaf's index in the tree.
    pub leaf: u64,
    /// Its time.
    pub time: Timestamp,
    /// What happened; `None` for a kind that this version does not know.
    pub kind: Option<Kind>,
    /// How it ended; `None` for an outcome that this version does not know.
    pub outcome: Option<Outcome>,
    /// The particulars; `None` if the month's key was destroyed.
    pub body: Option<Body>,
}

impl Record {
    /// Whether it is found under this value; `None` if its month was shredded.
    pub fn carries(&self, field: Field, value: &str) -> Option<bool> {
        self.body.as_ref().map(|body| carries(body, field, value))
    }

    /// All of it as JSON, for people and scripts. This shows PHI.
    pub fn exposed(&self) -> Value {
        json!({
            "seq": self.seq,
            "leaf": self.leaf,
            "time_ms": self.time.millis(),
            "kind": self.kind.map(Kind::as_str),
            "outcome": self.outcome.map(Outcome::as_str),
            "body": self.body.as_ref().map(Body::exposed),
        })
    }
}

/// A ledger open for reading.
pub struct Reader {
    dir: PathBuf,
    store: KeyStore,
    periods: HashMap<u32, Option<PeriodKey>>,
    /// The key directory's time of change when the months' keys were looked at last.
    looked: Option<(i64, i64)>,
}

impl Reader {
    /// Opens the ledger of this directory; `keys_dir` holds its keys, `origin` and `stream` name it.
    pub fn open(
        dir: &Path,
        keys_dir: &Path,
        origin: &str,
        stream: u32,
        custody: Arc<dyn Custody>,
    ) -> Self {
        let store = KeyStore::new(keys_dir, origin, stream, custody);
        Self { dir: dir.to_owned(), store, periods: HashMap::new(), looked: None }
    }

    /// The directory that is read.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many records there are.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn count(&self) -> Result<u64, ReadError> {
        let io = |source| ReadError::Io { path: self.dir.clone(), source };
        let Some((number, path)) = files::segments(&self.dir).map_err(io)?.pop() else {
            return Ok(0);
        };
        let mut place = Place::open(number, path)?;
        let mut count = place.first_seq;
        while let Step::Batch(batch) = place.step()? {
            count = batch.header.first_seq + u64::from(batch.header.count);
        }
        Ok(count)
    }

    /// The records from this sequence number on. At the end the cursor can be asked again later.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn from_seq(&mut self, seq: u64) -> Result<Cursor<'_>, ReadError> {
        let io = |source| ReadError::Io { path: self.dir.clone(), source };
        let segments = files::segments(&self.dir).map_err(io)?;
        let mut place = None;
        // The last segment that begins at or before the record, found by halving.
        let (mut low, mut high) = (0, segments.len());
        while low < high {
            let middle = low.midpoint(high);
            let Some((number, path)) = segments.get(middle) else { break };
            let candidate = match Place::open(*number, path.clone()) {
                Ok(candidate) => candidate,
                Err(ReadError::Damaged { .. }) => {
                    place = last_before(&segments, seq)?;
                    break;
                }
                Err(error) => return Err(error),
            };
            if candidate.first_seq <= seq {
                place = Some(candidate);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Cursor { reader: self, place, next_seq: seq, ready: Vec::new(), only: None })
    }

    /// The last `count` records.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn last(&mut self, count: u64) -> Result<Cursor<'_>, ReadError> {
        let seq = self.count()?.saturating_sub(count);
        self.from_seq(seq)
    }

    /// The key of a month, if it is there. One that was destroyed since is not held on to: to remove a
    /// key's file changes its directory, which is asked each time.
    pub(crate) fn period(&mut self, period: u32) -> Result<Option<&PeriodKey>, ReadError> {
        let changed = self.store.changed();
        if changed.is_none() || changed != self.looked {
            let store = &self.store;
            self.periods.retain(|month, key| key.is_some() && store.has_period(*month));
            self.looked = changed;
        }
        let known = match self.periods.entry(period) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let has = self.store.has_period(period);
                vacant.insert(if has { Some(self.store.period(period)?) } else { None })
            }
        };
        Ok(known.as_ref())
    }
}

/// Where a header is damaged, each is looked at. What is passed over here is met again in reading on.
fn last_before(segments: &[(u32, PathBuf)], seq: u64) -> Result<Option<Place>, ReadError> {
    for (number, path) in segments.iter().rev() {
        match Place::open(*number, path.clone()) {
            Ok(place) if place.first_seq <= seq => return Ok(Some(place)),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Where reading stands.
struct Place {
    number: u32,
    path: PathBuf,
    reader: SegmentReader,
    first_seq: u64,
}

impl Place {
    fn open(number: u32, path: PathBuf) -> Result<Self, ReadError> {
        let opened = SegmentReader::open(&path);
        let (reader, header) =
            opened.map_err(|source| ReadError::Io { path: path.clone(), source })?;
        let Some(header) = header else { return Err(ReadError::Damaged { path, offset: 0 }) };
        Ok(Self { number, path, reader: reader.skim(), first_seq: header.seq })
    }

    fn step(&mut self) -> Result<Step<'_>, ReadError> {
        self.reader.step().map_err(|source| ReadError::Io { path: self.path.clone(), source })
    }

    /// Goes to an offset that somebody names; whether there can be one.
    fn seek(&mut self, offset: u64) -> Result<bool, ReadError> {
        let len = self.reader.len();
        let len = len.map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        self.reader.seek(offset);
        Ok(offset < len)
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), offset: self.reader.offset() }
    }

    /// Where no batch is: the writer goes on in the next segment, or is writing this one right now.
    /// Whether there may be a batch now.
    fn beyond(&mut self, dir: &Path, bad: bool) -> Result<bool, ReadError> {
        let offset = self.reader.offset();
        self.reader.refresh();
        let next = files::next_segment(dir, self.number.saturating_add(1))
            .map_err(|source| ReadError::Io { path: dir.to_owned(), source })?;
        let Some((number, next)) = next else { return Ok(false) };
        if matches!(self.step()?, Step::Batch(_)) {
            self.reader.seek(offset);
        } else if bad {
            return Err(self.damaged());
        } else {
            *self = Self::open(number, next)?;
        }
        Ok(true)
    }
}

/// Records in order.
pub struct Cursor<'a> {
    reader: &'a mut Reader,
    place: Option<Place>,
    next_seq: u64,
    /// Records of the batch at hand, last first.
    ready: Vec<Record>,
    only: Option<(Field, String)>,
}

impl Cursor<'_> {
    /// Only records that carry the blind token of this value; others are passed over unopened.
    #[must_use]
    pub fn only(mut self, field: Field, value: &str) -> Self {
        self.only = Some((field, value.to_owned()));
        self
    }

    /// The next record; `None` where the log ends for now.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.ready.pop() {
                return Ok(Some(record));
            }
            if !self.next_batch()? {
                return Ok(None);
            }
        }
    }

    /// Reads a batch; false at the end.
    fn next_batch(&mut self) -> Result<bool, ReadError> {
        let Some(place) = &mut self.place else {
            // Nothing was there when we began; look again.
            let Some((number, path)) = files::next_segment(&self.reader.dir, 1)
                .map_err(|source| ReadError::Io { path: self.reader.dir.clone(), source })?
            else {
                return Ok(false);
            };
            self.place = Some(Place::open(number, path)?);
            return Ok(true);
        };
        let offset = place.reader.offset();
        let damaged = ReadError::Damaged { path: place.path.clone(), offset };
        let step = place
            .reader
            .step()
            .map_err(|source| ReadError::Io { path: place.path.clone(), source })?;
        match step {
            Step::Batch(batch) => {
                let end = batch.header.first_seq + u64::from(batch.header.count);
                if end <= self.next_seq {
                    return Ok(true);
                }
                let from = self.next_seq;
                let opened =
                    open_batch(self.reader, &batch, &|seq| seq >= from, self.only.as_ref())?;
                self.ready = opened.ok_or(damaged)?;
                self.ready.reverse();
                self.next_seq = end;
                Ok(true)
            }
            step => {
                let bad = matches!(step, Step::Bad);
                place.beyond(&self.reader.dir, bad)
            }
        }
    }
}

/// The batch's records of these numbers; others stay unopened. `None` if one does not open.
fn open_batch(
    reader: &mut Reader,
    batch: &Batch<'_>,
    asked: &dyn Fn(u64) -> bool,
    only: Option<&(Field, String)>,
) -> Result<Option<Vec<Record>>, ReadError> {
    let period = reader.period(batch.header.period)?;
    let token = match (only, period) {
        (Some((field, value)), Some(key)) => Some(key.token(field.code(), value)),
        (Some(_), None) => return Ok(Some(Vec::new())),
        (None, _) => None,
    };
    // A sealed record without tokens may be one whose tokens stand in the index only.
    let untagged = |leaf: &Leaf<'_>| leaf.tokens.is_empty() && leaf.version == VERSION;
    let wanted = |leaf: &Leaf<'_>| {
        asked(leaf.seq)
            && token.is_none_or(|token| {
                untagged(leaf) || leaf.tokens.chunks(TOKEN_LEN).any(|own| own == token)
            })
    };
    let mut records = Vec::new();
    let mut batch_key = None;
    for (index, leaf) in (0_u32..).zip(batch.leaves()) {
        let Some(leaf) = leaf else { return Ok(None) };
        if !wanted(&leaf) {
            continue;
        }
        if batch_key.is_none()
            && let Some(period) = period
        {
            let made = period.batch_key(&batch.header).map_err(KeyStoreError::from)?;
            if !keys::constant_time_eq(&made.1, &batch.header.commitment) {
                return Ok(None);
            }
            batch_key = Some(made.0);
        }
        let body = match &batch_key {
            Some(key) => match open_leaf(key, index, &leaf) {
                Some(body) => Some(body),
                None => return Ok(None),
            },
            None if leaf.version == VERSION_OPEN => Body::decode(leaf.body).ok(),
            None => None,
        };
        if let Some((field, value)) = only
            && untagged(&leaf)
            && !body.as_ref().is_some_and(|body| carries(body, *field, value))
        {
            continue;
        }
        records.push(Record {
            seq: leaf.seq,
            leaf: batch.header.first_leaf + 1 + u64::from(index),
            time: time(&leaf),
            kind: Kind::from_code(leaf.kind),
            outcome: Outcome::from_code(leaf.outcome),
            body,
        });
    }
    Ok(Some(records))
}

fn time(leaf: &Leaf<'_>) -> Timestamp {
    Timestamp::from_millis(i64::try_from(leaf.time).unwrap_or(i64::MAX))
}

/// Whether a record of this body is found under this value.
fn carries(body: &Body, field: Field, value: &str) -> bool {
    tags(body).iter().any(|(code, own)| *code == field.code() && **own == *value)
}

pub(crate) fn open_leaf(key: &SealKey, index: u32, leaf: &Leaf<'_>) -> Option<Body> {
    let nonce = nonce(index);
    if leaf.version == VERSION_OPEN {
        let clear = [leaf.clear, leaf.body].concat();
        let mut tag = leaf.tag.to_vec();
        seal::open(key, nonce, &clear, &mut tag).ok()?;
        return Body::decode(leaf.body).ok();
    }
    let mut sealed = [leaf.body, leaf.tag].concat();
    seal::open(key, nonce, leaf.clear, &mut sealed).ok()?;
    Body::decode(&sealed).ok()
}

/// The nonce of a batch's record: its index. The batch's key is used for this batch only.
pub(crate) fn nonce(index: u32) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce.iter_mut().rev().zip(index.to_le_bytes()).for_each(|(to, from)| *to = from);
    nonce
}
