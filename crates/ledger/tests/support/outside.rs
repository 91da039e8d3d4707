//! A witness of a ledger in a directory of its own, and what it is sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Clock;
use keys::SystemRandom;
use ledger::note::{Checkpoint, Note, VerifierKey};
use ledger::witness::{Answer, Request, Witness};
use ledger::{Ledger, proof};
use tempfile::TempDir;

use super::{Bench, entry};

/// A witness of one ledger, in a directory of its own.
pub struct Outside {
    root: TempDir,
    log: VerifierKey,
    clock: Arc<dyn Clock>,
    pub key: VerifierKey,
}

impl Outside {
    pub fn new(bench: &Bench) -> Self {
        let root = TempDir::new().unwrap();
        let key = Witness::init(&root.path().join("w"), "witness.test/w1", &SystemRandom).unwrap();
        Self { root, log: bench.key(), clock: bench.clock.clone(), key }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("w")
    }

    pub fn open(&self) -> Witness {
        Witness::open(&self.dir(), vec![self.log.clone()], Arc::clone(&self.clock)).unwrap()
    }
}

pub async fn grow(ledger: &Ledger, records: u32) -> String {
    for number in 0..records {
        ledger.append(vec![entry(number)]).await.unwrap();
    }
    ledger.checkpoint().await.unwrap()
}

pub fn checkpoint(note: &str) -> Checkpoint {
    Checkpoint::parse(Note::parse(note).unwrap().text()).unwrap()
}

/// A body that asks for a cosignature under `note`, with an honest proof.
pub fn body(dir: &Path, old: u64, note: &str) -> Vec<u8> {
    let path = proof::path(dir, old, &checkpoint(note)).unwrap();
    Request::body(old, &path, note).into_bytes()
}

pub fn status(answer: &Answer) -> u16 {
    answer.status
}

/// Another history of the same ledger, signed with its own keys: the fork that only a witness sees.
pub async fn fork(bench: &Bench) -> (TempDir, Ledger) {
    let copy = TempDir::new().unwrap();
    for part in ["ledger", "keys"] {
        let (from, to) = (bench.root.path().join(part), copy.path().join(part));
        super::copy_dir(&from, &to);
    }
    let mut options = bench.options();
    (options.dir, options.keys_dir) = (copy.path().join("ledger"), copy.path().join("keys"));
    let (ledger, _) = Ledger::open(options).unwrap();
    (copy, ledger)
}
