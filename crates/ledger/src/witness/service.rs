//! The witness: parse, trust, judge, remember, answer, in this order and, from the judgement on, under
//! one lock. An answer with a cosignature is given only for a head that is durable as the latest.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Clock;
use keys::Random;
use keys::ed25519::SigningKey;

use super::judge::{Head, Refusal, Step, judge, trusted};
use super::memory::{self, Memory, WitnessError, hex};
use super::request::{Malformed, Request};
use crate::files;
use crate::note::{Note, VerifierKey, cosign};

/// What goes back to whoever asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub media_type: &'static str,
    /// The body.
    pub body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
/// c2sp.org/tlog-witness.
const SIZE: &str = "text/x.tlog.size";
/// Requests that prove a log wrong are kept, so many of them.
const EVIDENCE: usize = 64;
/// Signature lines of others that are kept with a head, so many of them.
const FOREIGN_LINES: usize = 16;

impl Answer {
    fn text(status: u16, body: &str) -> Self {
        Self { status, media_type: TEXT, body: format!("{body}\n") }
    }
}

impl From<Malformed> for Answer {
    fn from(malformed: Malformed) -> Self {
        let status = if malformed == Malformed::TooLarge { 413 } else { 400 };
        Self::text(status, &malformed.to_string())
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownOrigin => Self::text(404, "this log is not witnessed here"),
            Refusal::Untrusted => Self::text(403, "not signed by this log's key"),
            Refusal::OldLarger => Self::from(Malformed::OldLarger),
            Refusal::Stale(size) => {
                Self { status: 409, media_type: SIZE, body: format!("{size}\n") }
            }
            Refusal::Inconsistent => Self::text(422, "the checkpoint does not follow the last one"),
        }
    }
}

/// A witness of some logs.
pub struct Witness {
    dir: PathBuf,
    key: VerifierKey,
    signer: SigningKey,
    logs: Vec<VerifierKey>,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

impl Witness {
    /// Makes a witness of this name in a directory, and returns its public key.
    ///
    /// # Errors
    /// [`WitnessError`]; an existing witness is left as it is.
    pub fn init(dir: &Path, name: &str, random: &dyn Random) -> Result<VerifierKey, WitnessError> {
        memory::create(dir, name, random)
    }

    /// Opens the witness of a directory for these logs, which are named by their keys. A log may have
    /// several keys; one that is no longer named is remembered.
    ///
    /// # Errors
    /// [`WitnessError`]; a witness whose memory cannot be relied on does not open.
    pub fn open(
        dir: &Path,
        logs: Vec<VerifierKey>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessError> {
        let (key, signer, memory) = memory::open(dir)?;
        Ok(Self { dir: dir.to_owned(), key, signer, logs, clock, memory: Mutex::new(memory) })
    }

    /// Its public key.
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The logs it cosigned, with the size it holds of each.
    pub fn sizes(&self) -> Vec<(String, u64)> {
        self.memory().heads().map(|(origin, head)| (origin.to_owned(), head.size)).collect()
    }

    /// Whether it can still remember, and so cosign.
    pub fn is_well(&self) -> bool {
        !self.memory().has_failed()
    }

    /// The latest cosigned checkpoint of the log whose origin has this SHA-256, in hexadecimal
    /// (c2sp.org/tlog-witness, monitor retrieval).
    pub fn latest(&self, origin_hash: &str) -> Option<String> {
        let memory = self.memory();
        let mut heads = memory.heads();
        heads
            .find(|(origin, _)| hex(&keys::sha256(origin.as_bytes())) == origin_hash)
            .map(|(_, head)| head.note.clone())
    }

    /// Answers `add-checkpoint`. Blocking: it waits for the disk.
    pub fn add_checkpoint(&self, body: &[u8]) -> Answer {
        match self.try_add(body) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    fn try_add(&self, body: &[u8]) -> Result<Answer, Answer> {
        let request = Request::parse(body)?;
        trusted(&request, &self.logs)?;
        let origin = &request.checkpoint.origin;
        let size = request.checkpoint.size;
        let mut memory = self.memory();
        let broken = |_| Answer::text(500, "this witness cannot cosign; see its log");
        if memory.has_failed() {
            return Err(broken(()));
        }
        let held = memory.head(origin);
        let step = judge(&request, held).inspect_err(|refusal| {
            if *refusal == Refusal::Inconsistent {
                let holds = held.map_or(0, |head| head.size);
                tracing::error!(
                    origin,
                    size,
                    holds,
                    "a signed checkpoint contradicts an older one"
                );
                self.keep_evidence(body);
            }
        })?;
        let now = u64::try_from(self.clock.now().millis()).unwrap_or(0) / 1000;
        // Never dated before what was cosigned before it, whatever the clock says.
        let time = now.max(held.map_or(1, |head| head.time));
        let line = cosign(request.note.text(), (&self.key, &self.signer), time).map_err(|_| {
            tracing::error!("the crypto library refuses to sign");
            broken(())
        })?;
        if step == Step::Forward {
            let note = format!("{}{line}", self.without_own_lines(&request));
            let head = Head { size, root: request.checkpoint.root, time, note };
            memory.remember(origin, head).map_err(|error| {
                tracing::error!(%error, "what was cosigned cannot be kept; cosigning no more");
                broken(())
            })?;
            tracing::info!(origin, size, "cosigned");
        }
        drop(memory);
        Ok(Answer { status: 200, media_type: TEXT, body: line })
    }

    /// The note as it came, but for lines under this witness's own name, which anybody can write,
    /// and for lines of others beyond some.
    fn without_own_lines(&self, request: &Request) -> String {
        let text = request.note.text();
        let lines = request.raw.get(text.len().saturating_add(1)..).unwrap_or_default();
        let mut kept = format!("{text}\n");
        let foreign = lines.split_inclusive('\n').filter(|line| {
            Note::parse(&format!("{text}\n{line}")).is_ok_and(|note| !note.names(&self.key))
        });
        for line in foreign.take(FOREIGN_LINES) {
            kept.push_str(line);
        }
        kept
    }

    /// Keeps a request that a trusted key signed and that contradicts what was cosigned: with the
    /// head held, it proves the log wrong to anybody.
    fn keep_evidence(&self, body: &[u8]) {
        let name = hex(&keys::sha256(body)).get(..16).unwrap_or_default().to_owned();
        let write = || -> std::io::Result<()> {
            let dir = self.dir.join("evidence");
            std::fs::create_dir_all(&dir)?;
            if std::fs::read_dir(&dir)?.count() < EVIDENCE {
                files::replace(&dir.join(name), body, 0o600)?;
            }
            Ok(())
        };
        if let Err(error) = write() {
            tracing::error!(%error, "the contradicting request could not be kept");
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
