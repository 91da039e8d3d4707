//! The ledger's part of the benchmark. Each figure is a ratio of two things measured in the same
//! minute on the same disk: appending beside the raw disk with the same bytes in the same groups,
//! verifying beside the core's SHA-256.

mod append;
mod log;
mod proof;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use report::{page, summary};

/// What a step gives, or why the benchmark ends.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Records of the large log.
    pub records: u64,
    /// How long each case lasts in each round.
    pub duration: Duration,
    /// Rounds.
    pub rounds: u32,
    /// Where the data goes; on the disk that is measured.
    pub folder: PathBuf,
    /// This program, which is started again to measure a verifier's memory.
    pub own: PathBuf,
}

/// Everything measured.
#[derive(Clone, Debug)]
pub struct Results {
    /// Of each round: appending with 64 writers waiting.
    pub appends: Vec<append::Append>,
    /// The large log.
    pub log: log::Log,
    /// Of each round: verifying it.
    pub verifications: Vec<proof::Verification>,
    /// Of each round: the same of its first tenth.
    pub small: Vec<proof::Verification>,
    /// Of each round: one inclusion proof of a record in the middle, in seconds.
    pub proofs: Vec<f64>,
}

/// The argument by which this program verifies and says what it took.
pub const CHILD: &str = "--verify-and-tell";

/// Measures everything.
///
/// # Errors
/// Whatever stands in the way; no room on the disk, above all.
pub fn measure(options: &Options) -> Outcome<Results> {
    let folder = tempfile::Builder::new().prefix("ledger-bench").tempdir_in(&options.folder)?;
    room(folder.path(), options.records)?;
    let mut appends = Vec::new();
    for round in 0..options.rounds {
        appends.push(append::measure(&folder.path().join(format!("append-{round}")), options)?);
    }
    let log = log::make(&folder.path().join("large"), options.records)?;
    let tenth = log::make(&folder.path().join("small"), (options.records / 10).max(1))?;
    let (mut verifications, mut small, mut proofs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        verifications.push(proof::verify(&options.own, &log)?);
        small.push(proof::verify(&options.own, &tenth)?);
        proofs.push(proof::inclusion(&log)?);
    }
    Ok(Results { appends, log, verifications, small, proofs })
}

/// In the process that [`CHILD`] starts: verifies, and prints what it took.
///
/// # Errors
/// If the log does not verify.
pub fn child(arguments: &[String]) -> Outcome<()> {
    let [folder] = arguments else { return Err("one folder".into()) };
    proof::tell(Path::new(folder))
}

/// About 600 bytes for each record, twice, and some.
fn room(folder: &Path, records: u64) -> Outcome<()> {
    let space = rustix::fs::statvfs(folder)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let needed = records.saturating_mul(700) + (2 << 30);
    if free < needed {
        let gigabytes = needed >> 30;
        return Err(format!(
            "{} has no room for {records} records: {gigabytes} GB are needed; use --records N",
            folder.display()
        )
        .into());
    }
    Ok(())
}
