//! Custody of the keys that seal other keys. A key leaves custody wrapped for one purpose and comes
//! back for that purpose only; whoever holds the wrapped bytes alone holds nothing.

use std::path::Path;
use std::sync::Arc;

use domain::Secret;
use zeroize::Zeroizing;

use crate::key_file::{self, KeyFileError};
use crate::seal::{self, SealKey};
use crate::{KeyFault, Random, random_bytes};

/// Wraps and unwraps keys under a key that does not leave it.
pub trait Custody: Send + Sync {
    /// Seals a key for one purpose.
    ///
    /// # Errors
    /// [`KeyFault`] if it cannot.
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault>;

    /// Opens what [`Custody::wrap`] sealed for the same purpose.
    ///
    /// # Errors
    /// [`KeyFault`] if it was not, or was changed.
    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault>;
}

impl<C: Custody + ?Sized> Custody for Arc<C> {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        (**self).wrap(purpose, key)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        (**self).unwrap(purpose, wrapped)
    }
}

/// The key-encryption key in a file of its own: one line, `phiward-kek-1:` and 64 hex digits.
pub struct FileKek {
    key: SealKey,
    random: Arc<dyn Random>,
}

const FILE_PREFIX: &[u8] = b"phiward-kek-1:";
const FORMAT: u8 = 1;

impl FileKek {
    /// Makes a new key and its file (mode 0600).
    ///
    /// # Errors
    /// [`KeyFileError`] if the file exists or cannot be written.
    pub fn create(path: &Path, random: Arc<dyn Random>) -> Result<Self, KeyFileError> {
        let fault = |source| KeyFileError::Fault { path: path.to_owned(), source };
        let bytes = random_bytes::<32>(&*random).map_err(fault)?;
        let mut line = Zeroizing::new([0_u8; FILE_PREFIX.len() + 64 + 1]);
        let (prefix, rest) = line.split_at_mut(FILE_PREFIX.len());
        prefix.copy_from_slice(FILE_PREFIX);
        let (digits, end) = rest.split_at_mut(64);
        hex::encode_to_slice(bytes.expose(), digits).map_err(|_| fault(KeyFault))?;
        end.fill(b'\n');
        key_file::create(path, &*line)?;
        Ok(Self { key: SealKey::new(bytes.expose()).map_err(fault)?, random })
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// [`KeyFileError`] if it is missing, open to others, or no such key.
    pub fn open(path: &Path, random: Arc<dyn Random>) -> Result<Self, KeyFileError> {
        let content = key_file::read(path)?;
        let line = content.expose().strip_suffix(b"\n").unwrap_or(content.expose());
        let mut bytes = Zeroizing::new([0; 32]);
        line.strip_prefix(FILE_PREFIX)
            .and_then(|digits| hex::decode_to_slice(digits, &mut *bytes).ok())
            .and_then(|()| SealKey::new(&bytes).ok())
            .map(|key| Self { key, random })
            .ok_or(KeyFileError::Malformed {
                path: path.to_owned(),
                expected: "a key-encryption key (phiward-kek-1: and 64 hex digits)",
            })
    }
}

impl Custody for FileKek {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let mut wrapped = vec![FORMAT];
        wrapped.append(&mut seal::seal_random(&self.key, &self.random, &aad(purpose), key)?);
        Ok(wrapped)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        let sealed = wrapped.strip_prefix(&[FORMAT]).ok_or(KeyFault)?;
        seal::open_random(&self.key, &aad(purpose), sealed).map(Secret::new)
    }
}

fn aad(purpose: &str) -> Vec<u8> {
    [b"phiward wrapped key 1\0", purpose.as_bytes()].concat()
}
