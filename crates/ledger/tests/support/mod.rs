//! A ledger in a temporary directory, with a clock that tests can move.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

pub mod outside;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::{Clock, FhirId, Kind, ResourceType, Timestamp};
use keys::SystemRandom;
use keys::custody::{Custody, FileKek};
use ledger::note::VerifierKey;
use ledger::verify::{Report, VerifyError, VerifyOptions, verify};
use ledger::{Body, Disk, Entry, GapKind, Ledger, LedgerOptions, Opened, SystemDisk};
use tempfile::TempDir;

pub const ORIGIN: &str = "phiward.test/ledger";
/// 2026-11-24T10:00:00Z.
pub const START: i64 = 1_795_514_400_000;
pub const DAY: i64 = 86_400_000;

pub struct TestClock {
    base: Instant,
    offset: AtomicI64,
}

impl TestClock {
    pub fn advance(&self, millis: i64) {
        self.offset.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.base.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(START + passed + self.offset.load(Ordering::SeqCst))
    }
}

/// Counts syncs, and fails from a given one on.
pub struct CountingDisk {
    pub syncs: AtomicU64,
    pub writes: AtomicU64,
    pub fail_sync_at: AtomicU64,
    pub fail_write_at: AtomicU64,
}

impl Default for CountingDisk {
    fn default() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            fail_sync_at: AtomicU64::new(u64::MAX),
            fail_write_at: AtomicU64::new(u64::MAX),
        }
    }
}

impl Disk for CountingDisk {
    fn write(&self, file: &std::fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number >= self.fail_write_at.load(Ordering::SeqCst) {
            // A short write, then no room.
            SystemDisk.write(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &std::fs::File) -> std::io::Result<()> {
        let number = self.syncs.fetch_add(1, Ordering::SeqCst);
        if number >= self.fail_sync_at.load(Ordering::SeqCst) {
            return Err(std::io::Error::from_raw_os_error(5));
        }
        SystemDisk.sync(file)
    }
}

pub struct Bench {
    pub root: TempDir,
    pub clock: Arc<TestClock>,
    pub custody: Arc<dyn Custody>,
    pub disk: Arc<CountingDisk>,
}

impl Bench {
    pub fn new() -> Self {
        Self::at(TempDir::new().unwrap())
    }

    /// Where syncs cost nothing, for tests that open hundreds of times.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        Self::at(if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap())
    }

    /// The same, with keys wrapped by a custody that others use, too.
    pub fn in_memory_with(custody: Arc<dyn Custody>) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        Self::with(root.unwrap(), custody)
    }

    fn at(root: TempDir) -> Self {
        let custody = FileKek::create(&root.path().join("kek"), Arc::new(SystemRandom)).unwrap();
        Self::with(root, Arc::new(custody))
    }

    pub fn with(root: TempDir, custody: Arc<dyn Custody>) -> Self {
        Self {
            root,
            clock: Arc::new(TestClock { base: Instant::now(), offset: AtomicI64::new(0) }),
            custody,
            disk: Arc::default(),
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("ledger")
    }

    pub fn keys_dir(&self) -> PathBuf {
        self.root.path().join("keys")
    }

    pub fn options(&self) -> LedgerOptions {
        let mut options = LedgerOptions::new(
            self.dir(),
            self.keys_dir(),
            ORIGIN,
            Arc::clone(&self.custody),
            self.clock.clone(),
            Arc::new(SystemRandom),
        );
        options.segment_bytes = 256 << 10;
        options.ballast_bytes = 64 << 10;
        options.disk = self.disk.clone();
        options.checkpoint_every = Duration::from_secs(3600);
        options
    }

    pub fn open(&self) -> (Ledger, Opened) {
        Ledger::open(self.options()).unwrap()
    }

    pub fn key(&self) -> VerifierKey {
        let text = std::fs::read_to_string(self.keys_dir().join("stable.vkey")).unwrap();
        VerifierKey::parse(&text).unwrap()
    }

    pub fn verify(&self, expectations: &[String]) -> Report {
        verify_dir(&self.dir(), &self.key(), expectations)
    }

    /// Beside a running writer.
    pub fn verify_live(&self, expectations: &[String]) -> Report {
        let mut options = VerifyOptions::new(self.key());
        options.expectations = expectations.to_vec();
        verify(&self.dir(), &options, &mut |_| {}).unwrap()
    }

    pub fn reader(&self) -> ledger::read::Reader {
        ledger::read::Reader::open(
            &self.dir(),
            &self.keys_dir(),
            ORIGIN,
            1,
            Arc::clone(&self.custody),
        )
    }

    pub fn checkpoint(&self) -> String {
        ledger::proof::checkpoint(&self.dir()).unwrap()
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "phl"))
            .collect();
        found.sort();
        found
    }
}

pub fn verify_dir(dir: &Path, key: &VerifierKey, expectations: &[String]) -> Report {
    try_verify(dir, key, expectations).unwrap()
}

pub fn try_verify(
    dir: &Path,
    key: &VerifierKey,
    expectations: &[String],
) -> Result<Report, VerifyError> {
    let mut options = VerifyOptions::new(key.clone());
    options.expectations = expectations.to_vec();
    options.patience = Duration::ZERO;
    verify(dir, &options, &mut |_| {})
}

pub fn kinds(report: &Report) -> Vec<GapKind> {
    report.gaps.iter().map(|gap| gap.kind).collect()
}

pub fn entry(number: u32) -> Entry {
    Entry::new(
        Kind::PhiRelease,
        Body {
            subject: Some("p_canary-subject".into()),
            patient: FhirId::parse(&format!("canary-patient-{number}")).ok(),
            resources: vec![(
                ResourceType::Observation,
                FhirId::parse(&format!("canary-observation-{number}")).unwrap(),
            )],
            interaction: Some("canary-interaction".into()),
            user_agent: Some("canary-agent".into()),
            address: "203.0.113.77".parse().ok(),
            count: Some(number),
            ..Body::default()
        },
    )
}

/// Every file under a directory, tiles included.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Whole batches of a segment file: offset and length of each.
pub fn batches(bytes: &[u8]) -> Vec<(usize, usize)> {
    let starts: Vec<usize> =
        (0..bytes.len().saturating_sub(3)).filter(|at| &bytes[*at..at + 4] == b"PHWB").collect();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    starts
        .iter()
        .enumerate()
        .map(|(index, start)| (*start, starts.get(index + 1).copied().unwrap_or(end) - start))
        .collect()
}

/// Copies a directory with all that is in it, modes too.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}
