//! The segments as the source of leaves: found by halving, read batch by batch, never from before the
//! place that was asked for. What stands here is what the tiles are made from and mended from.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files;
use crate::format::{Batch, MAX_SEGMENT_HEADER, SegmentHeader};
use crate::proof::ProofError;
use crate::tree::{Hash, leaf_hash};
use crate::walk::{SegmentReader, Step};

/// A segment of ours holds far fewer; one made by somebody else must not fill the memory.
const MAX_BATCHES: usize = 1 << 21;

/// The segments of a directory, and what is known of them so far.
#[derive(Default)]
pub(crate) struct Segments {
    list: Vec<(u32, PathBuf)>,
    headers: HashMap<usize, Option<SegmentHeader>>,
    open: Option<Open>,
}

/// The segment last looked into.
struct Open {
    place: usize,
    reader: SegmentReader,
    batches: Vec<BatchPlace>,
}

#[derive(Clone, Copy)]
struct BatchPlace {
    offset: u64,
    first_leaf: u64,
    first_seq: u64,
    count: u32,
}

impl BatchPlace {
    /// The leaf after its last.
    fn end(&self) -> u64 {
        self.first_leaf.saturating_add(1).saturating_add(u64::from(self.count))
    }
}

impl Segments {
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        Ok(Self { list: files::segments(dir)?, ..Self::default() })
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// The header of a segment, by its place in the list; `None` if it is damaged.
    pub(crate) fn header(&mut self, place: usize) -> io::Result<Option<&SegmentHeader>> {
        if !self.headers.contains_key(&place) {
            let header = match self.list.get(place) {
                Some((_, path)) => read_header(path)?,
                None => None,
            };
            self.headers.insert(place, header);
        }
        Ok(self.headers.get(&place).and_then(Option::as_ref))
    }

    /// The last segment that begins at or before what is wanted.
    fn find(
        &mut self,
        begins: impl Fn(&SegmentHeader) -> u64,
        wanted: u64,
    ) -> Result<usize, ProofError> {
        let (mut low, mut high) = (0, self.list.len());
        while low < high {
            let middle = low.midpoint(high);
            let header = self.header(middle)?.ok_or(ProofError::Damaged)?;
            if begins(header) <= wanted { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).ok_or(if self.list.is_empty() {
            ProofError::Damaged
        } else {
            ProofError::Dropped
        })
    }

    fn open(&mut self, place: usize) -> Result<&mut Open, ProofError> {
        if self.open.as_ref().is_none_or(|open| open.place != place) {
            let (_, path) = self.list.get(place).ok_or(ProofError::Damaged)?;
            let (reader, header) = SegmentReader::open(path)?;
            if header.is_none() {
                return Err(ProofError::Damaged);
            }
            let mut reader = reader.skim();
            let mut batches = Vec::new();
            loop {
                let offset = reader.offset();
                let Some(header) = reader.skip()? else { break };
                if batches.len() >= MAX_BATCHES {
                    return Err(ProofError::Damaged);
                }
                let (first_leaf, first_seq) = (header.first_leaf, header.first_seq);
                batches.push(BatchPlace { offset, first_leaf, first_seq, count: header.count });
            }
            self.open = Some(Open { place, reader, batches });
        }
        self.open.as_mut().ok_or(ProofError::Damaged)
    }

    /// Hands out the hashes of the leaves from `from` up to, not including, `to`.
    pub(crate) fn leaves(
        &mut self,
        from: u64,
        to: u64,
        take: &mut dyn FnMut(Hash),
    ) -> Result<(), ProofError> {
        let mut next = from;
        if next >= to {
            return Ok(());
        }
        let first = self.find(|header| header.tree.size(), from)?;
        for place in first..self.list.len() {
            let header = self.header(place)?.ok_or(ProofError::Damaged)?;
            // A gap in the segments: what was shredded, or lost.
            if header.tree.size() > next {
                return Err(ProofError::Dropped);
            }
            let open = self.open(place)?;
            let begin = open.batches.partition_point(|batch| batch.end() <= next);
            for batch in open.batches.iter().skip(begin) {
                open.reader.seek(batch.offset);
                let Step::Batch(batch) = open.reader.step()? else {
                    return Err(ProofError::Damaged);
                };
                if batch.header.first_leaf > next {
                    return Err(ProofError::Damaged);
                }
                for (index, hash) in (batch.header.first_leaf..).zip(hashes(&batch)) {
                    let hash = hash.ok_or(ProofError::Damaged)?;
                    if index == next && next < to {
                        take(hash);
                        next += 1;
                    }
                }
                if next >= to {
                    return Ok(());
                }
            }
        }
        Err(ProofError::Damaged)
    }

    /// Where a record's leaf stands, and its hash.
    pub(crate) fn record(&mut self, seq: u64) -> Result<(u64, Hash), ProofError> {
        let place = self.find(|header| header.seq, seq)?;
        let open = self.open(place)?;
        let after = open.batches.partition_point(|batch| batch.first_seq <= seq);
        let found = after.checked_sub(1).and_then(|at| open.batches.get(at));
        let found = found.ok_or(ProofError::NoRecord)?;
        let offset = seq - found.first_seq;
        if offset >= u64::from(found.count) {
            // In a segment that is gone, or not written yet.
            let more = place + 1 < self.list.len();
            return Err(if more { ProofError::Dropped } else { ProofError::NoRecord });
        }
        open.reader.seek(found.offset);
        let Step::Batch(batch) = open.reader.step()? else { return Err(ProofError::Damaged) };
        let nth = usize::try_from(offset).map_err(|_| ProofError::Damaged)?;
        let leaf = batch.leaves().nth(nth).flatten().filter(|leaf| leaf.seq == seq);
        let leaf = leaf.ok_or(ProofError::Damaged)?;
        let index = batch.header.first_leaf.checked_add(1 + offset).ok_or(ProofError::Damaged)?;
        Ok((index, leaf_hash(leaf.bytes)))
    }

    /// Hands out the leaves themselves, as [`Segments::leaves`] does their hashes.
    pub(crate) fn entries(
        &mut self,
        to: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), ProofError>,
    ) -> Result<(), ProofError> {
        let mut next = 0;
        for place in 0..self.list.len() {
            let header = self.header(place)?.ok_or(ProofError::Damaged)?;
            if header.tree.size() != next && next < to {
                return Err(ProofError::Dropped);
            }
            let (_, path) = self.list.get(place).ok_or(ProofError::Damaged)?;
            let mut reader = SegmentReader::open(path)?.0.skim();
            while let Step::Batch(batch) = reader.step()? {
                if next >= to {
                    return Ok(());
                }
                let records = batch.leaves().map(|leaf| leaf.map(|leaf| leaf.bytes));
                for leaf in std::iter::once(Some(batch.header_bytes)).chain(records) {
                    let leaf = leaf.ok_or(ProofError::Damaged)?;
                    if next < to {
                        take(leaf)?;
                        next += 1;
                    }
                }
            }
        }
        if next >= to { Ok(()) } else { Err(ProofError::Damaged) }
    }
}

/// The hashes of a batch's leaves, its header's first; `None` where the bytes do not divide.
fn hashes<'a>(batch: &Batch<'a>) -> impl Iterator<Item = Option<Hash>> + use<'a> {
    let records = batch.leaves().map(|leaf| leaf.map(|leaf| leaf_hash(leaf.bytes)));
    std::iter::once(Some(leaf_hash(batch.header_bytes))).chain(records)
}

fn read_header(path: &Path) -> io::Result<Option<SegmentHeader>> {
    let file = File::open(path)?;
    let mut bytes = vec![0; MAX_SEGMENT_HEADER];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(SegmentHeader::decode(&bytes).map(|(header, _)| header))
}
