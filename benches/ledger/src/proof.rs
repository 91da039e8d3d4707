//! Verifying a log in a process of its own, beside what one core can hash in the same seconds; and
//! making one proof.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ledger::note::VerifierKey;
use ledger::verify::{Verdict, VerifyOptions, verify as verify_ledger};
use serde::{Deserialize, Serialize};

use crate::log::{Log, rate};
use crate::{CHILD, Outcome};

/// What one verification took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// Bytes a second.
    pub rate: f64,
    /// What one core hashes with SHA-256, in bytes a second: before and after, averaged.
    pub sha256: f64,
    /// The most memory that the process had, in MiB.
    pub memory: f64,
}

/// Starts this program again to verify the log.
pub(crate) fn verify(own: &Path, log: &Log) -> Outcome<Verification> {
    let output = Command::new(own).arg(CHILD).arg(&log.folder).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// In the process that was started.
#[allow(clippy::print_stdout, reason = "how the process that was started answers")]
pub(crate) fn tell(folder: &Path) -> Outcome<()> {
    let key = std::fs::read_to_string(folder.join("keys/stable.vkey"))?;
    let mut options = VerifyOptions::new(VerifierKey::parse(key.trim())?);
    options.expectations.push(std::fs::read_to_string(folder.join("keys/checkpoint"))?);
    let before = sha256();
    let (begun, mut bytes) = (Instant::now(), 0);
    let report =
        verify_ledger(&folder.join("ledger"), &options, &mut |progress| bytes = progress.done)?;
    let took = begun.elapsed();
    let after = sha256();
    if report.verdict != Verdict::Pass {
        return Err(format!("the log does not verify: {:?}", report.gaps.first()).into());
    }
    let found = Verification {
        rate: rate(bytes, took),
        sha256: f64::midpoint(before, after),
        memory: peak()?,
    };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// What one core hashes in a second, in the blocks in which it does best.
fn sha256() -> f64 {
    let block = vec![0x63; 64 << 10];
    let (begun, mut bytes) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(300) {
        std::hint::black_box(keys::sha256(std::hint::black_box(&block)));
        bytes += 64 << 10;
    }
    rate(bytes, begun.elapsed())
}

/// `VmHWM` of this process, in MiB.
fn peak() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no memory row")?;
    let kib = line.split_whitespace().nth(1).ok_or("an odd memory row")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// The seconds that one inclusion proof takes.
pub(crate) fn inclusion(log: &Log) -> Outcome<f64> {
    let begun = Instant::now();
    ledger::proof::inclusion(&log.folder.join("ledger"), log.records / 2)?;
    Ok(begun.elapsed().as_secs_f64())
}
