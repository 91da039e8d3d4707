//! Sends records to collectors as they are made: each configured target follows what is on disk already,
//! at its own pace, so a slow or dead one holds up nothing and costs no memory. A record is sent at least
//! once; its number tells the second time. That records leave is itself recorded first.

mod file;
mod http;
mod position;
mod syslog;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use domain::{Kind, Outcome};
use keys::custody::Custody;
use ledger::read::{ReadError, Reader, Record};
use ledger::{Body, Entry, Ledger};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use web::Web;
use web::metrics::Gauge;

use super::Context;
use crate::config::{Config, StreamConfig};
use crate::failure::Failure;
use crate::ledger_command::rfc3339;
use crate::system::{ledger_origin, ledger_stream};
use position::Position;

/// Records, or bytes of their lines, that are sent at a time.
const CHUNK_RECORDS: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;
/// How often the end of the log is looked at.
const TURN: Duration = Duration::from_millis(250);
/// How long a failure is waited out: from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Starts the tasks.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let streams = context.config.ledger.streams.iter();
    streams.map(|stream| tokio::spawn(run(context.clone(), stream.clone()))).collect()
}

/// What the streams of a configuration need, before anything is served.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    for stream in &config.ledger.streams {
        let wrong = |what: String| {
            Failure::usage(format!("{}: ledger.stream: {what}", config.path.display()))
        };
        Target::open(stream, &config.issuer).map_err(wrong)?;
    }
    Ok(())
}

async fn run(context: Context, stream: StreamConfig) {
    let follower = Follower {
        reading: Reading::of(&context, stream.fhir),
        ledger: context.ledger.clone(),
        position: Position::of(&context.config.data, &stream.to, ledger_stream(&context.config)),
        to: without_query(&stream.to),
        pauses: PAUSES,
        web: Some(Arc::clone(&context.web)),
    };
    // Shown from the start, also while nothing fails.
    context.web.metrics().add(Gauge::StreamFailures, 0);
    context.web.metrics().add(Gauge::StreamsHeldUp, 0);
    match Target::open(&stream, &context.config.issuer) {
        Ok(target) => follower.follow(target).await,
        Err(why) => {
            let to = without_query(&stream.to);
            tracing::error!(to, why, "a ledger stream cannot be opened");
        }
    }
}

/// A target as it is named in logs and records: a collector's URL may carry a secret in its query.
fn without_query(to: &str) -> String {
    match to.starts_with("http") {
        true => to.split(['?', '#']).next().unwrap_or_default().to_owned(),
        false => to.to_owned(),
    }
}

/// A record on its way.
#[derive(Clone, Debug)]
pub(super) struct Line {
    seq: u64,
    kind: &'static str,
    is_good: bool,
    time: String,
    json: String,
}

/// Where records go.
pub(super) enum Target {
    File(file::FileTarget),
    Syslog(Box<syslog::SyslogTarget>),
    Http(Box<http::HttpTarget>),
}

impl Target {
    /// The target of a configuration; nothing is connected yet.
    fn open(stream: &StreamConfig, issuer: &str) -> Result<Self, String> {
        let roots = match &stream.ca {
            Some(path) => crate::system::certificates(path).map_err(|e| e.message())?,
            None => Vec::new(),
        };
        if let Some(path) = stream.to.strip_prefix("file:") {
            return Ok(Self::File(file::FileTarget::new(path.into())));
        }
        if let Some(peer) = stream.to.strip_prefix("syslog+tls://") {
            let target = syslog::SyslogTarget::new(peer, roots, issuer)?;
            return Ok(Self::Syslog(Box::new(target)));
        }
        let target = http::HttpTarget::new(&stream.to, roots, stream.token.clone())?;
        Ok(Self::Http(Box::new(target)))
    }

    /// Sends the lines. Gives the number from which on they would have to be sent again after a
    /// restart.
    async fn send(&mut self, lines: &[Line]) -> Result<u64, String> {
        match self {
            Self::File(file) => file.send(lines),
            Self::Syslog(syslog) => syslog.send(lines).await,
            Self::Http(http) => http.send(lines).await,
        }
    }
}

/// How the log is opened for reading.
#[derive(Clone)]
pub(super) struct Reading {
    config: Arc<Config>,
    custody: Arc<dyn Custody>,
    /// Whether records are told as FHIR AuditEvents.
    fhir: bool,
}

impl Reading {
    fn of(context: &Context, fhir: bool) -> Self {
        Self { config: Arc::clone(&context.config), custody: Arc::clone(&context.custody), fhir }
    }

    fn reader(&self) -> Reader {
        let config = &self.config;
        let custody = Arc::clone(&self.custody);
        let (dir, keys_dir) = (&config.ledger.dir, config.ledger_keys());
        Reader::open(dir, &keys_dir, &ledger_origin(config), ledger_stream(config), custody)
    }
}

/// Brings one target up with the log.
pub(super) struct Follower {
    reading: Reading,
    ledger: Ledger,
    position: Position,
    to: String,
    pauses: (Duration, Duration),
    /// Whose metrics tell of failures.
    web: Option<Arc<Web>>,
}

impl Follower {
    async fn follow(mut self, mut target: Target) {
        let mut pause = Pause::new(self.pauses, self.web.take());
        let started = loop {
            match self.record_start().await {
                Ok(seq) => break seq,
                Err(why) => pause.after(&self.to, &why).await,
            }
        };
        // A target that is new begins with the record that says so.
        let mut from = match self.position.read() {
            Some(kept) if kept <= started => kept,
            Some(_) => {
                tracing::warn!(
                    to = self.to,
                    "the stream's place is of another log; it begins anew"
                );
                started
            }
            None => started,
        };
        loop {
            let (lines, mut chunks) = mpsc::channel(2);
            let reading = self.reading.clone();
            let thread = std::thread::Builder::new().name("ledger-stream".to_owned());
            let spawned = thread.spawn(move || read_on(&reading, from, &lines));
            if let Err(error) = spawned {
                pause.after(&self.to, &error.to_string()).await;
                continue;
            }
            while let Some(read) = chunks.recv().await {
                let chunk = match read {
                    Ok(chunk) => chunk,
                    Err(why) => {
                        pause.after(&self.to, &why).await;
                        break;
                    }
                };
                let settled = loop {
                    match target.send(&chunk).await {
                        Ok(settled) => break settled,
                        Err(why) => pause.after(&self.to, &why).await,
                    }
                };
                pause.over(&self.to);
                from = chunk.last().map_or(from, |line| line.seq.saturating_add(1));
                if let Err(error) = self.position.keep(settled) {
                    tracing::warn!(to = self.to, %error, "a stream's place cannot be kept");
                }
            }
        }
    }

    /// That records leave from now on, and where to; no secret is in it.
    async fn record_start(&self) -> Result<u64, String> {
        let body = Body {
            subject: Some("server".to_owned()),
            interaction: Some("ledger stream".to_owned()),
            query: Some(domain::Phi::new(format!("to={}", self.to))),
            detail: Some("stream started".to_owned()),
            ..Body::default()
        };
        let entry = Entry::new(Kind::LedgerExported, body);
        let positions = self.ledger.append(vec![entry]).await.map_err(|e| e.to_string())?;
        positions.first().map(|position| position.seq).ok_or_else(|| "not recorded".to_owned())
    }
}

/// Waiting after failures, longer each time; the first is said, and how many there were at the end.
struct Pause {
    between: (Duration, Duration),
    next: Duration,
    failures: u64,
    web: Option<Arc<Web>>,
}

impl Pause {
    const fn new(between: (Duration, Duration), web: Option<Arc<Web>>) -> Self {
        Self { between, next: between.0, failures: 0, web }
    }

    fn tell(&self, gauge: Gauge, change: i64) {
        if let Some(web) = &self.web {
            web.metrics().add(gauge, change);
        }
    }

    async fn after(&mut self, to: &str, why: &str) {
        if self.failures == 0 {
            tracing::error!(to, why, "a ledger stream is held up; it goes on by itself");
            self.tell(Gauge::StreamsHeldUp, 1);
        }
        self.tell(Gauge::StreamFailures, 1);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(self.next).await;
        self.next = self.next.saturating_mul(2).min(self.between.1);
    }

    fn over(&mut self, to: &str) {
        if self.failures > 0 {
            tracing::info!(to, failures = self.failures, "a ledger stream goes on");
            self.tell(Gauge::StreamsHeldUp, -1);
        }
        (self.next, self.failures) = (self.between.0, 0);
    }
}

type Chunk = Result<Vec<Line>, String>;

/// Reads from this record on and hands over, a little at a time; ends when nobody takes any more. What
/// waits to be taken is two chunks.
fn read_on(reading: &Reading, from: u64, lines: &mpsc::Sender<Chunk>) {
    if let Err(error) = try_read_on(reading, from, lines) {
        let _gone = lines.blocking_send(Err(error.to_string()));
    }
}

fn try_read_on(reading: &Reading, from: u64, lines: &mpsc::Sender<Chunk>) -> Result<(), ReadError> {
    let (origin, fhir_base) =
        (ledger_origin(&reading.config), format!("{}/fhir", reading.config.issuer));
    let context = report::fhir::Context {
        issuer: &reading.config.issuer,
        fhir_base: &fhir_base,
        origin: &origin,
        stream: ledger_stream(&reading.config),
    };
    let mut reader = reading.reader();
    let mut cursor = reader.from_seq(from)?;
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while !lines.is_closed() {
        let record = cursor.next_record()?;
        let at_end = record.is_none();
        if let Some(record) = record {
            let line = line(&record, &context, reading.fhir);
            bytes += line.json.len();
            chunk.push(line);
        }
        if chunk.len() >= CHUNK_RECORDS || bytes >= CHUNK_BYTES || (at_end && !chunk.is_empty()) {
            bytes = 0;
            if lines.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                break;
            }
        } else if at_end {
            std::thread::sleep(TURN);
        }
    }
    Ok(())
}

fn line(record: &Record, context: &report::fhir::Context<'_>, fhir: bool) -> Line {
    let time = rfc3339(record);
    // An AuditEvent's id is stream and number.
    let value = if fhir {
        report::fhir::audit_event(record, context)
    } else {
        let mut value = record.exposed();
        if let Some(members) = value.as_object_mut() {
            members.insert("time".to_owned(), json!(time));
            members.insert("log".to_owned(), json!(context.origin));
        }
        value
    };
    Line {
        seq: record.seq,
        kind: record.kind.map_or("-", Kind::as_str),
        is_good: record.outcome == Some(Outcome::Success),
        time,
        json: Value::to_string(&value),
    }
}
