//! Measures appending against the disk's own rate of write and sync, side by side in one run:
//! `cargo run --release -p phiward-ledger --example append_rate -- DIR`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use std::error::Error;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use domain::{Clock, FhirId, Kind, ResourceType, Timestamp};
use keys::SystemRandom;
use keys::custody::FileKek;
use ledger::verify::{VerifyOptions, verify};
use ledger::{Body, Entry, Ledger, LedgerOptions};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }
}

const RUN: Duration = Duration::from_secs(3);

fn entry(number: u32) -> Result<Entry, Box<dyn Error>> {
    let body = Body {
        subject: Some("p_amina".into()),
        patient: Some(FhirId::parse(&format!("patient-{}", number % 1000))?),
        resources: vec![(ResourceType::Observation, FhirId::parse(&format!("o{number}"))?)],
        interaction: Some("read".into()),
        body_sha256: Some([7; 32]),
        jti_hash: Some([8; 32]),
        status: Some(200),
        bytes: Some(2048),
        user_agent: Some("measure/1".into()),
        address: Some("203.0.113.7".parse()?),
        ..Body::default()
    };
    Ok(Entry::new(Kind::PhiRelease, body))
}

fn raw(dir: &std::path::Path, size: usize) -> Result<f64, Box<dyn Error>> {
    let path = dir.join("raw");
    let file = std::fs::File::options().create(true).truncate(true).write(true).open(&path)?;
    let bytes = vec![7; size];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < RUN {
        file.write_all_at(&bytes, u64::from(count) * size as u64)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: append_rate DIR (which must not exist)")?;
    let dir = std::path::PathBuf::from(dir);
    std::fs::create_dir(&dir)?;
    for size in [4096, 40_960] {
        println!("raw write + fdatasync, {size} bytes: {:.0} per second", raw(&dir, size)?);
    }
    let random = Arc::new(SystemRandom);
    let custody = Arc::new(FileKek::create(&dir.join("kek"), random.clone())?);
    let (log, keys) = (dir.join("ledger"), dir.join("keys"));
    let options = LedgerOptions::new(
        &log,
        &keys,
        "measure.test/ledger",
        custody,
        Arc::new(SystemClock),
        random,
    );
    let (ledger, _) = Ledger::open(options)?;
    for tasks in [1_u32, 16, 64, 256, 1024] {
        let start = Instant::now();
        let running: Vec<_> = (0..tasks)
            .map(|task| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    let mut number = 0_u32;
                    while start.elapsed() < RUN {
                        let Ok(entry) = entry(task * 100_000 + number) else { break };
                        if ledger.append(vec![entry]).await.is_err() {
                            break;
                        }
                        number += 1;
                    }
                    number
                })
            })
            .collect();
        let mut count = 0_u32;
        for task in running {
            count += task.await?;
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        println!("{tasks} appending at once: {rate:.0} records per second");
    }
    println!("raw again: {:.0} per second", raw(&dir, 4096)?);
    ledger.close().await?;
    let start = Instant::now();
    let options = VerifyOptions::new(ledger.verifier_key().clone());
    let report = verify(&log, &options, &mut |_| {})?;
    let bytes: u64 =
        std::fs::read_dir(&log)?.flatten().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    println!(
        "verify: {} of {} records, {} bytes in {:?}",
        report.verdict.as_str(),
        report.records,
        bytes,
        start.elapsed()
    );
    Ok(())
}
