//! The one thread that writes: everything waiting becomes one batch, one write, one sync; then all
//! waiters go. Nothing is acknowledged before it is durable, and after the first failure nothing is
//! acknowledged at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use domain::{Clock, Kind, Timestamp};
use keys::Random;
use keys::ed25519::SigningKey;
use keys::seal;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::body::Body;
use crate::calendar::{day_of, period_of};
use crate::chain::{State, day_key};
use crate::disk::is_full;
use crate::entry::{Prepared, prepare_open};
use crate::files;
use crate::format::{BATCH_HEADER_LEN, BatchHeader, Footer, LeafHeader, TAG_LEN, VERSION};
use crate::instance::Instance;
use crate::key_store::{KeyStore, PeriodKey, TokenCache};
use crate::ledger::{LedgerFault, Position};
use crate::note::{self, Checkpoint, DayCertificate, VerifierKey};
use crate::options::LedgerOptions;
use crate::queue::{self, Ask, Desk, Found};
use crate::read::nonce;
use crate::segment::LiveSegment;
use crate::tile::Feed;
use crate::tree::leaf_hash;

/// What the handles ask for.
pub(crate) enum Message {
    Append(Append),
    Checkpoint(oneshot::Sender<Result<String, LedgerFault>>),
    Close(oneshot::Sender<Result<(), LedgerFault>>),
}

/// Records that are to be durable before their caller goes on.
pub(crate) struct Append {
    pub records: Vec<Prepared>,
    /// For each entry, which record is its first.
    pub firsts: Vec<u32>,
    pub reply: oneshot::Sender<Vec<Position>>,
    pub permit: OwnedSemaphorePermit,
}

impl Ask for Append {
    type Answer = Vec<Position>;

    fn weight(&self) -> (usize, usize) {
        let bytes = self.records.iter().map(|record| record.body.expose().len()).sum();
        (self.records.len(), bytes)
    }

    fn answer(self, answer: Option<Vec<Position>>) {
        drop(self.permit);
        // Without an answer the caller sees the sender go, and why in what is shared.
        if let Some(positions) = answer {
            let _ = self.reply.send(positions);
        }
    }
}

impl queue::Message for Message {
    type Ask = Append;

    fn into_ask(self) -> Result<Append, Self> {
        match self {
            Self::Append(append) => Ok(append),
            other => Err(other),
        }
    }
}

/// What the thread and the handles both see.
#[derive(Default)]
pub(crate) struct Shared {
    /// Why the writer stopped, once it has.
    pub failure: OnceLock<String>,
    /// The latest checkpoint.
    pub checkpoint: Mutex<String>,
    /// Why no record is taken for now, by who says so.
    pub suspended: Mutex<BTreeMap<&'static str, String>>,
}

/// Something the writer cannot go on after; the text is for the operator and names no PHI.
#[derive(Debug)]
pub(crate) struct Failure {
    pub reason: String,
    /// The disk has no room: one last record can be written, on the ballast's.
    pub full: bool,
}

impl Failure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), full: false }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { reason: error.to_string(), full: is_full(&error) }
    }
}

/// Records drained into one batch before it is closed.
const BATCH_RECORDS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
const TICK: Duration = Duration::from_secs(1);
/// The clock may differ this much from the steady clock before it counts as a step.
pub(crate) const STEP_MS: u64 = 10_000;
/// It may go back this much unmentioned; the record's time then stands still.
const BACK_MS: u64 = 1_000;

pub(crate) struct Writer {
    pub options: LedgerOptions,
    pub state: State,
    pub store: KeyStore,
    pub stable: (VerifierKey, SigningKey),
    pub day: (VerifierKey, SigningKey),
    pub period: Option<(u32, PeriodKey)>,
    pub tokens: TokenCache,
    pub segment: LiveSegment,
    pub tiles: Feed,
    pub shared: Arc<Shared>,
    pub buffer: Vec<u8>,
    pub scratch: Vec<u8>,
    pub ends: Vec<usize>,
    /// The tree size last signed.
    pub signed: u64,
    pub last_record: Instant,
    pub last_checkpoint: Instant,
    pub last_tick: Instant,
    /// Wall and steady clock, read together.
    pub clocks: (u64, Instant),
    /// Which opening of the log this is, and whether the keys are still its own.
    pub instance: Instance,
    /// Held while the thread lives: the log's directory and the keys'.
    pub _locks: [std::fs::File; 2],
}

pub(crate) fn millis(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.millis()).unwrap_or(0)
}

impl Writer {
    /// Serves until every handle is gone or one says close.
    pub(crate) fn run(mut self, mut desk: Desk<Message>) {
        loop {
            let other = match desk.gather(TICK, (BATCH_RECORDS, BATCH_BYTES)) {
                Found::Abandoned => {
                    let _ = self.finish();
                    return;
                }
                Found::Nothing => None,
                Found::Other(other) => Some(other),
                Found::Asks(other) => {
                    // Why it failed is known before anybody hears that it did.
                    let _ = desk.settle(|asks| {
                        let committed = self.commit(asks);
                        self.keep(committed).ok_or(())
                    });
                    other
                }
            };
            match other {
                Some(Message::Close(reply)) => {
                    let result = self.finish();
                    drop(self);
                    drop(desk);
                    let _ = reply.send(result);
                    return;
                }
                Some(Message::Checkpoint(reply)) => {
                    let signed = self.alive().and_then(|()| self.checkpoint());
                    let signed = self.keep(signed).ok_or(LedgerFault::Failed);
                    let text =
                        self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
                    let _ = reply.send(signed.map(|()| text.clone()));
                }
                Some(Message::Append(_)) | None => {}
            }
            if self.last_tick.elapsed() >= TICK && self.shared.failure.get().is_none() {
                let result = self.tick();
                let _ = self.keep(result);
                self.last_tick = Instant::now();
            }
            if self.shared.failure.get().is_some() {
                desk.fail();
            }
        }
    }

    fn alive(&self) -> Result<(), Failure> {
        self.shared.failure.get().map_or(Ok(()), |reason| Err(Failure::new(reason)))
    }

    /// What came out, unless it failed; if so, the writer has stopped for good.
    fn keep<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        let failure = match result {
            Ok(value) => return Some(value),
            Err(failure) => failure,
        };
        if self.shared.failure.get().is_none() {
            let reason = if failure.full { self.stop_full(&failure) } else { failure.reason };
            tracing::error!(reason, "the ledger has stopped");
            let _ = self.shared.failure.set(reason);
        }
        None
    }

    fn commit(&mut self, asks: &[Append]) -> Result<Vec<Vec<Position>>, Failure> {
        self.alive()?;
        let time = self.time()?;
        let first_seq = self.state.seq;
        let first_leaf = self.state.tree.size() + 1;
        self.write_batch(asks.iter().flat_map(|ask| &ask.records), time)?;
        self.last_record = Instant::now();
        let mut base = 0;
        let place = |offset: u64| Position {
            seq: first_seq + offset,
            leaf: first_leaf + offset,
            time: Timestamp::from_millis(i64::try_from(time).unwrap_or(i64::MAX)),
        };
        let positions = asks.iter().map(|ask| {
            let own = ask.firsts.iter().map(|first| place(base + u64::from(*first))).collect();
            base += ask.records.len() as u64;
            own
        });
        Ok(positions.collect())
    }

    /// The time for the next batch, never before the last record's. Notes a stepped clock, and goes
    /// over to a new day, month or segment when it is time to.
    fn time(&mut self) -> Result<u64, Failure> {
        let now = millis(self.options.clock.now());
        let (wall, steady) = self.clocks;
        let passed = u64::try_from(steady.elapsed().as_millis()).unwrap_or(u64::MAX);
        let jumped = now.abs_diff(wall.saturating_add(passed)) > STEP_MS;
        let back = now.saturating_add(BACK_MS) < wall;
        self.clocks = (now, Instant::now());
        let time = now.max(self.state.time);
        if day_of(time) != self.state.day {
            self.next_day(time)?;
        } else if self.segment.end() >= self.options.segment_bytes
            || (self.segment.batches > 0
                && self.segment.opened.elapsed() >= self.options.segment_age)
        {
            self.roll()?;
        }
        if jumped || back {
            let detail = format!("{wall} ms to {now} ms after {passed} ms");
            self.own(Kind::ClockStep, &Body { detail: Some(detail), ..Body::default() }, time)?;
        }
        Ok(time)
    }

    /// Once a second.
    fn tick(&mut self) -> Result<(), Failure> {
        self.segment.check()?;
        self.check_keys()?;
        let now = millis(self.options.clock.now()).max(self.state.time);
        let silent = self.last_record.elapsed() >= self.options.heartbeat;
        if silent || day_of(now) != self.state.day {
            let time = self.time()?;
            self.own(Kind::Heartbeat, &Body::default(), time)?;
        }
        if self.state.tree.size() > self.signed
            && self.last_checkpoint.elapsed() >= self.options.checkpoint_every
        {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), LedgerFault> {
        let stop = |writer: &mut Self| -> Result<(), Failure> {
            writer.alive()?;
            let time = writer.time()?;
            writer.own(Kind::Stopped, &Body::default(), time)?;
            writer.checkpoint()?;
            writer.segment.trim()?;
            writer.tiles.settle_blocking();
            Ok(())
        };
        let result = stop(self);
        self.keep(result).ok_or(LedgerFault::Failed)
    }

    /// Appends one of the stream's own records.
    pub(crate) fn own(&mut self, kind: Kind, body: &Body, time: u64) -> Result<(), Failure> {
        let record = prepare_open(kind, body).map_err(|_| Failure::new("record too large"))?;
        self.write_batch(std::iter::once(&record), time)?;
        self.last_record = Instant::now();
        Ok(())
    }

    /// Ends the segment, if anything is in it, and begins the next.
    pub(crate) fn roll(&mut self) -> Result<(), Failure> {
        if self.segment.batches == 0 {
            return Ok(());
        }
        self.segment.trim()?;
        self.state.segment = self.state.segment.saturating_add(1);
        let options = &self.options;
        self.segment =
            LiveSegment::create(&options.dir, &self.state, options.segment_bytes, &options.disk)?;
        Ok(())
    }

    /// The day's key closes its day, certifies the next one's key in the log, and is erased.
    pub(crate) fn next_day(&mut self, time: u64) -> Result<(), Failure> {
        self.checkpoint()?;
        self.roll()?;
        let day = day_of(time);
        let signer = self.store.create_day(day, &*self.options.random)?;
        let public = signer.public();
        let key =
            day_key(&self.options.origin, day, public.0).ok_or_else(|| Failure::new("origin"))?;
        let certificate = DayCertificate {
            stream: self.state.stream,
            day,
            key: key.clone(),
            before: self.head(),
        };
        let (stable, old) = (&self.stable, &self.day);
        let signers = [(&stable.0, &stable.1), (&old.0, &old.1)];
        let note = note::sign(&certificate.text(), &signers)?;
        let body = Body {
            certificate: Some(note),
            detail: Some("day key certified".into()),
            ..Body::default()
        };
        let before = (self.state.day, self.state.day_key);
        (self.state.day, self.state.day_key) = (day, public.0);
        if let Err(failure) = self.own(Kind::KeyEvent, &body, time) {
            (self.state.day, self.state.day_key) = before;
            return Err(failure);
        }
        self.day = (key, signer);
        self.checkpoint()?;
        Ok(self.store.erase_days_except(Some(day))?)
    }

    fn head(&self) -> Checkpoint {
        Checkpoint {
            origin: self.options.origin.clone(),
            size: self.state.tree.size(),
            root: self.state.tree.root(),
        }
    }

    /// Signs the tree as it stands, and keeps the note beside the log and beside the keys.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Failure> {
        self.last_checkpoint = Instant::now();
        if self.signed == self.state.tree.size() {
            return Ok(());
        }
        self.check_keys()?;
        let (stable, day) = (&self.stable, &self.day);
        let signers = [(&stable.0, &stable.1), (&day.0, &day.1)];
        let note = note::sign(&self.head().text(), &signers)?;
        self.instance.signed(&note);
        for dir in [&self.options.keys_dir, &self.options.dir] {
            let path = dir.join(files::CHECKPOINT);
            files::replace_on(&*self.options.disk, &path, note.as_bytes(), 0o644)?;
        }
        self.signed = self.state.tree.size();
        *self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = note;
        self.tiles.signed();
        Ok(())
    }

    fn period_key(&mut self, time: u64) -> Result<u32, Failure> {
        let period = period_of(time);
        if self.period.as_ref().is_none_or(|(held, _)| *held != period) {
            let key = if self.store.has_period(period) {
                self.store.period(period)?
            } else {
                self.store.create_period(period, &*self.options.random)?
            };
            self.tokens = TokenCache::default();
            self.period = Some((period, key));
        }
        Ok(period)
    }

    /// Seals, hashes, writes and syncs one batch.
    fn write_batch<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Prepared>,
        time: u64,
    ) -> Result<(), Failure> {
        let period = self.period_key(time)?;
        let Some((_, period_key)) = &self.period else { return Err(Failure::new("no key")) };
        // What is not durable is not so: the state goes on only after the sync.
        let mut next = self.state.clone();
        let mut header = BatchHeader {
            stream: next.stream,
            segment: next.segment,
            batch: next.batch,
            first_seq: next.seq,
            first_leaf: next.tree.size(),
            count: 0,
            leaves_len: 0,
            period,
            salt: [0; 32],
            commitment: [0; 32],
        };
        self.options.random.fill(&mut header.salt)?;
        let (batch_key, commitment) = period_key.batch_key(&header)?;
        header.commitment = commitment;

        let out = &mut self.buffer;
        out.clear();
        out.resize(BATCH_HEADER_LEN, 0);
        self.ends.clear();
        let mut tokens = Vec::new();
        for (index, record) in (0_u32..).zip(records) {
            tokens.clear();
            let tags = if self.options.tokens_in_leaves { record.tags.as_slice() } else { &[] };
            for (field, value) in tags {
                tokens.push(self.tokens.token(period_key, *field, value));
            }
            let body = record.body.expose();
            let leaf = LeafHeader {
                version: record.version,
                stream: header.stream,
                seq: header.first_seq + u64::from(index),
                time,
                kind: record.kind,
                outcome: record.outcome,
            };
            let start = out.len();
            let body_len = u16::try_from(body.len())?;
            leaf.append(out, &tokens, body_len);
            self.scratch.clear();
            if record.version == VERSION {
                self.scratch.extend_from_slice(body);
            } else {
                // In the clear, and authenticated with the rest.
                out.extend_from_slice(body);
            }
            let clear = out.get(start..).unwrap_or_default();
            seal::seal(&batch_key, nonce(index), clear, &mut self.scratch)?;
            out.extend_from_slice(&self.scratch);
            debug_assert!(self.scratch.len() >= TAG_LEN);
            self.ends.push(out.len());
        }
        header.count = u32::try_from(self.ends.len())?;
        header.leaves_len = u32::try_from(out.len() - BATCH_HEADER_LEN)?;
        let head = header.encode();
        out.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        let first_leaf = next.tree.size();
        let mut hashes = Vec::with_capacity(self.ends.len() + 1);
        hashes.push(leaf_hash(&head));
        let mut start = BATCH_HEADER_LEN;
        for end in &self.ends {
            hashes.push(leaf_hash(out.get(start..*end).unwrap_or_default()));
            start = *end;
        }
        hashes.iter().for_each(|hash| next.tree.push(*hash));
        let footer = Footer { size: next.tree.size(), root: next.tree.root(), prev: next.prev };
        let footer_at = out.len();
        footer.append(out, 0);
        next.prev = keys::sha256(out.get(footer_at..).unwrap_or_default());
        next.batch += 1;
        next.seq += u64::from(header.count);
        next.time = time;
        self.segment.append(out)?;
        self.state = next;
        self.tiles.leaves(first_leaf, hashes);
        Ok(())
    }
}
