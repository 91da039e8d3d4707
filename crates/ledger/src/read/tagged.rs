//! What can be told of records without opening them: number, time, kind and blind tokens, batch after
//! batch. Only records whose tokens stand in no leaf (`blind_tokens = "index"`) are opened for theirs;
//! what comes out is the same for both. It costs one pass over the bytes and holds one batch.

use std::ops::RangeInclusive;

use domain::{Kind, Outcome, Timestamp};

use super::{Place, ReadError, Reader, Record, open_batch, open_leaf, time};
use crate::entry::{Field, tags};
use crate::files;
use crate::format::{Batch, Leaf, TOKEN_LEN, VERSION};
use crate::headers::Token;
use crate::key_store::KeyStoreError;
use crate::tree::Hash;
use crate::walk::Step;

/// A batch, where it is and what it commits to: its hash covers the whole log before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// The segment's number.
    pub segment: u32,
    /// The byte offset in the segment.
    pub offset: u64,
    /// The number of its first record.
    pub first_seq: u64,
    /// The number of the record after its last.
    pub next_seq: u64,
    /// The month of its key, as `yyyymm`.
    pub period: u32,
    /// What the next batch names as the one before it.
    pub hash: Hash,
}

/// What is in the clear about a record, and its blind tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// Its time.
    pub time: Timestamp,
    /// The code of its kind.
    pub kind: u16,
    /// The code of its outcome.
    pub outcome: u8,
    /// The month of its key, as `yyyymm`.
    pub period: u32,
    /// Its blind tokens.
    pub tokens: &'a [[u8; TOKEN_LEN]],
}

impl Tag<'_> {
    /// What happened; `None` for a kind that this version does not know.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind)
    }

    /// How it ended; `None` for an outcome that this version does not know.
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::from_code(self.outcome)
    }
}

/// The tags of a log in order. At the end it can be asked again later.
pub struct Tags<'a> {
    reader: &'a mut Reader,
    place: Option<Place>,
    scratch: Vec<[u8; TOKEN_LEN]>,
}

/// Where records are, for reading several of them.
pub type Places<'a> = &'a [(u32, u64, u64)];

impl Reader {
    /// The number of the first record that is still here; `None` in an empty directory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn first_seq(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.first_place()?.map(|place| place.first_seq))
    }

    /// How many bytes there are to walk through.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn bytes(&self) -> Result<u64, ReadError> {
        let mut sum = 0_u64;
        for (_, path) in self.segments()? {
            let meta = std::fs::metadata(&path).map_err(|source| ReadError::Io { path, source })?;
            sum = sum.saturating_add(meta.len());
        }
        Ok(sum)
    }

    /// The tags from the beginning, or after a batch; `None` if that batch does not stand there: it is
    /// another log, or a changed one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tags(&mut self, after: Option<&Spot>) -> Result<Option<Tags<'_>>, ReadError> {
        let place = match after {
            None => self.first_place()?,
            Some(spot) => {
                let path = files::segment_path(&self.dir, spot.segment);
                if !path.exists() {
                    return Ok(None);
                }
                let mut place = Place::open(spot.segment, path)?;
                if !place.seek(spot.offset)? {
                    return Ok(None);
                }
                match place.step()? {
                    Step::Batch(batch)
                        if batch.hash == spot.hash && next_seq(&batch) == spot.next_seq =>
                    {
                        Some(place)
                    }
                    _ => return Ok(None),
                }
            }
        };
        Ok(Some(Tags { reader: self, place, scratch: Vec::new() }))
    }

    /// The blind token of a value in a month; `None` if the month's key is not here.
    ///
    /// # Errors
    /// [`ReadError`] if the key cannot be had.
    pub fn token(
        &mut self,
        field: Field,
        value: &str,
        period: u32,
    ) -> Result<Option<Token>, ReadError> {
        Ok(self.period(period)?.map(|key| Token(key.token(field.code(), value))))
    }

    /// The blind tokens of a value, one for each of these months whose key is there.
    ///
    /// # Errors
    /// [`ReadError`] if a key does not open.
    pub fn tokens(
        &mut self,
        field: Field,
        value: &str,
        months: &RangeInclusive<u32>,
    ) -> Result<Vec<(u32, Token)>, ReadError> {
        let periods = self.store.periods()?;
        let mut tokens = Vec::new();
        for period in periods.into_iter().filter(|period| months.contains(period)) {
            if let Some(token) = self.token(field, value, period)? {
                tokens.push((period, token));
            }
        }
        Ok(tokens)
    }

    /// Records by segment, offset of their batch and number. A place that holds none, because an index
    /// is wrong or the segment is gone, gives none.
    ///
    /// # Errors
    /// [`ReadError`] if a record that is there cannot be opened.
    pub fn at(&mut self, places: Places<'_>) -> Result<Vec<Record>, ReadError> {
        let mut records: Vec<Record> = Vec::with_capacity(places.len());
        let mut rest = places;
        let mut open: Option<Place> = None;
        while let Some((segment, offset, _)) = rest.first().copied() {
            let same = rest.iter().take_while(|(s, o, _)| (*s, *o) == (segment, offset)).count();
            let (batch, later) = rest.split_at(same);
            rest = later;
            if open.as_ref().is_none_or(|place| place.number != segment) {
                let path = files::segment_path(&self.dir, segment);
                open = if path.exists() { Some(Place::open(segment, path)?) } else { None };
            }
            let Some(place) = &mut open else { continue };
            if !place.seek(offset)? {
                continue;
            }
            let damaged = place.damaged();
            let Step::Batch(found) = place.step()? else { continue };
            // A batch may hold thousands: only what is asked for is opened.
            let asked = |seq: u64| batch.iter().any(|(_, _, asked)| *asked == seq);
            records.extend(open_batch(self, &found, &asked, None)?.ok_or(damaged)?);
        }
        Ok(records)
    }

    fn segments(&self) -> Result<Vec<(u32, std::path::PathBuf)>, ReadError> {
        files::segments(&self.dir)
            .map_err(|source| ReadError::Io { path: self.dir.clone(), source })
    }

    fn first_place(&self) -> Result<Option<Place>, ReadError> {
        let first = self.segments()?.into_iter().next();
        first.map(|(number, path)| Place::open(number, path)).transpose()
    }
}

impl Tags<'_> {
    /// Hands out each record of the next batch, and then where the batch is; `None` where the log ends
    /// for now.
    ///
    /// # Errors
    /// [`ReadError`]; what was handed out of that batch does not count.
    pub fn next_batch(
        &mut self,
        each: &mut dyn FnMut(&Tag<'_>),
    ) -> Result<Option<Spot>, ReadError> {
        loop {
            let Some(place) = &mut self.place else {
                self.place = self.reader.first_place()?;
                if self.place.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let (segment, offset) = (place.number, place.reader.offset());
            let damaged = place.damaged();
            match place.step()? {
                Step::Batch(batch) => {
                    let handed = hand_out(self.reader, &batch, &mut self.scratch, each)?;
                    handed.ok_or(damaged)?;
                    let header = &batch.header;
                    return Ok(Some(Spot {
                        segment,
                        offset,
                        first_seq: header.first_seq,
                        next_seq: next_seq(&batch),
                        period: header.period,
                        hash: batch.hash,
                    }));
                }
                step => {
                    let bad = matches!(step, Step::Bad);
                    if !place.beyond(&self.reader.dir, bad)? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

fn next_seq(batch: &Batch<'_>) -> u64 {
    batch.header.first_seq.saturating_add(u64::from(batch.header.count))
}

/// `None` if the bytes are no leaves, or a record that must be opened does not open.
fn hand_out(
    reader: &mut Reader,
    batch: &Batch<'_>,
    scratch: &mut Vec<[u8; TOKEN_LEN]>,
    each: &mut dyn FnMut(&Tag<'_>),
) -> Result<Option<()>, ReadError> {
    let period = batch.header.period;
    for (index, leaf) in (0_u32..).zip(batch.leaves()) {
        let Some(leaf) = leaf else { return Ok(None) };
        let (tokens, _) = leaf.tokens.as_chunks::<TOKEN_LEN>();
        let mut tag = Tag {
            seq: leaf.seq,
            time: time(&leaf),
            kind: leaf.kind,
            outcome: leaf.outcome,
            period,
            tokens,
        };
        if tokens.is_empty() && leaf.version == VERSION {
            if own_tokens(reader, batch, index, &leaf, scratch)?.is_none() {
                return Ok(None);
            }
            tag.tokens = scratch;
        }
        each(&tag);
    }
    Ok(Some(()))
}

/// The tokens that a sealed record without any would have; none if its month was shredded.
fn own_tokens(
    reader: &mut Reader,
    batch: &Batch<'_>,
    index: u32,
    leaf: &Leaf<'_>,
    tokens: &mut Vec<[u8; TOKEN_LEN]>,
) -> Result<Option<()>, ReadError> {
    tokens.clear();
    let Some(period) = reader.period(batch.header.period)? else { return Ok(Some(())) };
    let (key, commitment) = period.batch_key(&batch.header).map_err(KeyStoreError::from)?;
    if !keys::constant_time_eq(&commitment, &batch.header.commitment) {
        return Ok(None);
    }
    let Some(body) = open_leaf(&key, index, leaf) else { return Ok(None) };
    tokens.extend(tags(&body).iter().map(|(field, value)| period.token(*field, value)));
    Ok(Some(()))
}
