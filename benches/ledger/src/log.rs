//! Logs to measure with: what a gateway records of searches for a patient's labs, by as many writers
//! as it takes to fill the batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Clock, FhirId, Kind, ResourceType, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::{Body, Entry, Ledger, LedgerOptions};

use crate::Outcome;

/// Writers that wait at a time, so that a large log is made in minutes.
const WRITERS: u64 = 1_024;
/// Patients whose records are released.
pub(crate) const PATIENTS: u64 = 100_000;

/// The logs' name.
pub(crate) const ORIGIN: &str = "bench.test/ledger";

/// A closed log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where `ledger` and `keys` are.
    pub folder: PathBuf,
    /// Records asked for.
    pub records: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Its first checkpoint.
    pub first: String,
    /// Records a second in each tenth of it.
    pub tenths: Vec<f64>,
}

struct Now;

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of its own has a clock of its own"
)]
impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// Opens a log, a new one if there is none.
pub(crate) fn open(folder: &Path) -> Outcome<Ledger> {
    std::fs::create_dir_all(folder)?;
    let (path, random) = (folder.join("kek"), Arc::new(SystemRandom));
    let kek =
        if path.exists() { FileKek::open(&path, random) } else { FileKek::create(&path, random) }?;
    let options = LedgerOptions::new(
        folder.join("ledger"),
        folder.join("keys"),
        ORIGIN,
        Arc::new(kek),
        Arc::new(Now),
        Arc::new(SystemRandom),
    );
    Ok(Ledger::open(options)?.0)
}

/// The record of one release.
pub(crate) fn entry(number: u64) -> Entry {
    let body = Body {
        subject: Some(format!("p_{:024}", number % 5_000)),
        patient: FhirId::parse(&format!("patient-{}", number % PATIENTS)).ok(),
        resources: (0..3)
            .filter_map(|part| FhirId::parse(&format!("obs-{number}-{part}")).ok())
            .map(|id| (ResourceType::Observation, id))
            .collect(),
        interaction: Some("search-type".into()),
        status: Some(200),
        bytes: Some(3_100),
        count: Some(3),
        body_sha256: Some([7; 32]),
        address: "203.0.113.77".parse().ok(),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64)".into()),
        ..Body::default()
    };
    Entry::new(Kind::PhiRelease, body)
}

/// Makes a log of this many records and closes it.
pub(crate) fn make(folder: &Path, records: u64) -> Outcome<Log> {
    let ledger = open(folder)?;
    let first = ledger.latest_checkpoint();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let (from, to) = (records * tenth / 10, records * (tenth + 1) / 10);
        let begun = Instant::now();
        runtime.block_on(fill(&ledger, from, to))?;
        tenths.push(rate(to - from, begun.elapsed()));
    }
    runtime.block_on(ledger.close())?;
    Ok(Log { folder: folder.to_owned(), records, bytes: bytes(folder)?, first, tenths })
}

async fn fill(ledger: &Ledger, from: u64, to: u64) -> Outcome<()> {
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let ledger = ledger.clone();
        writers.push(tokio::spawn(async move {
            let mut number = from + writer;
            while number < to {
                ledger.append(vec![entry(number)]).await?;
                number += WRITERS;
            }
            Ok::<_, ledger::LedgerFault>(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

fn bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder.join("ledger"))? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("segment-") {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
