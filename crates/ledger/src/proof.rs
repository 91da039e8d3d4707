//! Proofs about a ledger's records, made in one pass over its segments with flat memory. A proof is
//! worth what [`crate::tree::verify_inclusion`] and [`crate::tree::verify_consistency`] say of it.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::files;
use crate::note::{Checkpoint, Note, NoteError};
use crate::tree::{Frontier, Hash, ProofBuilder, leaf_hash};
use crate::walk::{SegmentReader, Step};

/// A proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The system refuses a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A checkpoint is none.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// There is no checkpoint beside the ledger.
    #[error("there is no signed checkpoint beside the ledger")]
    NoCheckpoint,
    /// The record is not there, or not signed for yet.
    #[error("there is no such record in the signed ledger")]
    NoRecord,
    /// The old checkpoint is of a larger or empty log.
    #[error("the old checkpoint is not of a smaller log")]
    NotOlder,
    /// Batches are missing or damaged.
    #[error("the ledger is damaged; run verify")]
    Damaged,
}

/// That a record stands in the log that a checkpoint signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Inclusion {
    /// The record's sequence number.
    pub seq: u64,
    /// Its leaf's index.
    pub index: u64,
    /// Its leaf's hash.
    pub leaf: Hash,
    /// The audit path, from the leaf up.
    pub path: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

/// That an older log is the beginning of the one a checkpoint signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Consistency {
    /// The size of the older log.
    pub old: u64,
    /// The proof.
    pub path: Vec<Hash>,
    /// The signed note of the newer log.
    pub checkpoint: String,
}

/// The latest signed note of a ledger's directory.
///
/// # Errors
/// [`ProofError::NoCheckpoint`], or what the system says.
pub fn checkpoint(dir: &Path) -> Result<String, ProofError> {
    files::read_text(&dir.join(files::CHECKPOINT))?.ok_or(ProofError::NoCheckpoint)
}

/// Proves that a record stands in the log.
///
/// # Errors
/// [`ProofError`].
pub fn inclusion(dir: &Path, seq: u64) -> Result<Inclusion, ProofError> {
    let text = checkpoint(dir)?;
    let size = Checkpoint::parse(Note::parse(&text)?.text())?.size;
    let mut found = None;
    // Where the record stands is not known before it is met: one pass to find it, one to prove it.
    leaves(dir, size, &mut |index, own, hash| {
        if own == Some(seq) {
            found = Some((index, hash));
        }
        found.is_none()
    })?;
    let (index, leaf) = found.ok_or(ProofError::NoRecord)?;
    let mut proof = ProofBuilder::inclusion(index, size).ok_or(ProofError::NoRecord)?;
    leaves(dir, size, &mut |index, _, hash| {
        proof.leaf(index, hash);
        true
    })?;
    let path = proof.finish().ok_or(ProofError::Damaged)?;
    Ok(Inclusion { seq, index, leaf, path, checkpoint: text })
}

/// Proves that the log of an older signed note begins the present one.
///
/// # Errors
/// [`ProofError`].
pub fn consistency(dir: &Path, old: &str) -> Result<Consistency, ProofError> {
    let old = Checkpoint::parse(Note::parse(old)?.text())?.size;
    let text = checkpoint(dir)?;
    let size = Checkpoint::parse(Note::parse(&text)?.text())?.size;
    let mut proof = ProofBuilder::consistency(old, size).ok_or(ProofError::NotOlder)?;
    leaves(dir, size, &mut |index, _, hash| {
        proof.leaf(index, hash);
        true
    })?;
    let path = proof.finish().ok_or(ProofError::Damaged)?;
    Ok(Consistency { old, path, checkpoint: text })
}

/// The consistency proof from the tree of `old` leaves to the one that `head` names (RFC 6962 §2.1.2);
/// empty if they are the same or `old` is 0.
///
/// # Errors
/// [`ProofError::NotOlder`] if `old` is larger; [`ProofError::Damaged`] if there are fewer leaves.
pub fn path(dir: &Path, old: u64, head: &Checkpoint) -> Result<Vec<Hash>, ProofError> {
    if old == 0 || old == head.size {
        return Ok(Vec::new());
    }
    let mut proof = ProofBuilder::consistency(old, head.size).ok_or(ProofError::NotOlder)?;
    leaves(dir, head.size, &mut |index, _, hash| {
        proof.leaf(index, hash);
        true
    })?;
    proof.finish().ok_or(ProofError::Damaged)
}

/// The root that the first `size` leaves of the log of `head` have.
///
/// # Errors
/// [`ProofError::NotOlder`] if `size` is larger; [`ProofError::Damaged`] if there are fewer leaves.
pub fn root(dir: &Path, size: u64, head: &Checkpoint) -> Result<Hash, ProofError> {
    if size > head.size {
        return Err(ProofError::NotOlder);
    }
    let mut tree = Frontier::new();
    leaves(dir, size, &mut |_, _, hash| {
        tree.push(hash);
        true
    })?;
    Ok(tree.root())
}

/// Hands out the first `size` leaves: index, sequence number (none for a batch's header), hash;
/// until told to stop.
fn leaves(
    dir: &Path,
    size: u64,
    take: &mut dyn FnMut(u64, Option<u64>, Hash) -> bool,
) -> Result<(), ProofError> {
    let mut index = 0;
    for (_, path) in files::segments(dir)? {
        let (mut reader, header) = SegmentReader::open(&path)?;
        if header.is_none_or(|header| header.tree.size() != index) {
            return Err(ProofError::Damaged);
        }
        while let Step::Batch(batch) = reader.step()? {
            if index >= size {
                return Ok(());
            }
            let head = std::iter::once((None, batch.header_bytes));
            let records = batch.leaves().flatten().map(|leaf| (Some(leaf.seq), leaf.bytes));
            for (seq, bytes) in head.chain(records) {
                if index < size && !take(index, seq, leaf_hash(bytes)) {
                    return Ok(());
                }
                index += 1;
            }
        }
    }
    if index >= size { Ok(()) } else { Err(ProofError::Damaged) }
}
