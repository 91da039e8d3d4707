//! `phiward restore`: the database of a backup, and a new stream of the record that names the old one.
//! A restore is no rollback: the old stream is put aside and stays readable, whatever may have ended
//! since the backup is revoked, months that were shredded stay shredded. Nothing is changed before the
//! backup was read from end to end; a restore that was cut short keeps the server from starting and is
//! finished by running it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use domain::{Clock, Kind, Secret};
use keys::custody::Custody;
use keys::{SystemRandom, key_file};
use ledger::note::{Checkpoint, Note, VerifierKey};
use ledger::{Body, Entry, Ledger, LedgerOptions, Trouble, retention, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;
use store::dump::DumpError;

use crate::backup::{Backup, Manifest};
use crate::cli::AdminArg;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::{RESTORING, ROOT, ROOT_FILE, store_key};
use crate::lock::DataLock;
use crate::sealed_file::hex_bytes;
use crate::system::{STREAM_FILE, ledger_name, ledger_stream, stream_dir, streams};
use crate::{backup, init, output};

/// What it takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: phiward restore /backups/phiward-2026-11-27 -c /etc/phiward/phiward.toml"
)]
pub(crate) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// Replace what the database holds.
    #[arg(long)]
    replace: bool,
    /// A key-encryption key that is no longer in use, for an older backup.
    #[arg(long, value_name = "FILE")]
    kek: Option<PathBuf>,
    /// The newest checkpoint of the old stream that was kept elsewhere, as by a witness.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The new stream's number, where streams existed that neither this host nor the backup knows.
    #[arg(long, value_name = "N")]
    stream: Option<u32>,
    /// Write the configuration that the backup holds to this file, and restore nothing.
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArg,
}

/// What stands beside the keys while a restore is under way.
#[derive(Serialize, Deserialize)]
struct Marker {
    stream: u32,
    predecessor: String,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: RestoreArgs) -> Result<(), Failure> {
    let config = Config::read(&args.admin.config.config)?;
    let custody = backup::custody(&config, args.kek.as_deref())?;
    let summary = backup::check(&args.file, &ledger_name(&config), &*custody)?;
    let found = Backup::open(&args.file, &ledger_name(&config), &*custody)?;
    if let Some(path) = &args.write_config {
        return write_config(path, &found.manifest.config);
    }
    init::private_dir(&config.data)
        .map_err(|error| Failure::usage(format!("{}: {error}", config.data.display())))?;
    let _lock = DataLock::take(&config.data).map_err(|failure| {
        let what = format!("{}; a restore needs the server stopped", failure.message());
        Failure::trouble(Trouble::InUse, what)
    })?;
    let plan = Plan::new(&config, &args, &found.manifest, summary.stream, custody)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let shredded = runtime.block_on(plan.carry_out(found))?;
    if args.admin.json {
        return output::json(&json!({
            "rows": summary.rows, "stream": plan.marker.stream, "shredded_again": shredded,
        }));
    }
    output::line(&format!(
        "restored  {} rows; sessions, codes, refresh tokens and grants are revoked",
        summary.rows
    ));
    output::line(&format!(
        "ledger    goes on as stream {}; the streams before it stay readable with --dir",
        plan.marker.stream
    ));
    for period in shredded {
        output::line(&format!("shredded  {period} again"));
    }
    output::line(&format!("next      phiward serve -c {}", config.path.display()));
    Ok(())
}

fn write_config(path: &Path, text: &str) -> Result<(), Failure> {
    key_file::create(path, text.as_bytes()).map_err(|error| {
        let what = error.to_string();
        Failure::usage(what.trim_start_matches("key file ").to_owned())
    })?;
    output::line(&format!("wrote  {}", path.display()));
    Ok(())
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

/// What will be done; making it changes nothing.
struct Plan<'a> {
    config: &'a Config,
    custody: Arc<dyn Custody>,
    root: Secret<Vec<u8>>,
    marker: Marker,
    /// Whether the database may hold something.
    replace: bool,
    /// Whether an earlier run was cut short.
    resumes: bool,
}

impl<'a> Plan<'a> {
    fn new(
        config: &'a Config,
        args: &RestoreArgs,
        manifest: &Manifest,
        known: u32,
        custody: Arc<dyn Custody>,
    ) -> Result<Self, Failure> {
        let damaged = || failed(&args.file, &"holds what it must not");
        let wrapped = hex_bytes(&manifest.root).ok_or_else(damaged)?;
        let root = custody.unwrap(ROOT, &wrapped).map_err(|_| {
            let what = "its root key does not open under this key-encryption key (--kek FILE)";
            Failure::trouble(Trouble::KeyDoesNotOpen, format!("{}: {what}", args.file.display()))
        })?;
        let path = config.keys_dir.join(ROOT_FILE);
        if path.exists() && !args.replace {
            let own = key_file::read(&path).map_err(|error| Failure::usage(error.to_string()))?;
            let same = custody.unwrap(ROOT, own.expose()).is_ok_and(|own| own == root);
            if !same {
                let what = "is another installation's; with --replace it is put aside";
                return Err(failed(&path, &what));
            }
        }
        let path = config.keys_dir.join(RESTORING);
        let (marker, resumes) = match std::fs::read(&path) {
            Ok(bytes) => {
                (serde_json::from_slice(&bytes).map_err(|_| failed(&path, &"malformed"))?, true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let stream = new_stream(config, args, known)?;
                (Marker { stream, predecessor: predecessor(config, args, manifest)? }, false)
            }
            Err(error) => return Err(failed(&path, &error)),
        };
        Ok(Self { config, custody, root, marker, replace: args.replace || resumes, resumes })
    }

    async fn carry_out(&self, backup: Backup) -> Result<Vec<String>, Failure> {
        let config = self.config;
        let store = Store::open_to_replace(
            &config.database,
            store_key(self.root.expose())?,
            Arc::new(SystemRandom),
        )
        .await
        .map_err(|error| Failure::usage(error.to_string()))?;
        let blank = store.is_blank().await.map_err(|error| Failure::usage(error.to_string()))?;
        if !blank && !self.replace {
            store.close().await;
            return Err(Failure::usage(
                "the database is not empty; with --replace what it holds is replaced",
            ));
        }
        key_file::create_dir(&config.keys_dir)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let path = config.keys_dir.join(RESTORING);
        let bytes = serde_json::to_vec(&self.marker).map_err(|_| Failure::internal())?;
        replace(&path, &bytes)?;
        let lines = Box::new(backup.lines);
        let loaded = store.load(lines, true, SystemClock.now()).await;
        store.close().await;
        loaded.map_err(|error: DumpError| {
            if !self.resumes {
                // Nothing was done yet that would have to be finished.
                let _gone = std::fs::remove_file(&path);
            }
            Failure::check(format!("the database is as it was: {error}"))
        })?;
        self.put_root()?;
        self.put_aside()?;
        let shredded = self.shred_again()?;
        self.begin_stream().await?;
        std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        Ok(shredded)
    }

    /// The root key that fits the database.
    fn put_root(&self) -> Result<(), Failure> {
        let path = self.config.keys_dir.join(ROOT_FILE);
        if let Ok(own) = key_file::read(&path) {
            if self.custody.unwrap(ROOT, own.expose()).is_ok_and(|own| own == self.root) {
                return Ok(());
            }
            let aside = path.with_extension("key.before-restore");
            std::fs::rename(&path, &aside).map_err(|error| failed(&aside, &error))?;
        }
        let wrapped =
            self.custody.wrap(ROOT, self.root.expose()).map_err(|_| Failure::internal())?;
        replace(&path, &wrapped)
    }

    /// The old stream and its keys, out of the way and still readable.
    fn put_aside(&self) -> Result<(), Failure> {
        let config = self.config;
        let current = ledger_stream(config);
        let keys = config.ledger_keys();
        if current == self.marker.stream && keys.is_dir() {
            return Ok(());
        }
        let aside = |path: &Path| {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".stream-{current}"));
            path.with_file_name(name)
        };
        for path in [&config.ledger.dir, &keys] {
            if path.exists() {
                let to = aside(path);
                if to.exists() {
                    return Err(failed(&to, &"is in the way; move it elsewhere"));
                }
                std::fs::rename(path, &to).map_err(|error| failed(path, &error))?;
            }
        }
        let fresh = keys.with_extension("new");
        key_file::create_dir(&fresh).map_err(|error| Failure::usage(error.to_string()))?;
        replace(&fresh.join(STREAM_FILE), format!("{}\n", self.marker.stream).as_bytes())?;
        std::fs::rename(&fresh, &keys).map_err(|error| failed(&keys, &error))?;
        sync_dir(&config.keys_dir)
    }

    /// What the old logs say was shredded is destroyed, should its key have come back.
    fn shred_again(&self) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        for place in streams(self.config) {
            if place.stream == self.marker.stream {
                continue;
            }
            let dir = stream_dir(self.config, place.stream);
            if dir.is_dir() {
                let periods = retention::shred_again(&dir, &place.keys_dir)
                    .map_err(|error| failed(&dir, &error))?;
                all.extend(periods.into_iter().map(retention::period_text));
            }
        }
        Ok(all)
    }

    async fn begin_stream(&self) -> Result<(), Failure> {
        let config = self.config;
        let options = LedgerOptions {
            predecessor: Some(self.marker.predecessor.clone()),
            ..LedgerOptions::new(
                &config.ledger.dir,
                config.ledger_keys(),
                stream::origin(&ledger_name(config), self.marker.stream),
                Arc::clone(&self.custody),
                Arc::new(SystemClock),
                Arc::new(SystemRandom),
            )
        };
        let (ledger, _) = Ledger::open(options)?;
        let body = Body {
            subject: Some(format!("local uid {}", rustix::process::getuid().as_raw())),
            role: Some("operator".to_owned()),
            detail: Some(
                "a backup was restored; sessions, codes and grants are revoked".to_owned(),
            ),
            predecessor: Some(self.marker.predecessor.clone()),
            ..Body::default()
        };
        let recorded = ledger.append(vec![Entry::new(Kind::BackupRestored, body)]).await;
        let closed = ledger.close().await;
        recorded
            .map(|_| ())
            .and(closed)
            .map_err(|error| Failure::trouble(Trouble::NotWritable, error.to_string()))
    }
}

fn new_stream(config: &Config, args: &RestoreArgs, known: u32) -> Result<u32, Failure> {
    let known = match ledger_stream(config) {
        0 => {
            return Err(failed(
                &config.ledger_keys().join(STREAM_FILE),
                &"is not a stream's number",
            ));
        }
        own if config.ledger_keys().is_dir() => own.max(known),
        _ => known,
    };
    match args.stream {
        None => known.checked_add(1).ok_or_else(Failure::internal),
        Some(asked) if asked > known => Ok(asked),
        Some(_) => Err(Failure::usage(format!("--stream: {known} is taken; a greater number"))),
    }
}

/// The newest note of the old stream that can be had, signed by its key.
fn predecessor(
    config: &Config,
    args: &RestoreArgs,
    manifest: &Manifest,
) -> Result<String, Failure> {
    let key =
        VerifierKey::parse(&manifest.verifier_key).map_err(|error| failed(&args.file, &error))?;
    let size = |text: &str| -> Option<u64> {
        let note = Note::parse(text).ok().filter(|note| note.signed_by(&key))?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        (checkpoint.origin == key.name()).then_some(checkpoint.size)
    };
    let own = size(&manifest.checkpoint)
        .ok_or_else(|| failed(&args.file, &"its checkpoint is not signed by the stream's key"))?;
    let mut newest = (own, manifest.checkpoint.clone());
    if let Some(path) = &args.checkpoint {
        let text = std::fs::read_to_string(path).map_err(|error| failed(path, &error))?;
        let size = size(&text).ok_or_else(|| {
            let what = format!("{}: no checkpoint of {}", path.display(), key.name());
            Failure::trouble(Trouble::ForeignCheckpoint, what)
        })?;
        newest = (size, text);
    }
    if let Ok(text) = ledger::proof::checkpoint(&config.ledger.dir)
        && let Some(size) = size(&text)
        && size > newest.0
    {
        newest = (size, text);
    }
    Ok(newest.1)
}

/// Writes a file of mode 0600 whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = path.with_extension("part");
    if part.exists() {
        std::fs::remove_file(&part).map_err(|error| failed(&part, &error))?;
    }
    key_file::create(&part, bytes).map_err(|error| Failure::usage(error.to_string()))?;
    std::fs::rename(&part, path).map_err(|error| failed(path, &error))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn sync_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(dir, &error))
}
