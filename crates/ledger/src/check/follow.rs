//! Follows a log from its first segment to its last for [`verify`](crate::verify): every stretch that
//! cannot be read is named and passed over, and the log is judged again from the next whole batch.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::chain::Chain;
use crate::files;
use crate::gap::{GapKind, Place};
use crate::pipeline::Pool;
use crate::retention::{self, Stub};
use crate::tile;
use crate::verify::Progress;
use crate::walk::{SegmentReader, Step};

pub(crate) struct Follow<'a> {
    pub chain: Chain,
    pub pool: Pool,
    /// The size signed for, and the time of the last record within it.
    pub signed_at: Option<u64>,
    pub signed_time: Option<u64>,
    pub patience: Duration,
    /// A segment that a newer program wrote.
    pub newer: Option<u32>,
    /// Stubs of segments that are not here, by number.
    pub stubs: BTreeMap<u32, Vec<u8>>,
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Follow<'_> {
    pub(crate) fn segments(&mut self, dir: &Path, numbers: &[u32]) -> io::Result<()> {
        let mut total = 0;
        for number in numbers {
            total += std::fs::metadata(files::segment_path(dir, *number))?.len();
        }
        let mut done = 0;
        let mut next = 1;
        let last = numbers.last().copied();
        for number in numbers {
            let place = Place { segment: Some(*number), ..Place::default() };
            if *number != next {
                self.missing(dir, next, *number, place)?;
            }
            next = number.saturating_add(1);
            let path = files::segment_path(dir, *number);
            if !path.is_file() {
                // To open a pipe would wait for ever.
                self.chain.gap(GapKind::SegmentHeader, place, "not a file");
                self.chain.lose_tree();
                continue;
            }
            done += self.segment(&path, place, Some(*number) == last, done, total)?;
            (self.progress)(Progress { done, total });
        }
        Ok(())
    }

    /// Segments from `first` up to `next` are not here. Whatever accounts for them (a month that was
    /// shredded, say) is asked here, before the log is taken up again at `next`.
    fn missing(&mut self, dir: &Path, first: u32, next: u32, place: Place) -> io::Result<()> {
        // Stubs first: a range as wide as numbers go must cost nothing.
        let mut from = first;
        for (number, _) in retention::stubs(dir)? {
            if !(first..next).contains(&number) {
                continue;
            }
            let Some((stub, bytes)) = Stub::read(dir, number)? else { continue };
            if number > from {
                self.lost(from, number, place);
            }
            let sizes = stub.before.tree.size()..stub.after.tree.size();
            let leaves = tile::leaf_hashes(dir, sizes);
            let own = Place { segment: Some(number), ..Place::default() };
            self.chain.step_over(&stub, leaves.as_deref(), own);
            self.stubs.insert(number, bytes);
            from = number.saturating_add(1);
        }
        if from < next {
            self.lost(from, next, place);
        }
        Ok(())
    }

    fn lost(&mut self, first: u32, next: u32, place: Place) {
        let detail = format!("{first} to {}", next.saturating_sub(1));
        self.chain.gap(GapKind::SegmentMissing, place, detail);
        self.chain.lose_tree();
    }

    /// When all is read: what is not here must be what the log says was shredded.
    pub(crate) fn judge_missing(&mut self) {
        for segment in retention::uncovered(&self.chain.shreds, &self.stubs) {
            self.stubs.remove(&segment);
            let place = Place { segment: Some(segment), ..Place::default() };
            self.chain.gap(
                GapKind::SegmentMissing,
                place,
                "no record says that it was shredded after its six years",
            );
        }
        let ends = self.stubs.keys().next().zip(self.stubs.keys().next_back());
        if let Some((first, last)) = ends {
            let count = self.stubs.len();
            let place = Place { segment: Some(*first), ..Place::default() };
            let detail = format!("{count} segments, the last is {last}");
            self.chain.gap(GapKind::Shredded, place, detail);
        }
    }

    /// One segment; gives its length.
    fn segment(
        &mut self,
        path: &Path,
        place: Place,
        last: bool,
        done: u64,
        total: u64,
    ) -> io::Result<u64> {
        let (mut reader, header) = SegmentReader::open(path)?;
        let len = reader.len()?;
        match header.filter(|header| Some(header.segment) == place.segment) {
            Some(header) => self.chain.segment(header, place),
            None => {
                let next = reader.next_whole(0)?;
                if next.is_none() && reader.is_newer(0)? {
                    self.newer = self.newer.or(place.segment);
                }
                self.chain.gap(GapKind::SegmentHeader, place, "");
                self.chain.lose_tree();
                self.chain.state.segment = place.segment.unwrap_or(0);
                match next {
                    Some(offset) => reader.seek(offset),
                    None => return Ok(len),
                }
            }
        }
        let first = reader.offset();
        let mut patience = if last { self.patience } else { Duration::ZERO };
        loop {
            self.whole(&mut reader, place, done, total)?;
            let offset = reader.offset();
            let place = Place { offset: Some(offset), ..place };
            match reader.step()? {
                // Larger than what is hashed ahead, or it became whole just now.
                Step::Batch(batch) => {
                    self.chain.batch(&batch, place);
                    if self.signed_at.is_some_and(|size| batch.footer.size <= size) {
                        self.signed_time = Some(self.chain.state.time);
                    }
                    continue;
                }
                Step::End => {
                    if !last && reader.len()? != offset {
                        // Zeros after the last batch; the writer cuts what it closes.
                        self.chain.gap(GapKind::TrailingData, place, "zeros");
                    }
                    return Ok(len);
                }
                Step::Bad => {}
            }
            if !patience.is_zero() {
                // A batch that is being written right now becomes whole in a moment.
                let pause = patience.min(Duration::from_millis(20));
                patience -= pause;
                std::thread::sleep(pause);
                reader.refresh();
                continue;
            }
            let end = reader.end_of_data(offset)?;
            let Some(next) = reader.next_whole(offset)? else {
                if offset == first && reader.is_newer(offset)? {
                    self.newer = self.newer.or(place.segment);
                }
                let kind = if last { GapKind::TornTail } else { GapKind::TrailingData };
                self.chain.gap(kind, place, format!("{} bytes", end - offset));
                self.chain.lose_tree();
                return Ok(len);
            };
            self.chain.gap(GapKind::Damaged, place, format!("{} bytes", next - offset));
            self.chain.lose_tree();
            reader.seek(next);
        }
    }

    /// Takes all whole batches from where the reader stands.
    fn whole(
        &mut self,
        reader: &mut SegmentReader,
        place: Place,
        done: u64,
        total: u64,
    ) -> io::Result<()> {
        let Self { chain, pool, signed_at, signed_time, progress, .. } = self;
        let end = pool.batches(reader.file(), reader.offset(), &mut |batch, hashes, offset| {
            chain.hashed_batch(batch, hashes, Place { offset: Some(offset), ..place });
            if signed_at.is_some_and(|size| batch.footer.size <= size) {
                *signed_time = Some(chain.state.time);
            }
            if chain.batches.is_multiple_of(64) {
                progress(Progress { done: done + offset, total });
            }
        })?;
        reader.seek(end);
        Ok(())
    }
}
