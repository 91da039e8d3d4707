//! `phiward backup`: database, ledger position and configuration in one sealed file, from one moment,
//! beside a running server. It never holds a key of the ledger's or the key-encryption key. A file is
//! there whole, proven readable, or not at all.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use domain::Clock;
use keys::custody::{Chain, Custody};
use keys::{SystemRandom, key_file};
use ledger::{Trouble, proof};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;
use store::dump::Inspector;

use crate::admin::{Command, Work};
use crate::cli::AdminArg;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::{Keyring, ROOT_FILE};
use crate::ledger_access::carry_out;
use crate::sealed_file::{FileKind, Lines, Opened, Writer, Written, hex_text};
use crate::system::{ledger_name, ledger_stream};
use crate::{kek, output};

/// What it takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: phiward backup /backups/phiward-2026-11-27\n         phiward backup --verify /backups/phiward-2026-11-27"
)]
pub(crate) struct BackupArgs {
    /// The file to write; an existing one is left alone.
    file: PathBuf,
    /// Read a backup from end to end and say what is in it; write nothing.
    #[arg(long)]
    verify: bool,
    /// A key-encryption key that is no longer in use, for an older backup.
    #[arg(long, value_name = "FILE", requires = "verify")]
    kek: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArg,
}

/// The first sealed line. Never a key of the ledger's, never the key-encryption key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The number of the stream that was written.
    pub(crate) stream: u32,
    /// The stream's public key.
    pub(crate) verifier_key: String,
    /// The stream's last signed note.
    pub(crate) checkpoint: String,
    /// The root key, as the key-encryption key wrapped it.
    pub(crate) root: String,
    /// The configuration file.
    pub(crate) config: String,
}

/// A backup being read.
pub(crate) struct Backup {
    pub(crate) created: i64,
    pub(crate) manifest: Manifest,
    pub(crate) lines: Lines,
}

impl Backup {
    /// Opens a backup of this node's.
    pub(crate) fn open(path: &Path, name: &str, custody: &dyn Custody) -> Result<Self, Failure> {
        let Opened { head, lines, manifest } = Opened::open(FileKind::Backup, path, name, custody)?;
        let manifest = serde_json::from_slice(&manifest)
            .map_err(|_| Failure::check(format!("{}: is of a newer version", path.display())))?;
        Ok(Self { created: head.created, manifest, lines })
    }
}

/// What a backup holds.
pub(crate) struct Summary {
    pub(crate) created: i64,
    /// The greatest number of a stream that it knows.
    pub(crate) stream: u32,
    pub(crate) rows: u64,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: BackupArgs) -> Result<(), Failure> {
    let config = Config::read(&args.admin.config.config)?;
    if args.verify {
        let custody = custody(&config, args.kek.as_deref())?;
        let summary = check(&args.file, &ledger_name(&config), &*custody)?;
        if args.admin.json {
            return output::json(&json!({
                "whole": true, "created_ms": summary.created,
                "stream": summary.stream, "rows": summary.rows,
            }));
        }
        output::line(&format!(
            "whole  {}: {} rows, stream {}",
            args.file.display(),
            summary.rows,
            summary.stream
        ));
        return Ok(());
    }
    let made = make(&config, &args.file)?;
    let work = Work::BackupMade { sha256: hex_text(&made.sha256), bytes: made.bytes };
    if let Err(failure) = carry_out(&config, None, &Command::Work(work)) {
        // A backup that nobody can see was made must not lie about.
        let _removed = std::fs::remove_file(&args.file);
        return Err(failure);
    }
    let sha256 = hex_text(&made.sha256);
    if args.admin.json {
        return output::json(&json!({
            "file": args.file.display().to_string(), "bytes": made.bytes, "sha256": sha256,
        }));
    }
    output::line(&format!(
        "wrote  {} ({} bytes, SHA-256 {sha256})",
        args.file.display(),
        made.bytes
    ));
    output::line("it opens with the key-encryption key only: keep that one elsewhere");
    Ok(())
}

/// The configured custody, and an older key-encryption key where one is named.
pub(crate) fn custody(config: &Config, older: Option<&Path>) -> Result<Arc<dyn Custody>, Failure> {
    let custody = kek::custody(config)?;
    match older {
        None => Ok(custody),
        Some(path) => Ok(Arc::new(Chain(vec![custody, Arc::new(kek::open_file(path)?)]))),
    }
}

/// Writes a backup and proves it readable before it takes its name.
fn make(config: &Config, path: &Path) -> Result<Written, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", path.display()));
    if path.exists() {
        return Err(failed(&"exists already and is left alone"));
    }
    let mut name = path.file_name().ok_or_else(|| failed(&"is no file name"))?.to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    if part.exists() {
        std::fs::remove_file(&part).map_err(|error| failed(&error))?;
    }
    let done = write(config, &part, &failed);
    let proven = done.and_then(|written| {
        let custody = kek::custody(config)?;
        check(&part, &ledger_name(config), &*custody)?;
        // A hard link, and not a rename: it never takes the place of another file.
        std::fs::hard_link(&part, path).map_err(|error| failed(&error))?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))?;
        Ok(written)
    });
    let _gone = std::fs::remove_file(&part);
    proven
}

fn write(
    config: &Config,
    part: &Path,
    failed: &dyn Fn(&dyn std::fmt::Display) -> Failure,
) -> Result<Written, Failure> {
    let keyring = Keyring::open_existing(config)?;
    let manifest = manifest(config)?;
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(part);
    let file = file.map_err(|error| failed(&error))?;
    let created = SystemClock.now().millis();
    let mut writer =
        Writer::new(FileKind::Backup, file, &ledger_name(config), created, &*keyring.custody)
            .map_err(|error| failed(&error))?;
    let line = serde_json::to_vec(&manifest).map_err(|_| Failure::internal())?;
    writer.line(&line).map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    runtime.block_on(async {
        let store = Store::open(&config.database, keyring.store_key()?, Arc::new(SystemRandom))
            .await
            .map_err(|error| Failure::usage(error.to_string()))?;
        let dumped = store.dump(&mut |line: &[u8]| writer.line(line)).await;
        store.close().await;
        dumped.map_err(|error| failed(&error))
    })?;
    writer.finish().map_err(|error| failed(&error))
}

/// What stands beside the database.
fn manifest(config: &Config) -> Result<Manifest, Failure> {
    let missing = |what: String| Failure::trouble(Trouble::NoLedger, what);
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path)
            .map_err(|error| missing(format!("{}: {error}", path.display())))
    };
    let checkpoint = proof::checkpoint(&config.ledger.dir)
        .map_err(|error| missing(format!("{}: {error}", config.ledger.dir.display())))?;
    let root = key_file::read(&config.keys_dir.join(ROOT_FILE))
        .map_err(|error| Failure::trouble(Trouble::KeyMissing, error.to_string()))?;
    Ok(Manifest {
        stream: ledger_stream(config),
        verifier_key: read(config.ledger_keys().join("stable.vkey"))?.trim().to_owned(),
        checkpoint,
        root: hex_text(root.expose()),
        config: read(config.path.clone())?,
    })
}

/// Reads a backup from end to end.
pub(crate) fn check(path: &Path, name: &str, custody: &dyn Custody) -> Result<Summary, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::check(format!("{}: {what}", path.display()));
    let backup = Backup::open(path, name, custody)?;
    let (created, stream) = (backup.created, backup.manifest.stream);
    let mut inspector = Inspector::default();
    for line in backup.lines {
        let line = line.map_err(|error| failed(&error))?;
        inspector.line(&line).map_err(|error| failed(&error))?;
    }
    let (rows, streams) = inspector.end().map_err(|error| failed(&error))?;
    Ok(Summary { created, stream: stream.max(streams), rows })
}
