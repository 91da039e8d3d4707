//! What a witness remembers: for every log, the last head it cosigned, durable before anybody is told.
//! A memory that is missing, damaged, older than it was or another witness's is refused; only a whole
//! directory that is put back unseen cannot be told (see the how-to).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use domain::Secret;
use keys::ed25519::SigningKey;
use keys::key_file::{self, KeyFileError};
use keys::{KeyFault, Random};
use serde::{Deserialize, Serialize};

use super::judge::Head;
use crate::disk::SystemDisk;
use crate::files;
use crate::note::{Checkpoint, Note, NoteError, VerifierKey};
use crate::trouble::Trouble;

const KEY: &str = "witness.key";
const PUBLIC: &str = "witness.vkey";
const STATE: &str = "witness.state";
/// The generation that the state must have at least.
const MARK: &str = "witness.mark";
const FORMAT: u32 = 1;

/// A witness cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The system refuses a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error("{path} is in use by another witness process; stop that one", path = .0.display())]
    InUse(PathBuf),
    /// There is a witness already.
    #[error("there is a witness in {path} already", path = .0.display())]
    Exists(PathBuf),
    /// No witness was made here.
    #[error("there is no witness key in {path}; make a witness with --init", path = .0.display())]
    None(PathBuf),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The crypto library failed.
    #[error(transparent)]
    Fault(#[from] KeyFault),
    /// The name cannot be a key's.
    #[error(
        "a witness's name has no spaces and no plus, and is not empty: like witness.example/w1"
    )]
    Name(#[from] NoteError),
    /// The memory cannot be relied on.
    #[error(
        "{path} is {what}: what this witness cosigned is not known, so it must not cosign again; put \
         the file back, or retire this witness and make a new one elsewhere",
        path = path.display()
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// `missing`, `damaged`, `older than it was`, `another witness's`.
        what: &'static str,
    },
}

impl WitnessError {
    /// Which trouble it is.
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::Io { .. } => Trouble::NotWritable,
            Self::InUse(_) => Trouble::InUse,
            Self::Exists(_) | Self::Memory { .. } => Trouble::WitnessState,
            Self::None(_) | Self::Key(_) => Trouble::KeyMissing,
            Self::Fault(_) => Trouble::KeyDoesNotOpen,
            Self::Name(_) => Trouble::ForeignKey,
        }
    }
}

/// The file. Sizes and roots are read from the notes, which the witness's own key signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    witness: String,
    generation: u64,
    logs: BTreeMap<String, String>,
}

/// What is remembered.
pub(super) struct Memory {
    dir: PathBuf,
    witness: String,
    generation: u64,
    heads: BTreeMap<String, Head>,
    /// A write failed: what is durable is not known until the next start.
    failed: bool,
    _lock: File,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> WitnessError + use<'_> {
    move |source| WitnessError::Io { path: path.to_owned(), source }
}

fn take(dir: &Path) -> Result<File, WitnessError> {
    files::lock(dir).map_err(io_error(dir))?.ok_or_else(|| WitnessError::InUse(dir.to_owned()))
}

/// Makes a witness: its memory first and its key last, so that there never is a key without a memory.
pub(super) fn create(
    dir: &Path,
    name: &str,
    random: &dyn Random,
) -> Result<VerifierKey, WitnessError> {
    let (signer, seed) = SigningKey::generate(random)?;
    let key = VerifierKey::cosigner(name, signer.public())?;
    key_file::create_dir(dir)?;
    let lock = take(dir)?;
    if dir.join(KEY).exists() {
        return Err(WitnessError::Exists(dir.to_owned()));
    }
    let mut memory = Memory {
        dir: dir.to_owned(),
        witness: key.to_string(),
        generation: 0,
        heads: BTreeMap::new(),
        failed: false,
        _lock: lock,
    };
    memory.write().map_err(io_error(dir))?;
    let public = dir.join(PUBLIC);
    files::replace(&public, format!("{key}\n").as_bytes(), 0o644).map_err(io_error(&public))?;
    key_file::create(&dir.join(KEY), seed.expose())?;
    Ok(key)
}

/// Opens a witness's key and memory, and holds the directory.
pub(super) fn open(dir: &Path) -> Result<(VerifierKey, SigningKey, Memory), WitnessError> {
    let (key_path, path) = (dir.join(KEY), dir.join(STATE));
    if !key_path.exists() {
        return Err(WitnessError::None(dir.to_owned()));
    }
    let lock = take(dir)?;
    files::remove_temporaries(&SystemDisk, dir).map_err(io_error(dir))?;
    let seed: Secret<Vec<u8>> = key_file::read(&key_path)?;
    let signer = SigningKey::from_seed(seed.expose())?;
    let wrong = |what| WitnessError::Memory { path: path.clone(), what };
    let text = files::read_text(&path).map_err(io_error(&path))?.ok_or_else(|| wrong("missing"))?;
    let stored = decode(&text).ok_or_else(|| wrong("damaged"))?;
    let key = VerifierKey::parse(&stored.witness).map_err(|_| wrong("damaged"))?;
    if key.key() != signer.public() || !key.is_cosigner() {
        return Err(wrong("another witness's"));
    }
    let mark_path = dir.join(MARK);
    let mark = files::read_text(&mark_path).map_err(io_error(&mark_path))?;
    let mark = mark.and_then(|text| text.trim_end().parse::<u64>().ok());
    let mark = mark.ok_or(WitnessError::Memory { path: mark_path, what: "missing or damaged" })?;
    if stored.generation < mark {
        return Err(wrong("older than it was"));
    }
    let mut heads = BTreeMap::new();
    for (origin, note) in stored.logs {
        let head = head(&origin, note, &key).ok_or_else(|| wrong("damaged"))?;
        heads.insert(origin, head);
    }
    let memory = Memory {
        dir: dir.to_owned(),
        witness: stored.witness,
        generation: stored.generation,
        heads,
        failed: false,
        _lock: lock,
    };
    Ok((key, signer, memory))
}

fn head(origin: &str, text: String, key: &VerifierKey) -> Option<Head> {
    let note = Note::parse(&text).ok()?;
    let checkpoint = Checkpoint::parse(note.text()).ok()?;
    let time = note.cosigned_by(key).filter(|_| checkpoint.origin == origin)?;
    Some(Head { size: checkpoint.size, root: checkpoint.root, time, note: text })
}

fn decode(text: &str) -> Option<Stored> {
    let (sum, json) = text.split_once('\n')?;
    if sum != hex(&keys::sha256(json.as_bytes())) {
        return None;
    }
    serde_json::from_str::<Stored>(json).ok().filter(|stored| stored.format == FORMAT)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Memory {
    /// The head held for a log.
    pub(super) fn head(&self, origin: &str) -> Option<&Head> {
        self.heads.get(origin)
    }

    /// Every log, with the head held for it.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&str, &Head)> {
        self.heads.iter().map(|(origin, head)| (origin.as_str(), head))
    }

    /// Whether a write failed since the start.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Remembers a head; when this returns well, it is durable. After an error nothing may be
    /// cosigned any more: the next start finds out what is durable.
    pub(super) fn remember(&mut self, origin: &str, head: Head) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("a write failed before"));
        }
        let before = self.heads.insert(origin.to_owned(), head);
        self.generation = self.generation.saturating_add(1);
        let written = self.write();
        if written.is_err() {
            self.failed = true;
            match before {
                Some(before) => self.heads.insert(origin.to_owned(), before),
                None => self.heads.remove(origin),
            };
        }
        written
    }

    fn write(&mut self) -> io::Result<()> {
        let stored = Stored {
            format: FORMAT,
            witness: self.witness.clone(),
            generation: self.generation,
            logs: self.heads().map(|(origin, head)| (origin.into(), head.note.clone())).collect(),
        };
        let json = serde_json::to_string(&stored)?;
        let text = format!("{}\n{json}", hex(&keys::sha256(json.as_bytes())));
        files::replace(&self.dir.join(STATE), text.as_bytes(), 0o600)?;
        files::sync_dir(&self.dir)?;
        // Only now: a mark must never be ahead of the state.
        files::replace(&self.dir.join(MARK), format!("{}\n", self.generation).as_bytes(), 0o600)?;
        files::sync_dir(&self.dir)
    }
}
