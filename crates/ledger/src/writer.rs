//! The one thread that writes: everything waiting becomes one batch, one write, one sync; then all
//! waiters go. Nothing is acknowledged before it is durable, and after the first failure nothing is
//! acknowledged at all.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
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
use crate::entry::{Prepared, prepare_open};
use crate::files;
use crate::format::{BATCH_HEADER_LEN, BatchHeader, Footer, LeafHeader, TAG_LEN, VERSION};
use crate::key_store::{KeyStore, PeriodKey, TokenCache};
use crate::ledger::{LedgerFault, LedgerOptions, Position};
use crate::note::{self, Checkpoint, DayCertificate, VerifierKey};
use crate::read::nonce;
use crate::segment::LiveSegment;
use crate::tile::Feed;
use crate::tree::leaf_hash;

/// What the handles ask for.
pub(crate) enum Message {
    Append {
        records: Vec<Prepared>,
        /// For each entry, which record is its first.
        firsts: Vec<u32>,
        reply: oneshot::Sender<Result<Vec<Position>, LedgerFault>>,
        permit: OwnedSemaphorePermit,
    },
    Checkpoint(oneshot::Sender<Result<String, LedgerFault>>),
    Close(oneshot::Sender<Result<(), LedgerFault>>),
}

/// What the thread and the handles both see.
#[derive(Default)]
pub(crate) struct Shared {
    /// Why the writer stopped, once it has.
    pub failure: OnceLock<String>,
    /// The latest checkpoint.
    pub checkpoint: Mutex<String>,
    /// Why no record is taken for now.
    pub suspended: Mutex<Option<String>>,
}

/// Something the writer cannot go on after; the text is for the operator and names no PHI.
#[derive(Debug)]
pub(crate) struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Records drained into one batch before it is closed.
const BATCH_RECORDS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
const TICK: Duration = Duration::from_secs(1);
/// The clock may differ this much from the steady clock before it counts as a step.
const STEP_MS: u64 = 10_000;
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
    /// Held while the thread lives.
    pub _lock: std::fs::File,
}

fn millis(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.millis()).unwrap_or(0)
}

impl Writer {
    /// Serves until every handle is gone or one says close.
    pub(crate) fn run(mut self, requests: &Receiver<Message>) {
        let mut waiting = Vec::new();
        loop {
            match requests.recv_timeout(TICK) {
                Ok(first) => {
                    if let Some(reply) = self.gather(first, requests, &mut waiting) {
                        let result = self.finish();
                        drop(self);
                        let _ = reply.send(result);
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.finish();
                    return;
                }
            }
            if self.last_tick.elapsed() >= TICK && self.shared.failure.get().is_none() {
                let result = self.tick();
                self.poison_on(result);
                self.last_tick = Instant::now();
            }
        }
    }

    /// Takes all that waits, commits it, answers. A close request is handed back.
    fn gather(
        &mut self,
        first: Message,
        requests: &Receiver<Message>,
        waiting: &mut Vec<Message>,
    ) -> Option<oneshot::Sender<Result<(), LedgerFault>>> {
        let (mut records, mut bytes) = (0, 0);
        let mut next = Some(first);
        let mut other = None;
        while let Some(message) = next.take() {
            let Message::Append { records: new, .. } = &message else {
                other = Some(message);
                break;
            };
            records += new.len();
            bytes += new.iter().map(|record| record.body.expose().len()).sum::<usize>();
            waiting.push(message);
            if records < BATCH_RECORDS && bytes < BATCH_BYTES {
                next = requests.try_recv().ok();
            }
        }
        if !waiting.is_empty() {
            let result = self.commit(waiting);
            let failed =
                self.poison_on(result.as_ref().map(|_| ()).map_err(|f| Failure(f.0.clone())));
            let mut positions = result.unwrap_or_default().into_iter();
            for message in waiting.drain(..) {
                let Message::Append { reply, firsts, permit, .. } = message else { continue };
                drop(permit);
                let own: Vec<Position> = positions.by_ref().take(firsts.len()).collect();
                let _ = reply.send(if failed { Err(LedgerFault::Failed) } else { Ok(own) });
            }
        }
        match other {
            Some(Message::Close(reply)) => Some(reply),
            Some(Message::Checkpoint(reply)) => {
                let result = self.alive().and_then(|()| self.checkpoint());
                let failed = self.poison_on(result);
                let text = self.shared.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
                let _ =
                    reply.send(if failed { Err(LedgerFault::Failed) } else { Ok(text.clone()) });
                None
            }
            _ => None,
        }
    }

    fn alive(&self) -> Result<(), Failure> {
        self.shared.failure.get().map_or(Ok(()), |reason| Err(Failure(reason.clone())))
    }

    /// Whether it failed; if so, for good.
    fn poison_on(&self, result: Result<(), Failure>) -> bool {
        let Err(failure) = result else { return false };
        if self.shared.failure.set(failure.0.clone()).is_ok() {
            tracing::error!(reason = failure.0, "the ledger has stopped");
        }
        true
    }

    fn commit(&mut self, waiting: &[Message]) -> Result<Vec<Position>, Failure> {
        self.alive()?;
        let time = self.time()?;
        let first_seq = self.state.seq;
        let first_leaf = self.state.tree.size() + 1;
        let records = waiting.iter().flat_map(|message| match message {
            Message::Append { records, .. } => records.as_slice(),
            _ => &[],
        });
        self.write_batch(records, time)?;
        self.last_record = Instant::now();
        let mut positions = Vec::new();
        let mut base = 0;
        for message in waiting {
            let Message::Append { records, firsts, .. } = message else { continue };
            for first in firsts {
                let offset = base + u64::from(*first);
                positions.push(Position {
                    seq: first_seq + offset,
                    leaf: first_leaf + offset,
                    time: Timestamp::from_millis(i64::try_from(time).unwrap_or(i64::MAX)),
                });
            }
            base += records.len() as u64;
        }
        Ok(positions)
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
        if self.poison_on(result) { Err(LedgerFault::Failed) } else { Ok(()) }
    }

    /// Appends one of the stream's own records.
    pub(crate) fn own(&mut self, kind: Kind, body: &Body, time: u64) -> Result<(), Failure> {
        let record = prepare_open(kind, body).map_err(|_| Failure("record too large".into()))?;
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
            day_key(&self.options.origin, day, public.0).ok_or_else(|| Failure("origin".into()))?;
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
        self.state.day = day;
        self.state.day_key = public.0;
        self.own(Kind::KeyEvent, &body, time)?;
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
        let (stable, day) = (&self.stable, &self.day);
        let signers = [(&stable.0, &stable.1), (&day.0, &day.1)];
        let note = note::sign(&self.head().text(), &signers)?;
        for dir in [&self.options.keys_dir, &self.options.dir] {
            files::replace(&dir.join(files::CHECKPOINT), note.as_bytes(), 0o644)?;
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
        let Some((_, period_key)) = &self.period else { return Err(Failure("no key".into())) };
        let mut header = BatchHeader {
            stream: self.state.stream,
            segment: self.state.segment,
            batch: self.state.batch,
            first_seq: self.state.seq,
            first_leaf: self.state.tree.size(),
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
            for (field, value) in &record.tags {
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
        let first_leaf = self.state.tree.size();
        let mut hashes = Vec::with_capacity(self.ends.len() + 1);
        hashes.push(leaf_hash(&head));
        let mut start = BATCH_HEADER_LEN;
        for end in &self.ends {
            hashes.push(leaf_hash(out.get(start..*end).unwrap_or_default()));
            start = *end;
        }
        hashes.iter().for_each(|hash| self.state.tree.push(*hash));
        let footer = Footer {
            size: self.state.tree.size(),
            root: self.state.tree.root(),
            prev: self.state.prev,
        };
        let footer_at = out.len();
        footer.append(out, 0);
        self.state.prev = keys::sha256(out.get(footer_at..).unwrap_or_default());
        self.state.batch += 1;
        self.state.seq += u64::from(header.count);
        self.state.time = time;
        self.segment.append(out)?;
        self.tiles.leaves(first_leaf, hashes);
        Ok(())
    }
}
