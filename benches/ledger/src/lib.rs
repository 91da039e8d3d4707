//! The ledger's part of the benchmark. Each figure is a ratio of two things measured in the same
//! minute on the same disk: appending beside the raw disk with the same bytes in the same groups,
//! verifying beside the core's SHA-256.

mod append;
mod conditions;
mod log;
mod page;
mod proof;
mod recovery;
mod report;
mod search;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use conditions::repository;
pub use page::put;
pub use report::{section, summary};

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
    /// Where and when.
    pub conditions: conditions::Conditions,
    /// Of each round: appending with 64 writers waiting.
    pub appends: Vec<append::Append>,
    /// Of each round: appending with one.
    pub alone: Vec<append::Append>,
    /// The large log.
    pub log: log::Log,
    /// Of each round: verifying it.
    pub verifications: Vec<proof::Verification>,
    /// Of each round: one inclusion proof of a record in the middle, in seconds.
    pub proofs: Vec<f64>,
    /// Searching it.
    pub search: search::Search,
    /// Logs of a hundredth, a tenth and three tenths of it: records, bytes, and what verifying took.
    pub smaller: Vec<(u64, u64, Vec<proof::Verification>)>,
    /// Of each round: seconds for 100 MB that a start walks, of the log of a tenth.
    pub recoveries: Vec<f64>,
}

/// The argument by which this program verifies and says what it took.
pub const CHILD: &str = "--verify-and-tell";

/// Measures everything; `at` is told what comes next.
///
/// # Errors
/// Whatever stands in the way; no room on the disk, above all.
pub fn measure(options: &Options, at: &dyn Fn(&str)) -> Outcome<Results> {
    let begun = Instant::now();
    let folder = tempfile::Builder::new().prefix("ledger-bench").tempdir_in(&options.folder)?;
    clear_when_interrupted(folder.path().to_owned())?;
    room(folder.path(), options.records)?;
    let mut conditions = conditions::Conditions::before(folder.path());
    let (mut appends, mut alone) = (Vec::new(), Vec::new());
    at("appending, with 64 writers and with one");
    for _ in 0..options.rounds {
        appends.push(append::measure(&folder.path().join("append"), options, 64)?);
        alone.push(append::measure(&folder.path().join("append"), options, 1)?);
    }
    let (mut smaller, mut recoveries) = (Vec::new(), Vec::new());
    for percent in [1, 10, 30] {
        at(&format!("a log of {percent} %"));
        let path = folder.path().join("smaller");
        let log = log::make(&path, (options.records / 100 * percent).max(1))?;
        let mut verifications = Vec::new();
        for _ in 0..options.rounds {
            verifications.push(proof::verify(&options.own, &log)?);
        }
        if percent == 10 {
            for _ in 0..options.rounds {
                recoveries.push(recovery::measure(&log)?);
            }
        }
        smaller.push((log.records, log.bytes, verifications));
        std::fs::remove_dir_all(path)?;
    }
    at("the large log");
    let log = log::make(&folder.path().join("large"), options.records)?;
    at("verifying it");
    let (mut verifications, mut proofs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        verifications.push(proof::verify(&options.own, &log)?);
        proofs.push(proof::inclusion(&log)?);
    }
    at("searching it");
    let search = search::measure(&log)?;
    conditions.after(begun.elapsed());
    Ok(Results {
        conditions,
        appends,
        alone,
        log,
        verifications,
        proofs,
        search,
        smaller,
        recoveries,
    })
}

/// In the process that [`CHILD`] starts: verifies, and prints what it took.
///
/// # Errors
/// If the log does not verify.
pub fn child(arguments: &[String]) -> Outcome<()> {
    let [folder] = arguments else { return Err("one folder".into()) };
    proof::tell(Path::new(folder))
}

/// An interrupted run leaves no gigabytes behind.
#[allow(clippy::disallowed_methods, reason = "main is in the middle of measuring")]
fn clear_when_interrupted(folder: PathBuf) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            // Once more, for what was being made meanwhile.
            let _ = std::fs::remove_dir_all(&folder);
            let _ = std::fs::remove_dir_all(&folder);
            std::process::exit(130);
        }
    });
    Ok(())
}

/// About 500 bytes for each record of the large log, those of its index, a smaller log beside, and some.
fn room(folder: &Path, records: u64) -> Outcome<()> {
    let space = rustix::fs::statvfs(folder)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let needed = records.saturating_mul(900).saturating_add(2 << 30);
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
