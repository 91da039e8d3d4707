//! Proofs for those whose records they are, from a running ledger: at once, because a record that no
//! checkpoint covers yet is signed for first; and bounded, so that asking cannot slow the record down.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

use crate::ledger::{Ledger, LedgerFault};
use crate::note::{Checkpoint, Note};
use crate::proof::{ProofError, Prover, Receipt, ReceiptRecord};
use crate::tile::Feed;

/// Requests that may wait, and that may read, at a time.
const WAITING: usize = 64;
const READING: usize = 2;
/// Out of its turn the log is signed no more often than this.
const EARLY: Duration = Duration::from_millis(250);

/// No proof is given.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// Too many ask.
    #[error("too many proofs are being asked for")]
    Busy,
    /// The ledger cannot sign.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The ledger does not prove it.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

pub(crate) struct Receipts {
    dir: PathBuf,
    tiles: Feed,
    waiting: Semaphore,
    reading: Semaphore,
    /// When the log was last signed out of its turn.
    early: Mutex<Option<Instant>>,
}

impl Receipts {
    pub(crate) fn new(dir: PathBuf, tiles: Feed) -> Self {
        Self {
            dir,
            tiles,
            waiting: Semaphore::new(WAITING),
            reading: Semaphore::new(READING),
            early: Mutex::new(None),
        }
    }
}

impl Ledger {
    /// Proves that records of these sequence numbers and leaf indices stand in the log. At most 64 are
    /// proven at a time; the rest of a longer list is left out.
    ///
    /// # Errors
    /// [`ReceiptFault`].
    pub async fn prove(&self, mut places: Vec<(u64, u64)>) -> Result<Receipt, ReceiptFault> {
        let receipts = self.receipts();
        let _place = receipts.waiting.try_acquire().map_err(|_| ReceiptFault::Busy)?;
        places.truncate(WAITING);
        if let Some(last) = places.iter().map(|(_, leaf)| *leaf).max() {
            self.cover(last).await?;
        }
        let _turn = receipts.reading.acquire().await.map_err(|_| ReceiptFault::Busy)?;
        let dir = receipts.dir.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<Receipt, ProofError> {
            let mut prover = Prover::open(&dir)?;
            let mut records = Vec::with_capacity(places.len());
            for (seq, leaf) in places {
                let proof = prover.inclusion_at(seq, leaf)?;
                let (leaf, path) = (proof.leaf, proof.path);
                records.push(ReceiptRecord { seq, index: proof.index, leaf, path });
            }
            Ok(Receipt { records, checkpoint: prover.checkpoint().to_owned() })
        });
        Ok(read.await.map_err(|_| LedgerFault::Failed)??)
    }

    /// Sees to it that a leaf is signed for, and its tiles are on disk.
    async fn cover(&self, leaf: u64) -> Result<(), ReceiptFault> {
        let receipts = self.receipts();
        if !self.covers(leaf) {
            let mut early = receipts.early.lock().await;
            if let Some(last) = *early {
                tokio::time::sleep(EARLY.saturating_sub(last.elapsed())).await;
            }
            // Others may have had it signed meanwhile.
            if !self.covers(leaf) {
                self.checkpoint().await?;
                *early = Some(Instant::now());
            }
        }
        receipts.tiles.settled().await;
        Ok(())
    }

    fn covers(&self, leaf: u64) -> bool {
        let text = self.latest_checkpoint();
        let note = Note::parse(&text).ok();
        let head = note.and_then(|note| Checkpoint::parse(note.text()).ok());
        head.is_some_and(|head| leaf < head.size)
    }
}
