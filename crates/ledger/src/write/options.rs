//! What a ledger is opened with; everything that is not a fact of the disk is handed in here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::Clock;
use keys::Random;
use keys::custody::Custody;

use crate::disk::{Disk, SystemDisk};

/// What a ledger needs to open.
#[derive(Clone)]
pub struct LedgerOptions {
    /// The ledger's directory.
    pub dir: PathBuf,
    /// Where its keys and its last checkpoint are kept; outside `dir`.
    pub keys_dir: PathBuf,
    /// The log's name, which is also its stable key's name; like `example.org/ledger`.
    pub origin: String,
    /// The stream's number.
    pub stream: u32,
    /// The last signed note of the stream before, for the first record of this one.
    pub predecessor: Option<String>,
    /// What wraps the keys.
    pub custody: Arc<dyn Custody>,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
    /// Where salts and keys come from.
    pub random: Arc<dyn Random>,
    /// How the live segment is written.
    pub disk: Arc<dyn Disk>,
    /// Room kept in the ledger's directory, so that the stop can be recorded on a full disk.
    pub ballast_bytes: u64,
    /// Whether blind tokens stand in the leaves; if not, only whoever opens a record can find it.
    pub tokens_in_leaves: bool,
    /// A segment is preallocated to this many bytes and ends when they are full.
    pub segment_bytes: u64,
    /// A segment that is not empty ends at this age.
    pub segment_age: Duration,
    /// After this long without a record there is a heartbeat.
    pub heartbeat: Duration,
    /// A grown log is signed this often.
    pub checkpoint_every: Duration,
    /// Checkpoints of this log that are kept elsewhere; it is not opened if it is less than they say.
    pub kept: Vec<String>,
}

impl LedgerOptions {
    /// The stream that the origin names, 64 MiB or 15 minutes a segment, a heartbeat a minute, a
    /// checkpoint every 5 seconds.
    pub fn new(
        dir: impl Into<PathBuf>,
        keys_dir: impl Into<PathBuf>,
        origin: impl Into<String>,
        custody: Arc<dyn Custody>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let origin = origin.into();
        Self {
            dir: dir.into(),
            keys_dir: keys_dir.into(),
            stream: crate::stream::number(&origin),
            origin,
            predecessor: None,
            custody,
            clock,
            random,
            disk: Arc::new(SystemDisk),
            ballast_bytes: 64 << 20,
            tokens_in_leaves: true,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(15 * 60),
            heartbeat: Duration::from_secs(60),
            checkpoint_every: Duration::from_secs(5),
            kept: Vec::new(),
        }
    }
}
