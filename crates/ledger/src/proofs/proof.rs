//! Proofs about a ledger's records. Each is made from tiles in a few small reads and checked against
//! the signed root before it is handed out; what the tiles get wrong comes from the segments instead.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::files;
use crate::note::{Checkpoint, Note, NoteError, VerifierKey};
use crate::tile::SignedTree;
use crate::tree::{self, Frontier, Hash, consistency_ranges, inclusion_ranges};

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
    /// The segments that this takes are no longer here.
    #[error("the segments that this takes are no longer here (shredded, or lost; run verify)")]
    Dropped,
    /// The old checkpoint is of another log.
    #[error("the old checkpoint is of another log: its first line is not this ledger's origin")]
    OtherLog,
    /// The old checkpoint signs for another root than this log had at that size.
    #[error(
        "the old checkpoint is of another history than this ledger; run verify --expect with it"
    )]
    OtherHistory,
}

/// That a record stands in the log that a checkpoint signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inclusion {
    /// The record's sequence number.
    pub seq: u64,
    /// Its leaf's index.
    pub index: u64,
    /// Its leaf's hash.
    #[serde(with = "base64_hash")]
    pub leaf: Hash,
    /// The audit path, from the leaf up.
    #[serde(with = "base64_hashes")]
    pub path: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

/// That an older log is the beginning of the one a checkpoint signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consistency {
    /// The size of the older log.
    pub old: u64,
    /// The proof.
    #[serde(with = "base64_hashes")]
    pub path: Vec<Hash>,
    /// The signed note of the newer log.
    pub checkpoint: String,
}

/// A record's place in a [`Receipt`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// The record's sequence number.
    pub seq: u64,
    /// Its leaf's index.
    pub index: u64,
    /// Its leaf's hash.
    #[serde(with = "base64_hash")]
    pub leaf: Hash,
    /// The audit path, from the leaf up.
    #[serde(with = "base64_hashes")]
    pub path: Vec<Hash>,
}

/// That the records of one answer stand in the log that one checkpoint signs for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The records.
    pub records: Vec<ReceiptRecord>,
    /// The signed note.
    pub checkpoint: String,
}

impl Receipt {
    /// Reads the JSON form; `None` if it is none. Says nothing yet about whether it proves anything.
    pub fn parse(json: &str) -> Option<Self> {
        (json.len() <= MAX_RECEIPT).then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Whether it proves, to somebody who trusts this key, that every record stands in the log.
    #[must_use]
    pub fn holds(&self, key: &VerifierKey) -> bool {
        let Some(head) = signed(&self.checkpoint, key) else { return false };
        !self.records.is_empty()
            && self.records.iter().all(|record| {
                let (leaf, path) = (&record.leaf, &record.path);
                tree::verify_inclusion(leaf, record.index, head.size, path, &head.root)
            })
    }
}

/// The longest text of a receipt that is read: 64 records of 64 hashes, and a note.
const MAX_RECEIPT: usize = 512 * 1024;
/// The longest text of a proof that is read: 64 hashes and a note.
const MAX_TEXT: usize = 128 * 1024;

impl Inclusion {
    /// Reads the JSON form; `None` if it is none. Says nothing yet about whether it proves anything.
    pub fn parse(json: &str) -> Option<Self> {
        parse(json)
    }

    /// Whether it proves, to somebody who trusts this key, that the leaf stands in the log.
    #[must_use]
    pub fn holds(&self, key: &VerifierKey) -> bool {
        signed(&self.checkpoint, key).is_some_and(|head| {
            tree::verify_inclusion(&self.leaf, self.index, head.size, &self.path, &head.root)
        })
    }
}

impl Consistency {
    /// Reads the JSON form; `None` if it is none. Says nothing yet about whether it proves anything.
    pub fn parse(json: &str) -> Option<Self> {
        parse(json)
    }

    /// Whether it proves, to somebody who trusts this key, that the old log begins the new one.
    #[must_use]
    pub fn holds(&self, old: &str, key: &VerifierKey) -> bool {
        let (Some(old), Some(new)) = (signed(old, key), signed(&self.checkpoint, key)) else {
            return false;
        };
        let (old, new) = ((old.size, &old.root), (new.size, &new.root));
        self.old == old.0 && tree::verify_consistency(old, new, &self.path)
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    (json.len() <= MAX_TEXT).then(|| serde_json::from_str(json).ok()).flatten()
}

/// What a note says, if this key signed it under its own name.
fn signed(text: &str, key: &VerifierKey) -> Option<Checkpoint> {
    let note = Note::parse(text).ok().filter(|note| note.signed_by(key))?;
    Checkpoint::parse(note.text()).ok().filter(|head| head.origin == key.name())
}

/// The latest signed note of a ledger's directory.
///
/// # Errors
/// [`ProofError::NoCheckpoint`], or what the system says.
pub fn checkpoint(dir: &Path) -> Result<String, ProofError> {
    files::read_text(&dir.join(files::CHECKPOINT))?.ok_or(ProofError::NoCheckpoint)
}

/// Proves any number of records against one checkpoint.
pub struct Prover {
    text: String,
    head: Checkpoint,
    tree: SignedTree,
}

impl Prover {
    /// Takes the ledger as its latest checkpoint signs for it.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn open(dir: &Path) -> Result<Self, ProofError> {
        let text = checkpoint(dir)?;
        let head = Checkpoint::parse(Note::parse(&text)?.text())?;
        let tree = SignedTree::open(dir, head.size, &head.root)?;
        Ok(Self { text, head, tree })
    }

    /// The signed note that every proof is of.
    pub fn checkpoint(&self) -> &str {
        &self.text
    }

    /// How many leaves it signs for.
    pub const fn size(&self) -> u64 {
        self.head.size
    }

    /// How many tiles were found damaged or missing so far, and made again from the segments.
    pub const fn mended(&self) -> u64 {
        self.tree.mended()
    }

    /// Proves that a record stands in the log. Cheapest in the order of sequence numbers.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn inclusion(&mut self, seq: u64) -> Result<Inclusion, ProofError> {
        let (index, leaf) = self.tree.segments.record(seq)?;
        let proof = self.inclusion_at(seq, index)?;
        if proof.leaf == leaf { Ok(proof) } else { Err(ProofError::Damaged) }
    }

    /// Proves the leaf of a record whose place is known: no segment is read.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn inclusion_at(&mut self, seq: u64, index: u64) -> Result<Inclusion, ProofError> {
        let ranges = inclusion_ranges(index, self.head.size).ok_or(ProofError::NoRecord)?;
        let leaf = self.tree.leaf(index)?;
        let path = self.ranges(&ranges)?;
        let checkpoint = self.text.clone();
        if tree::verify_inclusion(&leaf, index, self.head.size, &path, &self.head.root) {
            Ok(Inclusion { seq, index, leaf, path, checkpoint })
        } else {
            Err(ProofError::Damaged)
        }
    }

    /// Proves that the log of an older signed note begins this one.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn consistency(&mut self, old: &str) -> Result<Consistency, ProofError> {
        let old = Checkpoint::parse(Note::parse(old)?.text())?;
        if old.origin != self.head.origin {
            return Err(ProofError::OtherLog);
        }
        let size = self.head.size;
        let ranges = consistency_ranges(old.size, size).ok_or(ProofError::NotOlder)?;
        let path = self.ranges(&ranges)?;
        let new = (size, &self.head.root);
        if tree::verify_consistency((old.size, &old.root), new, &path) {
            return Ok(Consistency { old: old.size, path, checkpoint: self.text.clone() });
        }
        let root = self.tree.range(0, old.size)?;
        Err(if root == old.root { ProofError::Damaged } else { ProofError::OtherHistory })
    }

    fn ranges(&mut self, ranges: &[(u64, u64)]) -> Result<Vec<Hash>, ProofError> {
        ranges.iter().map(|(low, high)| self.tree.range(*low, *high)).collect()
    }
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prover").field("head", &self.head).finish_non_exhaustive()
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
    Prover::open(dir)?.consistency(old)
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
    let ranges = consistency_ranges(old, head.size).ok_or(ProofError::NotOlder)?;
    let mut tree = SignedTree::open(dir, head.size, &head.root)?;
    ranges.iter().map(|(low, high)| tree.range(*low, *high)).collect()
}

/// The root that the first `size` leaves of the log of `head` have.
///
/// # Errors
/// [`ProofError::NotOlder`] if `size` is larger; [`ProofError::Damaged`] if there are fewer leaves.
pub fn root(dir: &Path, size: u64, head: &Checkpoint) -> Result<Hash, ProofError> {
    match size {
        0 => Ok(Frontier::new().root()),
        size if size > head.size => Err(ProofError::NotOlder),
        size => SignedTree::open(dir, head.size, &head.root)?.range(0, size),
    }
}

/// Hashes in JSON are as in checkpoints: base64 with padding.
mod base64_hash {
    use super::*;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        decode(&String::deserialize(from)?)
    }

    pub(super) fn decode<E: serde::de::Error>(text: &str) -> Result<Hash, E> {
        let bytes = BASE64.decode(text).ok();
        let hash = bytes.and_then(|bytes| Hash::try_from(bytes).ok());
        hash.ok_or_else(|| E::custom("not a hash in base64"))
    }
}

mod base64_hashes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(hashes: &[Hash], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(hashes.iter().map(|hash| BASE64.encode(hash)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| base64_hash::decode(text)).collect()
    }
}
