//! Proofs about a ledger's records, made in one pass over its segments with flat memory. A proof is
//! worth what [`crate::tree::verify_inclusion`] and [`crate::tree::verify_consistency`] say of it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::files;
use crate::note::{Checkpoint, Note, NoteError};
use crate::tree::{Hash, ProofBuilder, leaf_hash};
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

/// Proves many records against one checkpoint.
#[derive(Debug)]
pub struct Prover {
    dir: PathBuf,
    text: String,
    size: u64,
}

impl Prover {
    /// Takes the ledger as its latest checkpoint signs for it.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn open(dir: &Path) -> Result<Self, ProofError> {
        let text = checkpoint(dir)?;
        let size = Checkpoint::parse(Note::parse(&text)?.text())?.size;
        Ok(Self { dir: dir.to_owned(), text, size })
    }

    /// The signed note that every proof is of.
    pub fn checkpoint(&self) -> &str {
        &self.text
    }

    /// Proves that a record stands in the log. Cheapest in the order of sequence numbers.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn inclusion(&mut self, seq: u64) -> Result<Inclusion, ProofError> {
        let (dir, size) = (&self.dir, self.size);
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
        Ok(Inclusion { seq, index, leaf, path, checkpoint: self.text.clone() })
    }
}

/// Proves that a record stands in the log.
///
/// # Errors
/// [`ProofError`].
pub fn inclusion(dir: &Path, seq: u64) -> Result<Inclusion, ProofError> {
    Prover::open(dir)?.inclusion(seq)
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
