//! The handle: cheap to clone, asynchronous, and it answers only when the record is durable.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::{Clock, Kind, Outcome, Reject, Timestamp};
use keys::Random;
use keys::custody::Custody;
use keys::key_file::{self, KeyFileError};
use tokio::sync::{Semaphore, oneshot};

use crate::body::Body;
use crate::calendar::{day_of, period_of};
use crate::chain::{STARTED, day_key, genesis};
use crate::disk::{Disk, SystemDisk};
use crate::entry::{Entry, Prepared, prepare, prepare_open};
use crate::files;
use crate::instance::Instance;
use crate::key_store::{KeyStore, TokenCache};
use crate::note::{self, Checkpoint, DayCertificate, VerifierKey};
use crate::queue::{self, Desk, Sender};
use crate::receipt::Receipts;
use crate::recover::{Found, OpenError, SetAside, io_error, recover};
use crate::segment::LiveSegment;
use crate::stop::take_ballast;
use crate::tile;
use crate::witness;
use crate::writer::{Append, Message, Shared, Writer};

/// What a ledger needs to open.
#[derive(Clone)]
pub struct LedgerOptions {
    /// The ledger's directory.
    pub dir: PathBuf,
    /// Where its keys and its last checkpoint are kept; outside `dir`.
    pub keys_dir: PathBuf,
    /// The log's name, which is also its stable key's name; like `example.org/ledger`.
    pub origin: String,
    /// The stream's number.
    pub stream: u32,
    /// The last signed note of the stream before, for the first record of this one.
    pub predecessor: Option<String>,
    /// What wraps the keys.
    pub custody: Arc<dyn Custody>,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
    /// Where salts and keys come from.
    pub random: Arc<dyn Random>,
    /// How the live segment is written.
    pub disk: Arc<dyn Disk>,
    /// Room kept in the ledger's directory, so that the stop can be recorded on a full disk.
    pub ballast_bytes: u64,
    /// Whether blind tokens stand in the leaves; if not, only whoever opens a record can find it.
    pub tokens_in_leaves: bool,
    /// A segment is preallocated to this many bytes and ends when they are full.
    pub segment_bytes: u64,
    /// A segment that is not empty ends at this age.
    pub segment_age: Duration,
    /// After this long without a record there is a heartbeat.
    pub heartbeat: Duration,
    /// A grown log is signed this often.
    pub checkpoint_every: Duration,
    /// Checkpoints of this log that are kept elsewhere; it is not opened if it is less than they say.
    pub kept: Vec<String>,
}

impl LedgerOptions {
    /// The stream that the origin names, 64 MiB or 15 minutes a segment, a heartbeat a minute, a checkpoint every 5 seconds.
    pub fn new(
        dir: impl Into<PathBuf>,
        keys_dir: impl Into<PathBuf>,
        origin: impl Into<String>,
        custody: Arc<dyn Custody>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let origin = origin.into();
        Self {
            dir: dir.into(),
            keys_dir: keys_dir.into(),
            stream: crate::stream::number(&origin),
            origin,
            predecessor: None,
            custody,
            clock,
            random,
            disk: Arc::new(SystemDisk),
            ballast_bytes: 64 << 20,
            tokens_in_leaves: true,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(15 * 60),
            heartbeat: Duration::from_secs(60),
            checkpoint_every: Duration::from_secs(5),
            kept: Vec::new(),
        }
    }
}

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
        let lock = |dir: &PathBuf| {
            let lock = files::lock(dir).map_err(io_error(dir))?;
            lock.ok_or_else(|| OpenError::InUse(dir.clone()))
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

/// Finds where the log stands, and brings it to where records can be taken.
fn start(options: LedgerOptions, locks: [std::fs::File; 2]) -> Result<(Writer, Opened), OpenError> {
    let dir = options.dir.clone();
    let failed = |reason: String| OpenError::Failed { path: dir.clone(), reason };
    let origin_error = || OpenError::Origin(options.origin.clone());
    let store = KeyStore::new(
        &options.keys_dir,
        &options.origin,
        options.stream,
        Arc::clone(&options.custody),
    );
    let has_segments = !files::segments(&dir).map_err(io_error(&dir))?.is_empty();
    let has_checkpoint = options.keys_dir.join(files::CHECKPOINT).exists()
        || [files::CHECKPOINT, files::WITNESSED].iter().any(|name| dir.join(name).exists());
    let stable = match store.has_stable() {
        true => store.stable()?,
        false if has_segments || has_checkpoint => {
            return Err(OpenError::StableKeyMissing(dir));
        }
        false => store.create_stable(&*options.random)?,
    };
    let stable_key =
        VerifierKey::new(&options.origin, stable.public()).map_err(|_| origin_error())?;
    store.publish_stable(&stable_key)?;
    let now = u64::try_from(options.clock.now().millis()).unwrap_or(0);
    let (kept, disk) = (&options.kept, &*options.disk);
    let found = recover(&dir, kept, &options.keys_dir, options.stream, &stable_key, disk)?;
    let (mut state, mut set_aside, fresh) = match found {
        // A first start that was cut short before its first record begins again.
        Found::Log { state, set_aside } => {
            let fresh = state.batch == 0;
            (state, set_aside, fresh)
        }
        Found::Fresh { set_aside } => (genesis(options.stream), set_aside, true),
    };
    let said = witness::refused(&dir, state.tree.size()).map_err(io_error(&dir))?;
    if let Some((what, reason)) = said {
        let fork = matches!(what, witness::Refused::Fork(_));
        return Err(OpenError::Witness { path: witness::refused_path(&dir), reason, fork });
    }
    let (day, day_number) = if fresh {
        store.erase_days_except(None)?;
        (store.create_day(day_of(now), &*options.random)?, day_of(now))
    } else {
        let day = store.day(state.day)?;
        store.erase_days_except(Some(state.day))?;
        (day, state.day)
    };
    let day_public = day.public().0;
    if !fresh && day_public != state.day_key {
        return Err(OpenError::DayKeyForeign(dir));
    }
    let month = period_of(now.max(state.time));
    if !fresh && period_of(state.time) == month && !store.has_period(month) {
        return Err(OpenError::PeriodKeyMissing { path: dir, period: month });
    }
    let day_name = day_key(&options.origin, day_number, day_public).ok_or_else(origin_error)?;

    // Every process begins a segment of its own; an empty one left behind gives its number back.
    let last = files::segment_path(&dir, state.segment);
    if last.exists() {
        let (mut reader, header) =
            crate::walk::SegmentReader::open(&last).map_err(io_error(&last))?;
        let empty = header.is_some_and(|header| header.batch == state.batch)
            && reader.end_of_data(reader.offset()).map_err(io_error(&last))? == reader.offset();
        if empty {
            options.disk.remove(&last).map_err(io_error(&last))?;
        } else {
            state.segment = state.segment.saturating_add(1);
        }
    }
    take_ballast(&*options.disk, &dir, options.ballast_bytes).map_err(io_error(&dir))?;
    let keys_dir = &options.keys_dir;
    let instance = Instance::begin(&dir, keys_dir, &*options.random, &*options.disk)
        .map_err(io_error(keys_dir))?;
    let segment = LiveSegment::create(&dir, &state, options.segment_bytes, &options.disk)
        .map_err(io_error(&dir))?;
    let tiles = tile::keep(&dir, &state.tree).map_err(io_error(&dir))?;
    let records = state.seq;
    let mut writer = Writer {
        state,
        store,
        stable: (stable_key, stable),
        day: (day_name, day),
        period: None,
        tokens: TokenCache::default(),
        segment,
        tiles,
        shared: Arc::default(),
        buffer: Vec::new(),
        scratch: Vec::new(),
        ends: Vec::new(),
        signed: 0,
        last_record: Instant::now(),
        last_checkpoint: Instant::now(),
        last_tick: Instant::now(),
        clocks: (now, Instant::now()),
        options,
        instance,
        _locks: locks,
    };
    first_records(&mut writer, fresh, set_aside.as_mut(), now)
        .map_err(|failure| failed(failure.reason))?;
    Ok((writer, Opened { created: fresh, recovered: set_aside, records }))
}

fn first_records(
    writer: &mut Writer,
    fresh: bool,
    set_aside: Option<&mut SetAside>,
    now: u64,
) -> Result<(), crate::writer::Failure> {
    let time = now.max(writer.state.time);
    if fresh {
        let before = Checkpoint {
            origin: writer.options.origin.clone(),
            size: 0,
            root: writer.state.tree.root(),
        };
        let day = day_of(time);
        let key = writer.day.0.clone();
        let certificate = DayCertificate { stream: writer.state.stream, day, key, before };
        let stable = &writer.stable;
        let note = note::sign(&certificate.text(), &[(&stable.0, &stable.1)])?;
        writer.state.day = day;
        writer.state.day_key = writer.day.1.public().0;
        let body = Body {
            certificate: Some(note),
            predecessor: writer.options.predecessor.clone(),
            instance: Some(writer.instance.names()),
            ..Body::default()
        };
        writer.own(Kind::StreamOpened, &body, time)?;
        writer.checkpoint()?;
        if set_aside.is_none() {
            return Ok(());
        }
    }
    if writer.state.batch == 1 {
        // The first start was cut short before its checkpoint: nothing was acknowledged yet, and
        // from the second batch on a missing checkpoint is a reason to refuse.
        writer.checkpoint()?;
    }
    if day_of(time) != writer.state.day {
        writer.next_day(time)?;
    }
    if let Some(aside) = set_aside {
        let detail = "a torn tail was set aside".to_owned();
        let body = Body { bytes: Some(aside.bytes), detail: Some(detail), ..Body::default() };
        writer.own(Kind::Recovered, &body, time)?;
        aside.recorded(&*writer.options.disk)?;
    }
    let detail = Some(STARTED.to_owned());
    let instance = Some(writer.instance.names());
    writer.own(Kind::Heartbeat, &Body { detail, instance, ..Body::default() }, time)?;
    writer.checkpoint()
}
