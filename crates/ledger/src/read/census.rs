//! Counts the records of a period straight from the sealed bytes, all of them under one signed
//! checkpoint: the leaves must give the root that was signed, and their numbers must have no hole. So
//! whoever reads records by an index, or with a filter, can show that they missed none.

use std::io;
use std::path::PathBuf;

use domain::Timestamp;

use crate::entry::Field;
use crate::files;
use crate::format::TOKEN_LEN;
use crate::key_store::KeyStoreError;
use crate::note::{Checkpoint, Note, NoteError, VerifierKey};
use crate::read::{ReadError, Reader};
use crate::tree::{Frontier, Hash, leaf_hash};
use crate::walk::{SegmentReader, Step};

/// A ledger whose records cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A checkpoint is none.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is not signed by the key that was given.
    #[error("the checkpoint is not signed by the ledger's key")]
    Unsigned,
    /// Leaves are missing, changed or out of order.
    #[error("the ledger is not what its checkpoint signs for; run verify")]
    Damaged,
    /// A key cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
}

impl From<ReadError> for CensusError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { path, source } => Self::Io { path, source },
            ReadError::Damaged { .. } => Self::Damaged,
            ReadError::Keys(error) => Self::Keys(error),
        }
    }
}

/// What was counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Census {
    /// How many leaves the checkpoint signs for: records and heads of batches.
    pub size: u64,
    /// The root that all of them give.
    pub root: Hash,
    /// How many of the period are records.
    pub records: u64,
    /// The first and the last record of the period.
    pub range: Option<(u64, u64)>,
    /// Those that carry the token asked for, by sequence number.
    pub tagged: Vec<u64>,
    /// How many could not be asked, because the key of their month was destroyed.
    pub unkeyed: u64,
}

/// Counts what a checkpoint, the signed note, signs for.
///
/// # Errors
/// [`CensusError`].
pub fn census(
    reader: &mut Reader,
    checkpoint: &str,
    key: &VerifierKey,
    wanted: Option<(Field, &str)>,
    within: &dyn Fn(Timestamp) -> bool,
) -> Result<Census, CensusError> {
    let dir = reader.dir().to_owned();
    let io = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| CensusError::Io { path, source }
    };
    let note = Note::parse(checkpoint)?;
    if !note.signed_by(key) {
        return Err(CensusError::Unsigned);
    }
    let signed = Checkpoint::parse(note.text())?;
    let mut tree = Frontier::new();
    let mut next_seq = 0;
    let mut census = Census {
        size: signed.size,
        root: signed.root,
        records: 0,
        range: None,
        tagged: Vec::new(),
        unkeyed: 0,
    };
    'all: for (_, path) in files::segments(&dir).map_err(io(&dir))? {
        let (mut segment, header) = SegmentReader::open(&path).map_err(io(&path))?;
        if header.is_none_or(|header| header.tree != tree) {
            return Err(CensusError::Damaged);
        }
        while let Step::Batch(batch) = segment.step().map_err(io(&path))? {
            if tree.size() >= signed.size {
                break 'all;
            }
            tree.push(leaf_hash(batch.header_bytes));
            let token = match wanted {
                Some((field, value)) => reader.token(field, value, batch.header.period)?,
                None => None,
            };
            for leaf in batch.leaves() {
                let Some(leaf) = leaf.filter(|leaf| leaf.seq == next_seq) else {
                    return Err(CensusError::Damaged);
                };
                next_seq = leaf.seq.saturating_add(1);
                tree.push(leaf_hash(leaf.bytes));
                let time = Timestamp::from_millis(i64::try_from(leaf.time).unwrap_or(i64::MAX));
                if !within(time) {
                    continue;
                }
                census.records = census.records.saturating_add(1);
                let first = census.range.map_or(leaf.seq, |(first, _)| first);
                census.range = Some((first, leaf.seq));
                match token {
                    Some(token) if leaf.tokens.chunks(TOKEN_LEN).any(|own| own == token.0) => {
                        census.tagged.push(leaf.seq);
                    }
                    None if wanted.is_some() => census.unkeyed = census.unkeyed.saturating_add(1),
                    _ => {}
                }
            }
        }
    }
    if tree.size() == signed.size && tree.root() == signed.root {
        Ok(census)
    } else {
        Err(CensusError::Damaged)
    }
}
