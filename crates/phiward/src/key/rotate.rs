//! Going over to another key-encryption key, with the server running. At any moment every key opens
//! with one of those that the configuration leads to; a run that was cut short is run again and
//! finishes. At the end nothing is wrapped under the old key, and it is recorded.

use std::path::{Path, PathBuf};

use keys::custody::Custody;
use ledger::rewrap::{rewrap_file, wrapped_keys};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::{ROOT, ROOT_FILE};
use crate::lock::DataLock;
use crate::{kek, system};

/// Stands beside the keys while a rotation is under way.
pub(crate) const MARKER: &str = "rotation";
const LOCK: &str = "rotation.lock";

/// What stands in the marker while a rotation is under way.
#[derive(Serialize, Deserialize)]
struct Marker {
    /// The number under which the old key's file is put away.
    retire: u32,
    /// How many keys of the label the token had.
    token_keys: usize,
    /// Whether a newer key is made; otherwise keys only move to the one that wraps now.
    renews: bool,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Key files wrapped anew in this run.
    pub(crate) rewrapped: u32,
    /// All key files.
    pub(crate) keys: u32,
    /// Where the old key-encryption key was put.
    pub(crate) retired: Option<PathBuf>,
}

/// What the rotation needs of its surroundings.
pub(crate) struct Hands<'a> {
    /// Makes a running server go over to the custody that the configuration leads to now.
    pub(crate) reload: &'a dyn Fn() -> Result<(), Failure>,
    /// Records what was done.
    pub(crate) record: &'a dyn Fn(&Rotated) -> Result<(), Failure>,
    /// Called before each step; tests stop there.
    pub(crate) step: &'a mut dyn FnMut(&'static str) -> Result<(), Failure>,
}

/// Rotates, or finishes a rotation that was cut short.
pub(crate) fn rotate(config: &Config, hands: &mut Hands<'_>) -> Result<Rotated, Failure> {
    // Two at once would each make a newer key under one name, and what the first wrapped would be lost.
    let _alone = DataLock::take_named(&config.keys_dir, LOCK)?;
    let path = config.keys_dir.join(MARKER);
    let marker = match read_marker(&path)? {
        Some(marker) => marker,
        None => begin(config, &path)?,
    };
    (hands.step)("begun")?;
    if marker.renews {
        make_newer(config, &marker)?;
    }
    (hands.step)("newer key made")?;
    // From here on nothing is wrapped under the old key any more.
    (hands.reload)()?;
    let mut rotated = rewrap(config, hands)?;
    if marker.renews && !config.keys.in_token {
        rotated.retired = swap(config, &marker, hands)?;
        (hands.reload)()?;
    }
    if let Some(stale) = not_newest(config, &*kek::custody(config)?)?.first() {
        let what = format!("{} is still under the old key; run it again", stale.display());
        return Err(Failure::check(what));
    }
    (hands.step)("proven")?;
    (hands.record)(&rotated)?;
    (hands.step)("recorded")?;
    std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    sync_parent(&path)?;
    Ok(rotated)
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

fn read_marker(path: &Path) -> Result<Option<Marker>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            failed(path, &"is no marker of a rotation; remove it if no rotation was cut short")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

fn begin(config: &Config, path: &Path) -> Result<Marker, Failure> {
    let custody = kek::custody(config)?;
    // Keys that are under another custody move; only where none has to, a newer key is made.
    let renews = not_newest(config, &*custody)?.is_empty();
    let retire = match &config.keys.kek {
        Some(kek) => (1..).find(|number| !kek::retired_as(kek, *number).exists()).unwrap_or(1),
        None => 1,
    };
    let token_keys = match &config.keys.token {
        Some(token) if config.keys.in_token => {
            kek::open_token(token)?.count().map_err(|error| Failure::usage(error.to_string()))?
        }
        _ => 0,
    };
    let marker = Marker { retire, token_keys, renews };
    let bytes = serde_json::to_vec(&marker).map_err(|_| Failure::internal())?;
    write(path, &bytes)?;
    Ok(marker)
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = path.with_extension("part");
    let put = || -> std::io::Result<()> {
        if part.exists() {
            std::fs::remove_file(&part)?;
        }
        std::fs::write(&part, bytes)?;
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(&part, path)
    };
    put().map_err(|error| failed(path, &error))?;
    sync_parent(path)
}

fn make_newer(config: &Config, marker: &Marker) -> Result<(), Failure> {
    if config.keys.in_token {
        let Some(token) = &config.keys.token else { return Err(Failure::internal()) };
        let token = kek::open_token(token)?;
        let wrong = |error: keys::pkcs11::Pkcs11Error| Failure::usage(error.to_string());
        if token.count().map_err(wrong)? <= marker.token_keys {
            token.add_newer().map_err(wrong)?;
        }
        return Ok(());
    }
    let Some(kek) = &config.keys.kek else { return Err(Failure::internal()) };
    let next = kek::next(kek);
    if next.exists() || kek::retired_as(kek, marker.retire).exists() {
        return Ok(());
    }
    // Half a key under its name would keep every process from starting.
    let part = next.with_extension("part");
    if part.exists() {
        std::fs::remove_file(&part).map_err(|error| failed(&part, &error))?;
    }
    crate::init::make_kek(&part)?;
    std::fs::rename(&part, &next).map_err(|error| failed(&next, &error))?;
    sync_parent(&next)
}

/// Every wrapped key of this installation: its file, and what it is wrapped for.
pub(crate) fn all_keys(config: &Config) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut found = Vec::new();
    let root = config.keys_dir.join(ROOT_FILE);
    if root.exists() {
        found.push((root, ROOT.to_owned()));
    }
    for place in system::streams(config) {
        let keys = wrapped_keys(&place.keys_dir, &place.origin, place.stream)
            .map_err(|error| Failure::trouble(error.trouble(), error.to_string()))?;
        found.extend(keys);
    }
    Ok(found)
}

fn not_newest(config: &Config, custody: &dyn Custody) -> Result<Vec<PathBuf>, Failure> {
    let mut stale = Vec::new();
    for (path, purpose) in all_keys(config)? {
        match keys::key_file::read(&path) {
            Ok(wrapped) if custody.is_newest(&purpose, wrapped.expose()) => {}
            // A running server erased it meanwhile.
            Err(_) if !path.exists() => {}
            _ => stale.push(path),
        }
    }
    Ok(stale)
}

fn rewrap(config: &Config, hands: &mut Hands<'_>) -> Result<Rotated, Failure> {
    let custody = kek::custody(config)?;
    let mut rotated = Rotated::default();
    for (path, purpose) in all_keys(config)? {
        (hands.step)("wrapping anew")?;
        rotated.keys += 1;
        match rewrap_file(&path, &purpose, &*custody) {
            Ok(done) => rotated.rewrapped += u32::from(done),
            Err(_) if !path.exists() => {}
            Err(error) => {
                let what = format!("{error}; then run it again");
                return Err(Failure::trouble(error.trouble(), what));
            }
        }
    }
    Ok(rotated)
}

/// The new key's file takes the configured name; the old one is put beside it.
fn swap(
    config: &Config,
    marker: &Marker,
    hands: &mut Hands<'_>,
) -> Result<Option<PathBuf>, Failure> {
    let Some(kek) = &config.keys.kek else { return Err(Failure::internal()) };
    let (next, retired) = (kek::next(kek), kek::retired_as(kek, marker.retire));
    if next.exists() {
        (hands.step)("before the old key is put away")?;
        if !retired.exists() {
            std::fs::hard_link(kek, &retired).map_err(|error| failed(&retired, &error))?;
            sync_parent(&retired)?;
        }
        (hands.step)("before the new key takes its name")?;
        std::fs::rename(&next, kek).map_err(|error| failed(kek, &error))?;
        sync_parent(kek)?;
    }
    (hands.step)("new key in place")?;
    Ok(Some(retired))
}

fn sync_parent(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| failed(parent, &error))
}

#[cfg(test)]
mod tests;
