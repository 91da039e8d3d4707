//! The stream's keys, each in a file of its own outside the ledger's directory, wrapped by custody:
//! the stable signing key, the day's signing key, and one sealing key for each calendar month. To
//! destroy a month's file is to shred the month; nothing else holds that key.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Secret;
use keys::custody::Custody;
use keys::ed25519::SigningKey;
use keys::key_file::{self, KeyFileError};
use keys::seal::SealKey;
use keys::{KeyFault, Random};

use crate::calendar::{day_of_text, day_text};
use crate::files;
use crate::format::{BatchHeader, TOKEN_LEN};
use crate::note::VerifierKey;
use crate::rewrap;
use crate::trouble::Trouble;

const STABLE: &str = "stable.key";
const STABLE_PUBLIC: &str = "stable.vkey";
const DAY_PREFIX: &str = "day-";
const PERIOD_PREFIX: &str = "period-";
const SUFFIX: &str = ".key";

/// A key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The file is missing, open to others or damaged.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It does not open under this key-encryption key, or the crypto library failed.
    #[error("key file {path} does not open under this key-encryption key; bring back the one that wrapped it, or the file's copy", path = .0.display())]
    Unwrap(PathBuf),
    /// The crypto library failed.
    #[error(transparent)]
    Fault(#[from] KeyFault),
    /// The directory cannot be read or written.
    #[error("key directory {path}: {source}", path = path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyStoreError {
    /// Which trouble it is.
    pub const fn trouble(&self) -> Trouble {
        match self {
            Self::File(_) => Trouble::KeyMissing,
            Self::Unwrap(_) | Self::Fault(_) => Trouble::KeyDoesNotOpen,
            Self::Io { .. } => Trouble::NotWritable,
        }
    }
}

/// Where a stream's keys are kept.
pub(crate) struct KeyStore {
    dir: PathBuf,
    origin: String,
    stream: u32,
    custody: Arc<dyn Custody>,
}

impl KeyStore {
    pub(crate) fn new(dir: &Path, origin: &str, stream: u32, custody: Arc<dyn Custody>) -> Self {
        Self { dir: dir.to_owned(), origin: origin.to_owned(), stream, custody }
    }

    fn purpose(&self, what: &str) -> String {
        format!("ledger {what} {} {}", self.origin, self.stream)
    }

    fn read(&self, path: &Path, what: &str) -> Result<Secret<Vec<u8>>, KeyStoreError> {
        let wrapped = key_file::read(path)?;
        self.custody
            .unwrap(&self.purpose(what), wrapped.expose())
            .map_err(|_| KeyStoreError::Unwrap(path.to_owned()))
    }

    fn create(&self, path: &Path, what: &str, key: &[u8]) -> Result<(), KeyStoreError> {
        Ok(key_file::create(path, &self.custody.wrap(&self.purpose(what), key)?)?)
    }

    pub(crate) fn has_stable(&self) -> bool {
        self.dir.join(STABLE).exists()
    }

    /// The stable key, with its public form beside it for those who verify.
    pub(crate) fn stable(&self) -> Result<SigningKey, KeyStoreError> {
        let seed = self.read(&self.dir.join(STABLE), "stable key")?;
        Ok(SigningKey::from_seed(seed.expose())?)
    }

    pub(crate) fn create_stable(&self, random: &dyn Random) -> Result<SigningKey, KeyStoreError> {
        let (key, seed) = SigningKey::generate(random)?;
        self.create(&self.dir.join(STABLE), "stable key", seed.expose())?;
        Ok(key)
    }

    pub(crate) fn publish_stable(&self, key: &VerifierKey) -> Result<(), KeyStoreError> {
        let path = self.dir.join(STABLE_PUBLIC);
        files::replace(&path, format!("{key}\n").as_bytes(), 0o644)
            .map_err(|source| KeyStoreError::Io { path, source })
    }

    fn day_path(&self, day: u32) -> PathBuf {
        self.dir.join(format!("{DAY_PREFIX}{}{SUFFIX}", day_text(day)))
    }

    pub(crate) fn day(&self, day: u32) -> Result<SigningKey, KeyStoreError> {
        let seed = self.read(&self.day_path(day), &format!("day key {day}"))?;
        Ok(SigningKey::from_seed(seed.expose())?)
    }

    /// Makes the key of a day; one that never got its certificate is replaced.
    pub(crate) fn create_day(
        &self,
        day: u32,
        random: &dyn Random,
    ) -> Result<SigningKey, KeyStoreError> {
        let path = self.day_path(day);
        if path.exists() {
            erase(&path)?;
        }
        let (key, seed) = SigningKey::generate(random)?;
        self.create(&path, &format!("day key {day}"), seed.expose())?;
        Ok(key)
    }

    /// Erases every day key but the one given.
    pub(crate) fn erase_days_except(&self, day: Option<u32>) -> Result<(), KeyStoreError> {
        let io = |source| KeyStoreError::Io { path: self.dir.clone(), source };
        let keep = day.map(|day| self.day_path(day));
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(DAY_PREFIX)
                && name.ends_with(SUFFIX)
                && keep.as_ref() != Some(&path)
            {
                erase(&path)?;
            }
        }
        Ok(())
    }

    fn period_path(&self, period: u32) -> PathBuf {
        period_path(&self.dir, period)
    }

    pub(crate) fn has_period(&self, period: u32) -> bool {
        self.period_path(period).exists()
    }

    /// What is another one after a key came or went: the directory's time of change; `None` if it
    /// does not say.
    pub(crate) fn changed(&self) -> Option<(i64, i64)> {
        fs::metadata(&self.dir).ok().map(|meta| (meta.mtime(), meta.mtime_nsec()))
    }

    /// The months whose keys are there, in order.
    pub(crate) fn periods(&self) -> Result<Vec<u32>, KeyStoreError> {
        let io = |source| KeyStoreError::Io { path: self.dir.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let period = name
                .to_str()
                .and_then(|name| name.strip_prefix(PERIOD_PREFIX)?.strip_suffix(SUFFIX))
                .and_then(|digits| digits.parse::<u32>().ok());
            found.extend(period);
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(crate) fn period(&self, period: u32) -> Result<PeriodKey, KeyStoreError> {
        let path = self.period_path(period);
        let key = self.read(&path, &format!("period key {period}"))?;
        let key = key.expose().as_slice().try_into().map_err(|_| KeyStoreError::Unwrap(path))?;
        Ok(PeriodKey::new(Secret::new(key))?)
    }

    pub(crate) fn create_period(
        &self,
        period: u32,
        random: &dyn Random,
    ) -> Result<PeriodKey, KeyStoreError> {
        let key = keys::random_bytes::<32>(random)?;
        self.create(&self.period_path(period), &format!("period key {period}"), key.expose())?;
        Ok(PeriodKey::new(key)?)
    }
}

/// Where a month's key is.
pub(crate) fn period_path(dir: &Path, period: u32) -> PathBuf {
    dir.join(format!("{PERIOD_PREFIX}{period:06}{SUFFIX}"))
}

/// The months whose keys there are.
pub(crate) fn periods(dir: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let digits =
            name.to_str().and_then(|name| name.strip_prefix(PERIOD_PREFIX)?.strip_suffix(SUFFIX));
        found.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    Ok(found)
}

/// Overwrites, then removes; an old snapshot of the disk may still hold it.
fn erase(path: &Path) -> Result<(), KeyStoreError> {
    rewrap::wipe(path).map_err(|source| KeyStoreError::Io { path: path.to_owned(), source })
}

/// What the key file of this name is wrapped for, in the words of [`KeyStore::purpose`].
pub(crate) fn purpose_of(name: &str) -> Option<String> {
    if name == STABLE {
        return Some("stable key".to_owned());
    }
    let stem = name.strip_suffix(SUFFIX)?;
    if let Some(day) = stem.strip_prefix(DAY_PREFIX).and_then(day_of_text) {
        return Some(format!("day key {day}"));
    }
    let period: u32 = stem.strip_prefix(PERIOD_PREFIX)?.parse().ok()?;
    (stem == format!("{PERIOD_PREFIX}{period:06}")).then(|| format!("period key {period}"))
}

/// The sealing key of one stream and calendar month.
pub(crate) struct PeriodKey {
    key: Secret<[u8; 32]>,
    index: Secret<[u8; 32]>,
}

impl PeriodKey {
    fn new(key: Secret<[u8; 32]>) -> Result<Self, KeyFault> {
        let mut index = [0; 32];
        keys::hkdf_sha256(key.expose(), &[], &[b"phiward ledger index 1"], &mut index)?;
        Ok(Self { key, index: Secret::new(index) })
    }

    /// The batch's own key, and the commitment that its header carries: AES-GCM alone would let one
    /// ciphertext open under two keys.
    pub(crate) fn batch_key(&self, header: &BatchHeader) -> Result<(SealKey, [u8; 32]), KeyFault> {
        let (key, commitment) = self.batch_secret(header)?;
        Ok((SealKey::new(key.expose())?, commitment))
    }

    /// The same, with the key's bytes: for whoever hands it on under another seal.
    pub(crate) fn batch_secret(
        &self,
        header: &BatchHeader,
    ) -> Result<(Secret<[u8; 32]>, [u8; 32]), KeyFault> {
        let mut out = [0; 64];
        let info: [&[u8]; 4] = [
            b"phiward ledger batch 1",
            &header.stream.to_be_bytes(),
            &header.segment.to_be_bytes(),
            &header.batch.to_be_bytes(),
        ];
        keys::hkdf_sha256(self.key.expose(), &header.salt, &info, &mut out)?;
        let out = Secret::new(out);
        let (key, commitment) = out.expose().split_at(32);
        let commitment = commitment.try_into().map_err(|_| KeyFault)?;
        Ok((Secret::new(key.try_into().map_err(|_| KeyFault)?), commitment))
    }

    /// The blind token of a value: equal values of one month have equal tokens, and nothing else
    /// shows.
    pub(crate) fn token(&self, field: u8, value: &str) -> [u8; TOKEN_LEN] {
        let mac = keys::hmac_sha256(self.index.expose(), &[&[field, 0], value.as_bytes()]);
        let mut token = [0; TOKEN_LEN];
        token.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        token
    }
}

/// Tokens of the month, remembered: the same patients, people and clients come again and again.
#[derive(Default)]
pub(crate) struct TokenCache(HashMap<u8, HashMap<Box<str>, [u8; TOKEN_LEN]>>);

impl TokenCache {
    const PER_FIELD: usize = 4096;

    pub(crate) fn token(&mut self, key: &PeriodKey, field: u8, value: &str) -> [u8; TOKEN_LEN] {
        let known = self.0.entry(field).or_default();
        if let Some(token) = known.get(value) {
            return *token;
        }
        let token = key.token(field, value);
        if known.len() >= Self::PER_FIELD {
            known.clear();
        }
        known.insert(value.into(), token);
        token
    }
}
