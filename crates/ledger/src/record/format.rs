//! Every byte of a segment, in one place. What is written here reads back the same; what does not
//! read back as exactly this is refused. All numbers are big-endian.
//!
//! ```text
//! segment = segment header | batch…            batch = header | record leaf… | footer
//! ```

use crate::tree::{Frontier, Hash};

/// The only version of these formats.
pub(crate) const VERSION: u8 = 1;
/// A leaf whose body is in the clear: authenticated, not sealed. For the stream's own records, which
/// an auditor without the PHI key must read (day key certificates above all).
pub(crate) const VERSION_OPEN: u8 = 2;

pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"PHWSEG1\n";
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"PHWB";
pub(crate) const FOOTER_MAGIC: [u8; 4] = *b"PHWF";

pub(crate) const BATCH_HEADER_LEN: usize = 113;
pub(crate) const FOOTER_LEN: usize = 80;
pub(crate) const TAG_LEN: usize = 16;
pub(crate) const TOKEN_LEN: usize = 16;
/// Bytes of a leaf before its tokens.
const LEAF_CLEAR_LEN: usize = 25;
/// The largest sealed body.
pub(crate) const MAX_BODY: usize = 48 * 1024;
/// The largest sum of leaves in one batch that a reader accepts.
pub(crate) const MAX_LEAVES: usize = 32 * 1024 * 1024;
/// No segment header is longer: 64 peaks.
pub(crate) const MAX_SEGMENT_HEADER: usize = SEGMENT_FIXED_LEN + 64 * 32 + 4;
const SEGMENT_FIXED_LEN: usize = 8 + 1 + 4 + 4 + 8 + 8 + 8 + 32 + 4 + 32 + 8 + 1;

/// Where a segment begins: enough to go on from here without reading what came before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub stream: u32,
    pub segment: u32,
    /// The next batch's number; also how many came before.
    pub batch: u64,
    /// The next record's number.
    pub seq: u64,
    /// The time of the last record before, in milliseconds.
    pub time: u64,
    /// The hash of the batch before.
    pub prev: Hash,
    /// The signing day in force, in days since the epoch.
    pub day: u32,
    /// The day's public key.
    pub day_key: [u8; 32],
    pub tree: Frontier,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_SEGMENT_HEADER);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.segment.to_be_bytes());
        out.extend_from_slice(&self.batch.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.prev);
        out.extend_from_slice(&self.day.to_be_bytes());
        out.extend_from_slice(&self.day_key);
        out.extend_from_slice(&self.tree.size().to_be_bytes());
        out.push(u8::try_from(self.tree.peaks().len()).unwrap_or(u8::MAX));
        for peak in self.tree.peaks() {
            out.extend_from_slice(peak);
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// The header and its length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut input = Input(bytes);
        if input.array::<8>()? != SEGMENT_MAGIC || input.u8()? != VERSION {
            return None;
        }
        let (stream, segment) = (input.u32()?, input.u32()?);
        let (batch, seq, time) = (input.u64()?, input.u64()?, input.u64()?);
        let (prev, day, day_key) = (input.array()?, input.u32()?, input.array()?);
        let (size, count) = (input.u64()?, input.u8()?);
        let peaks = (0..count).map(|_| input.array()).collect::<Option<Vec<Hash>>>()?;
        let tree = Frontier::from_parts(size, peaks)?;
        let used = bytes.len().checked_sub(input.0.len())?;
        if input.u32()? != crc32c::crc32c(bytes.get(..used)?) {
            return None;
        }
        let header = Self { stream, segment, batch, seq, time, prev, day, day_key, tree };
        Some((header, used + 4))
    }
}

/// A batch's beginning, and the batch's first leaf: salt and key commitment stand under the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    pub stream: u32,
    pub segment: u32,
    pub batch: u64,
    pub first_seq: u64,
    /// The tree's size before this batch: this header's own leaf index.
    pub first_leaf: u64,
    /// How many records follow.
    pub count: u32,
    /// How many bytes their leaves take.
    pub leaves_len: u32,
    /// The calendar month of the period key, as `yyyymm`.
    pub period: u32,
    pub salt: [u8; 32],
    pub commitment: [u8; 32],
}

impl BatchHeader {
    pub(crate) fn encode(&self) -> [u8; BATCH_HEADER_LEN] {
        let mut out = [0; BATCH_HEADER_LEN];
        let parts: [&[u8]; 12] = [
            &BATCH_MAGIC,
            &[VERSION],
            &self.stream.to_be_bytes(),
            &self.segment.to_be_bytes(),
            &self.batch.to_be_bytes(),
            &self.first_seq.to_be_bytes(),
            &self.first_leaf.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.leaves_len.to_be_bytes(),
            &self.period.to_be_bytes(),
            &self.salt,
            &self.commitment,
        ];
        for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        if input.array::<4>()? != BATCH_MAGIC || input.u8()? != VERSION {
            return None;
        }
        Some(Self {
            stream: input.u32()?,
            segment: input.u32()?,
            batch: input.u64()?,
            first_seq: input.u64()?,
            first_leaf: input.u64()?,
            count: input.u32()?,
            leaves_len: input.u32()?,
            period: input.u32()?,
            salt: input.array()?,
            commitment: input.array()?,
        })
    }

    /// The bytes of the whole batch.
    pub(crate) fn batch_len(&self) -> Option<usize> {
        let leaves = usize::try_from(self.leaves_len).ok().filter(|len| *len <= MAX_LEAVES)?;
        Some(BATCH_HEADER_LEN + leaves + FOOTER_LEN)
    }
}

/// A batch's end: the tree with this batch in it, the link to the batch before, a checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    pub size: u64,
    pub root: Hash,
    pub prev: Hash,
}

impl Footer {
    /// Appends the footer to a batch that begins at `batch_start` of `out`.
    pub(crate) fn append(&self, out: &mut Vec<u8>, batch_start: usize) {
        out.extend_from_slice(&FOOTER_MAGIC);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.root);
        out.extend_from_slice(&self.prev);
        let crc = crc32c::crc32c(out.get(batch_start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_be_bytes());
    }
}

/// A whole batch in memory whose lengths and checksum are right.
#[derive(Clone, Debug)]
pub(crate) struct Batch<'a> {
    pub header: BatchHeader,
    pub header_bytes: &'a [u8],
    pub leaves: &'a [u8],
    pub footer: Footer,
    /// What the next batch names as the one before it.
    pub hash: Hash,
}

impl<'a> Batch<'a> {
    /// Reads one whole batch; `None` if anything about its frame is wrong.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        Self::read(bytes, Self::check(bytes)?)
    }

    /// That the checksum of the batch at the front is right; gives the batch's hash.
    pub(crate) fn check(bytes: &[u8]) -> Option<Hash> {
        let len = BatchHeader::decode(bytes)?.batch_len()?;
        let (batch, checksum) = bytes.get(..len)?.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*checksum) != crc32c::crc32c(batch) {
            return None;
        }
        Some(keys::sha256(bytes.get(len.checked_sub(FOOTER_LEN)?..len)?))
    }

    /// Reads a batch that was checked, and whose hash is known.
    pub(crate) fn read(bytes: &'a [u8], hash: Hash) -> Option<Self> {
        let header = BatchHeader::decode(bytes)?;
        let bytes = bytes.get(..header.batch_len()?)?;
        let (header_bytes, rest) = bytes.split_at_checked(BATCH_HEADER_LEN)?;
        let (leaves, footer) = rest.split_at_checked(rest.len().checked_sub(FOOTER_LEN)?)?;
        let mut input = Input(footer);
        if input.array::<4>()? != FOOTER_MAGIC {
            return None;
        }
        let footer = Footer { size: input.u64()?, root: input.array()?, prev: input.array()? };
        Some(Self { header, header_bytes, leaves, footer, hash })
    }

    /// The records' leaves; the last item is `None` if the bytes do not divide into leaves.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Option<Leaf<'a>>> + use<'a> {
        let mut rest = self.leaves;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let leaf = Leaf::decode(rest);
            rest = leaf.as_ref().and_then(|leaf| rest.get(leaf.bytes.len()..)).unwrap_or_default();
            Some(leaf)
        })
    }
}

/// A record as it stands in the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf<'a> {
    /// All of it; what is hashed.
    pub bytes: &'a [u8],
    /// All before the body: the associated data.
    pub clear: &'a [u8],
    pub version: u8,
    pub stream: u32,
    pub seq: u64,
    pub time: u64,
    pub kind: u16,
    pub outcome: u8,
    /// Blind tokens, 16 bytes each.
    pub tokens: &'a [u8],
    /// Sealed, or in the clear for an open record.
    pub body: &'a [u8],
    pub tag: &'a [u8],
}

/// The clear header of a record to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafHeader {
    pub version: u8,
    pub stream: u32,
    pub seq: u64,
    pub time: u64,
    pub kind: u16,
    pub outcome: u8,
}

impl LeafHeader {
    /// Appends the clear part: header, tokens, body length.
    pub(crate) fn append(&self, out: &mut Vec<u8>, tokens: &[[u8; TOKEN_LEN]], body_len: u16) {
        out.push(self.version);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.push(self.outcome);
        out.push(u8::try_from(tokens.len()).unwrap_or(u8::MAX));
        for token in tokens.iter().take(usize::from(u8::MAX)) {
            out.extend_from_slice(token);
        }
        out.extend_from_slice(&body_len.to_be_bytes());
    }
}

impl<'a> Leaf<'a> {
    /// Reads the leaf that these bytes begin with.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let version = input.u8().filter(|v| [VERSION, VERSION_OPEN].contains(v))?;
        let (stream, seq, time) = (input.u32()?, input.u64()?, input.u64()?);
        let (kind, outcome, count) = (input.u16()?, input.u8()?, input.u8()?);
        let tokens = input.take(usize::from(count) * TOKEN_LEN)?;
        let body_len = usize::from(input.u16()?);
        let clear = bytes.get(..LEAF_CLEAR_LEN + tokens.len() + 2)?;
        let (body, tag) = (input.take(body_len)?, input.take(TAG_LEN)?);
        let bytes = bytes.get(..clear.len() + body.len() + tag.len())?;
        Some(Self { bytes, clear, version, stream, seq, time, kind, outcome, tokens, body, tag })
    }
}

/// Bytes being read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            stream: 1,
            segment: 2,
            batch: 3,
            first_seq: 4,
            first_leaf: 5,
            count: 1,
            leaves_len: 0,
            period: 202_611,
            salt: [6; 32],
            commitment: [7; 32],
        }
    }

    fn batch() -> Vec<u8> {
        let mut leaf = Vec::new();
        let head = LeafHeader { version: 1, stream: 1, seq: 4, time: 9, kind: 32, outcome: 0 };
        head.append(&mut leaf, &[[1; 16], [2; 16]], 3);
        leaf.extend_from_slice(b"abc");
        leaf.extend_from_slice(&[8; TAG_LEN]);
        let mut header = header();
        header.leaves_len = u32::try_from(leaf.len()).unwrap();
        let mut out = header.encode().to_vec();
        out.extend_from_slice(&leaf);
        Footer { size: 7, root: [1; 32], prev: [2; 32] }.append(&mut out, 0);
        out
    }

    #[test]
    fn a_batch_reads_back() {
        let bytes = batch();
        let batch = Batch::decode(&bytes).unwrap();
        assert_eq!(batch.header.encode(), bytes[..BATCH_HEADER_LEN]);
        assert_eq!(
            (batch.footer.size, batch.footer.root, batch.footer.prev),
            (7, [1; 32], [2; 32])
        );
        let leaves: Vec<_> = batch.leaves().map(Option::unwrap).collect();
        assert_eq!(leaves.len(), 1);
        assert_eq!((leaves[0].seq, leaves[0].kind, leaves[0].body), (4, 32, &b"abc"[..]));
        assert_eq!(leaves[0].tokens.len(), 32);
        assert_eq!([leaves[0].clear, leaves[0].body, leaves[0].tag].concat(), leaves[0].bytes);
    }

    #[test]
    fn a_batch_with_any_changed_bit_or_missing_byte_is_refused() {
        let bytes = batch();
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Batch::decode(&bent).is_none(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..len]).is_none(), "length {len}");
        }
    }

    #[test]
    fn a_segment_header_reads_back_and_no_bent_one_does() {
        let mut tree = Frontier::new();
        (0..7).for_each(|n| tree.push([n; 32]));
        let header = SegmentHeader {
            stream: 1,
            segment: 2,
            batch: 3,
            seq: 4,
            time: 5,
            prev: [6; 32],
            day: 20_000,
            day_key: [7; 32],
            tree,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Some((header, bytes.len())));
        for bit in 0..bytes.len() * 8 {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bent), None, "bit {bit}");
        }
    }
}
