//! Reading segments batch by batch with flat memory. A batch that is handed out has a whole frame;
//! where one has not, the reader says so and can look for the next whole one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::format::{
    BATCH_HEADER_LEN, BATCH_MAGIC, Batch, BatchHeader, MAX_SEGMENT_HEADER, SEGMENT_MAGIC,
    SegmentHeader, VERSION,
};

const WINDOW: usize = 1 << 20;

/// An open segment and where reading stands.
pub(crate) struct SegmentReader {
    file: File,
    offset: u64,
    /// Read ahead; the first `filled` bytes are the file's, from `window_at` on.
    window: Vec<u8>,
    filled: usize,
    window_at: u64,
    /// Whether zeros where a batch would begin are the end without a look at what follows.
    skims: bool,
}

/// What stands at the reader's place.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(crate) enum Step<'a> {
    /// A whole batch; the reader has moved past it.
    Batch(Batch<'a>),
    /// Nothing more: the end of the file, or only zeros to the end.
    End,
    /// Bytes that are no whole batch; the reader stays.
    Bad,
}

impl SegmentReader {
    /// Opens a segment; the header is `None` if it is not whole.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<SegmentHeader>)> {
        let file = File::open(path)?;
        let mut reader =
            Self { file, offset: 0, window: Vec::new(), filled: 0, window_at: 0, skims: false };
        let found = SegmentHeader::decode(reader.bytes(0, MAX_SEGMENT_HEADER)?);
        let header = found.map(|(header, len)| {
            reader.offset = len as u64;
            header
        });
        Ok((reader, header))
    }

    /// Where the next batch is looked for.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The file's length.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The open file, for those who read past this reader.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// Goes on elsewhere.
    pub(crate) const fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// For readers that come back often: the preallocated room is not searched for stray bytes.
    pub(crate) const fn skim(mut self) -> Self {
        self.skims = true;
        self
    }

    /// Forgets what was read ahead, for a file that grows.
    pub(crate) fn refresh(&mut self) {
        self.filled = 0;
    }

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let skip = offset.checked_sub(self.window_at).and_then(|skip| usize::try_from(skip).ok());
        let held = skip.filter(|skip| skip.checked_add(len).is_some_and(|end| end <= self.filled));
        let skip = match held {
            Some(skip) => skip,
            None => {
                self.fill(offset, len.max(WINDOW))?;
                0
            }
        };
        Ok(self.window.get(skip..self.filled.min(skip + len)).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        if self.window.len() < len {
            self.window = vec![0; len];
        }
        (self.window_at, self.filled) = (offset, 0);
        while let Some(rest) = self.window.get_mut(self.filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + self.filled as u64) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether a segment or batch of a newer format begins here.
    pub(crate) fn is_newer(&mut self, offset: u64) -> io::Result<bool> {
        let bytes = self.bytes(offset, SEGMENT_MAGIC.len() + 1)?;
        let version = |magic: &[u8]| bytes.strip_prefix(magic).and_then(<[u8]>::first);
        let found = version(&SEGMENT_MAGIC).or_else(|| version(&BATCH_MAGIC));
        Ok(found.is_some_and(|version| *version > VERSION))
    }

    /// Reads the next batch.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        let offset = self.offset;
        let head = self.bytes(offset, BATCH_HEADER_LEN)?;
        if head.is_empty() {
            return Ok(Step::End);
        }
        let len = BatchHeader::decode(head).and_then(|header| header.batch_len());
        let Some(len) = len else {
            let zeros = head.iter().all(|byte| *byte == 0);
            let end = zeros && (self.skims || self.end_of_data(offset)? == offset);
            return Ok(if end { Step::End } else { Step::Bad });
        };
        // Two steps, because the borrow of a batch that is not whole would last.
        let Some(hash) = Batch::check(self.bytes(offset, len)?) else { return Ok(Step::Bad) };
        let bytes = self.bytes(offset, len)?;
        if Batch::read(bytes, hash).is_none() {
            return Ok(Step::Bad);
        }
        self.offset = offset + len as u64;
        Ok(Batch::read(self.bytes(offset, len)?, hash).map_or(Step::Bad, Step::Batch))
    }

    /// Moves past the next batch without looking into it; `None` where none begins.
    pub(crate) fn skip(&mut self) -> io::Result<Option<BatchHeader>> {
        let offset = self.offset;
        let Some(header) = BatchHeader::decode(self.bytes(offset, BATCH_HEADER_LEN)?) else {
            return Ok(None);
        };
        let next = header.batch_len().and_then(|len| offset.checked_add(len as u64));
        let Some(next) = next else { return Ok(None) };
        self.offset = next;
        Ok(Some(header))
    }

    /// Where the data ends at or after `from`: past it there are only zeros.
    pub(crate) fn end_of_data(&mut self, from: u64) -> io::Result<u64> {
        let (mut end, mut at) = (from, from);
        loop {
            let bytes = self.bytes(at, WINDOW)?;
            if bytes.is_empty() {
                return Ok(end);
            }
            let read = bytes.len() as u64;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += read;
        }
    }

    /// The offset of the first whole batch after `from`, if there is one.
    pub(crate) fn next_whole(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from + 1;
        loop {
            let bytes = self.bytes(at, WINDOW)?;
            let read = bytes.len();
            if read < BATCH_MAGIC.len() {
                return Ok(None);
            }
            let found = bytes.windows(BATCH_MAGIC.len()).position(|four| four == BATCH_MAGIC);
            let Some(skip) = found else {
                at += (read - BATCH_MAGIC.len() + 1) as u64;
                continue;
            };
            at += skip as u64;
            let head = self.bytes(at, BATCH_HEADER_LEN)?;
            if let Some(len) = BatchHeader::decode(head).and_then(|header| header.batch_len())
                && Batch::decode(self.bytes(at, len)?).is_some()
            {
                return Ok(Some(at));
            }
            at += 1;
        }
    }
}
