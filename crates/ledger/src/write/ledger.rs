//! The handle: cheap to clone, asynchronous, and it answers only when the record is durable.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use domain::{Kind, Outcome, Reject, Timestamp};
use keys::key_file::{self, KeyFileError};
use tokio::sync::{Semaphore, oneshot};

use crate::body::Body;
use crate::entry::{Entry, Prepared, prepare, prepare_open};
use crate::files;
use crate::note::VerifierKey;
use crate::options::LedgerOptions;
use crate::queue::{self, Desk, Sender};
use crate::receipt::Receipts;
use crate::recover::{OpenError, SetAside, io_error};
use crate::start::start;
use crate::writer::{Append, Message, Shared};

/// The ledger cannot take a record. Says nothing about the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LedgerFault {
    /// It has stopped after a failure and stays stopped.
    #[error("the ledger has stopped")]
    Failed,
    /// It was closed.
    #[error("the ledger is closed")]
    Closed,
    /// It waits for its outside copies, as it was told to.
    #[error("the ledger waits for its witnesses or its locked copy")]
    Suspended,
    /// The record is larger than a record can be.
    #[error("the record is too large")]
    TooLarge,
}

/// Where a record stands, once it is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The record's sequence number, from 0.
    pub seq: u64,
    /// Its leaf's index in the tree.
    pub leaf: u64,
    /// Its time.
    pub time: Timestamp,
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Whether the log is new.
    pub created: bool,
    /// A torn tail that was cut off, kept aside and recorded.
    pub recovered: Option<SetAside>,
    /// How many records there are.
    pub records: u64,
}

/// A thing that stands in the ledger, or that the ledger was offered and could not take: only the
/// ledger makes one, so whoever holds it has recorded it.
#[derive(Debug)]
pub struct Recorded<T>(T, Option<Position>);

impl<T> Recorded<T> {
    /// The thing itself.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// Where it stands; `None` if the ledger could not take it.
    pub const fn position(&self) -> Option<Position> {
        self.1
    }

    /// The thing itself, by move.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A ledger open for writing.
#[derive(Clone)]
pub struct Ledger {
    requests: Sender<Message>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    key: VerifierKey,
    receipts: Arc<Receipts>,
}

/// Appends that may wait at a time.
const ROOM: usize = 16_384;
/// What one append may hold.
const APPEND_RECORDS: usize = 8192;
const APPEND_BYTES: usize = 8 << 20;

impl Ledger {
    /// Opens the ledger, making it if there is none, and starts its writer. Blocking: call it
    /// before serving.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed on disk when the log is corrupt, rolled back or in use.
    pub fn open(options: LedgerOptions) -> Result<(Self, Opened), OpenError> {
        for dir in [&options.dir, &options.keys_dir] {
            key_file::create_dir(dir).map_err(|error| match error {
                KeyFileError::Io { path, source } => OpenError::Io { path, source },
                other => OpenError::Keys(other.into()),
            })?;
        }
        // The keys, too: a copy of the log in another directory is another log.
        let lock = |dir: &Path| {
            let lock = files::lock(dir).map_err(io_error(dir))?;
            lock.ok_or_else(|| OpenError::InUse(dir.to_owned()))
        };
        let locks = [lock(&options.dir)?, lock(&options.keys_dir)?];
        for dir in [&options.dir, &options.keys_dir] {
            files::remove_temporaries(&*options.disk, dir).map_err(io_error(dir))?;
        }
        let (writer, opened) = start(options, locks)?;
        let (requests, desk): (_, Desk<Message>) = queue::queue();
        let ledger = Self {
            requests,
            room: Arc::new(Semaphore::new(ROOM)),
            shared: Arc::clone(&writer.shared),
            key: writer.stable.0.clone(),
            receipts: Arc::new(Receipts::new(writer.options.dir.clone(), writer.tiles.clone())),
        };
        let dir = writer.options.dir.clone();
        std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(desk))
            .map_err(io_error(&dir))?;
        Ok((ledger, opened))
    }

    /// Records these entries, all in one batch; resolves when they are durable. The positions are
    /// those of each entry's first record.
    ///
    /// # Errors
    /// [`LedgerFault`]; then the caller must not act as if they were recorded.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>, LedgerFault> {
        let mut records = Vec::with_capacity(entries.len());
        let mut firsts = Vec::with_capacity(entries.len());
        for entry in entries {
            firsts.push(u32::try_from(records.len()).map_err(|_| LedgerFault::TooLarge)?);
            prepare(entry, &mut records).map_err(|_| LedgerFault::TooLarge)?;
        }
        let bytes: usize = records.iter().map(|record| record.body.expose().len()).sum();
        if records.len() > APPEND_RECORDS || bytes > APPEND_BYTES {
            return Err(LedgerFault::TooLarge);
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        if self.suspended().is_some() {
            return Err(LedgerFault::Suspended);
        }
        self.offer(records, firsts).await
    }

    async fn offer(
        &self,
        records: Vec<Prepared>,
        firsts: Vec<u32>,
    ) -> Result<Vec<Position>, LedgerFault> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let permit = room.map_err(|_| LedgerFault::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.send(Message::Append(Append { records, firsts, reply, permit }))?;
        answer.await.map_err(|_| self.gone())
    }

    /// Records something of the log's own, readable without the key to the PHI: what an auditor must
    /// know to judge the log (copies, holds, shredding). The body names no person and no patient.
    ///
    /// # Errors
    /// [`LedgerFault`]; then it is not recorded.
    pub async fn append_open(&self, kind: Kind, body: &Body) -> Result<Position, LedgerFault> {
        let record = prepare_open(kind, body).map_err(|_| LedgerFault::TooLarge)?;
        let positions = self.offer(vec![record], vec![0]).await?;
        positions.first().copied().ok_or(LedgerFault::Failed)
    }

    /// Records, in one batch, things of the log's own in the open and the particulars of them sealed.
    ///
    /// # Errors
    /// [`LedgerFault`]; then none of it is recorded.
    pub async fn append_both(
        &self,
        open: &[(Kind, Body)],
        sealed: Vec<Entry>,
    ) -> Result<Vec<Position>, LedgerFault> {
        let mut records = Vec::new();
        let mut firsts = Vec::new();
        for (kind, body) in open {
            firsts.push(u32::try_from(records.len()).map_err(|_| LedgerFault::TooLarge)?);
            records.push(prepare_open(*kind, body).map_err(|_| LedgerFault::TooLarge)?);
        }
        for entry in sealed {
            firsts.push(u32::try_from(records.len()).map_err(|_| LedgerFault::TooLarge)?);
            prepare(entry, &mut records).map_err(|_| LedgerFault::TooLarge)?;
        }
        self.offer(records, firsts).await
    }

    /// Takes no record, because an outside copy lags too far behind, until everybody who said so has
    /// called [`Ledger::resume`].
    pub fn suspend(&self, who: &'static str, reason: &str) {
        let mut lag = self.shared.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        if lag.insert(who, reason.to_owned()).is_none() {
            tracing::error!(reason, "the ledger is suspended");
        }
    }

    /// Ends this one's suspension.
    pub fn resume(&self, who: &'static str) {
        let mut lag = self.shared.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        if lag.remove(who).is_some() && lag.is_empty() {
            tracing::info!("the ledger goes on");
        }
    }

    /// Why it is suspended, if it is.
    pub fn suspended(&self) -> Option<String> {
        let lag = self.shared.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        lag.values().next().cloned()
    }

    /// Stops it for good: nothing is recorded and nothing signed any more. For a log that turns out
    /// to be smaller or other than what was signed; the text is for the operator.
    pub fn halt(&self, reason: &str) {
        if self.shared.failure.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "the ledger has stopped");
        }
    }

    /// Records a refusal. If the ledger is down, the refusal is still given.
    pub async fn refused(&self, mut entry: Entry, reject: Reject) -> Recorded<Reject> {
        entry.outcome = Outcome::Refused(reject);
        let position = match self.append(vec![entry]).await {
            Ok(positions) => positions.first().copied(),
            Err(fault) => {
                tracing::error!(reject = reject.id(), %fault, "a refusal could not be recorded");
                None
            }
        };
        Recorded(reject, position)
    }

    /// Signs the tree as it stands, and returns the signed note.
    ///
    /// # Errors
    /// [`LedgerFault`] if the writer is gone.
    pub async fn checkpoint(&self) -> Result<String, LedgerFault> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Checkpoint(reply))?;
        answer.await.map_err(|_| self.gone())?
    }

    /// The latest signed note, as of the last signing.
    pub fn latest_checkpoint(&self) -> String {
        self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log's stable public key; its name is the origin.
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Why the ledger has stopped, if it has; for the operator.
    pub fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }

    /// Records the stop, signs the last checkpoint and lets the directory go. Other handles get
    /// [`LedgerFault::Closed`] from then on.
    ///
    /// # Errors
    /// [`LedgerFault`] if the stop could not be recorded.
    pub async fn close(&self) -> Result<(), LedgerFault> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Close(reply))?;
        answer.await.map_err(|_| self.gone())?
    }

    pub(crate) fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    fn send(&self, message: Message) -> Result<(), LedgerFault> {
        self.requests.send(message).map_err(|_| self.gone())
    }

    fn gone(&self) -> LedgerFault {
        if self.failure().is_some() { LedgerFault::Failed } else { LedgerFault::Closed }
    }
}
