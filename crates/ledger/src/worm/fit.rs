//! Whether a closed segment fits: its batches follow one another, give the trees that they name, and
//! end exactly where the next segment says that the log stood. Damage and tampering do not.

use std::io;
use std::path::Path;

use crate::chain::{Chain, State};
use crate::gap::{Place, Weight};
use crate::note::VerifierKey;
use crate::walk::{SegmentReader, Step};

/// Whether the segment of this number is whole and ends where `next` begins.
pub(super) fn fits(
    path: &Path,
    next: &Path,
    number: u32,
    stream: u32,
    stable: &VerifierKey,
) -> io::Result<bool> {
    let (_, next) = SegmentReader::open(next)?;
    let end = end_of(path, number, Some(stream), stable)?;
    // A next segment whose header is gone says nothing against this one.
    Ok(end.is_some_and(|end| next.is_none_or(|next| next == end)))
}

/// Where the log stands after this segment, as the next one must say it; `None` if it is not whole.
pub(super) fn end_of(
    path: &Path,
    number: u32,
    stream: Option<u32>,
    stable: &VerifierKey,
) -> io::Result<Option<State>> {
    let (mut reader, header) = SegmentReader::open(path)?;
    let Some(header) =
        header.filter(|h| h.segment == number && stream.is_none_or(|own| h.stream == own))
    else {
        return Ok(None);
    };
    let mut chain = Chain::new(header, stable.clone(), &[]);
    loop {
        match reader.step()? {
            Step::Batch(batch) => chain.batch(&batch, Place::default()),
            Step::End => break,
            Step::Bad => return Ok(None),
        }
    }
    // The writer cuts what it closes where its data ends.
    let trails = reader.len()? != reader.offset();
    let broken = chain.gaps.iter().any(|gap| gap.kind.weight() == Weight::Broken);
    let mut end = chain.state;
    end.segment = number.saturating_add(1);
    Ok((!broken && !trails).then_some(end))
}
