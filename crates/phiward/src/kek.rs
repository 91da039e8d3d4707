//! The key-encryption key, as the configuration says: in a file, in a token, or in both while keys
//! move from one to the other. The first of the chain wraps; whatever is still there opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Secret;
use keys::custody::{Chain, Custody, FileKek};
use keys::pkcs11::{Pkcs11Custody, TokenKey};
use keys::{SystemRandom, key_file};

use crate::config::{Config, PinSource, TokenConfig};
use crate::failure::Failure;

/// The custody of this configuration.
pub(crate) fn custody(config: &Config) -> Result<Arc<dyn Custody>, Failure> {
    let mut token: Vec<Arc<dyn Custody>> = Vec::new();
    if let Some(found) = &config.keys.token {
        token.push(Arc::new(open_token(found)?));
    }
    let mut files: Vec<Arc<dyn Custody>> = Vec::new();
    if let Some(kek) = &config.keys.kek {
        let next = next(kek);
        if next.exists() {
            files.push(Arc::new(open_file(&next)?));
        }
        files.push(Arc::new(open_file(kek)?));
        for old in retired(kek) {
            // For older backups only: one that is not in order must not keep a server from starting.
            if let Ok(old) = open_file(&old) {
                files.push(Arc::new(old));
            }
        }
    }
    let chain = if config.keys.in_token { [token, files] } else { [files, token] };
    Ok(Arc::new(Chain(chain.concat())))
}

/// The token of this configuration, open.
pub(crate) fn open_token(token: &TokenConfig) -> Result<Pkcs11Custody, Failure> {
    Pkcs11Custody::open(key_of(token), &pin(token)?, Arc::new(SystemRandom))
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Makes the token's key.
pub(crate) fn create_in_token(token: &TokenConfig) -> Result<(), Failure> {
    Pkcs11Custody::create(key_of(token), &pin(token)?, Arc::new(SystemRandom))
        .map(|_| ())
        .map_err(|error| Failure::usage(error.to_string()))
}

fn key_of(token: &TokenConfig) -> TokenKey {
    TokenKey { module: token.module.clone(), token: token.token.clone(), label: token.key.clone() }
}

fn pin(token: &TokenConfig) -> Result<Secret<String>, Failure> {
    match &token.pin {
        PinSource::Env(pin) => Ok(pin.clone()),
        PinSource::File(path) => {
            let content =
                key_file::read(path).map_err(|error| Failure::usage(error.to_string()))?;
            let text = std::str::from_utf8(content.expose()).map(|text| text.trim_end().to_owned());
            let text = text.map_err(|_| Failure::usage(format!("{}: no PIN", path.display())))?;
            Ok(Secret::new(text))
        }
    }
}

/// A key-encryption key in a file.
pub(crate) fn open_file(path: &Path) -> Result<FileKek, Failure> {
    FileKek::open(path, Arc::new(SystemRandom)).map_err(|error| Failure::usage(error.to_string()))
}

/// Where the next key-encryption key stands while keys are wrapped anew.
pub(crate) fn next(kek: &Path) -> PathBuf {
    suffixed(kek, ".next")
}

/// Where one stands that is no longer used, for the backups that were made under it.
pub(crate) fn retired_as(kek: &Path, number: u32) -> PathBuf {
    suffixed(kek, &format!(".retired-{number}"))
}

/// The ones that are no longer used, newest first.
pub(crate) fn retired(kek: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    let name = kek.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let dir = kek.parent().unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|other| other.strip_prefix(name)?.strip_prefix(".retired-")?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}
