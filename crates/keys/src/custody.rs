//! Custody of the keys that seal other keys. A key leaves custody wrapped for one purpose and comes
//! back for that purpose only; whoever holds the wrapped bytes alone holds nothing.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

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

    /// Whether this is wrapped under the very key that [`Custody::wrap`] uses now.
    fn is_newest(&self, purpose: &str, wrapped: &[u8]) -> bool {
        self.unwrap(purpose, wrapped).is_ok()
    }
}

impl<C: Custody + ?Sized> Custody for Arc<C> {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        (**self).wrap(purpose, key)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        (**self).unwrap(purpose, wrapped)
    }

    fn is_newest(&self, purpose: &str, wrapped: &[u8]) -> bool {
        (**self).is_newest(purpose, wrapped)
    }
}

/// Several custodies during a change of keys: the first wraps, each may open.
pub struct Chain(pub Vec<Arc<dyn Custody>>);

impl Custody for Chain {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        self.0.first().ok_or(KeyFault)?.wrap(purpose, key)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        self.0.iter().find_map(|custody| custody.unwrap(purpose, wrapped).ok()).ok_or(KeyFault)
    }

    fn is_newest(&self, purpose: &str, wrapped: &[u8]) -> bool {
        self.0.first().is_some_and(|custody| custody.is_newest(purpose, wrapped))
    }
}

/// A custody that can be put in another's place while others hold it.
pub struct Switch(RwLock<Arc<dyn Custody>>);

impl Switch {
    /// Begins with this one.
    pub fn new(custody: Arc<dyn Custody>) -> Self {
        Self(RwLock::new(custody))
    }

    /// Goes over to another: when this returns, nothing is wrapped by the one before any more.
    pub fn set(&self, custody: Arc<dyn Custody>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = custody;
    }
}

// The lock is held while a key is wrapped: `Switch::set` must wait for it.
impl Custody for Switch {
    fn wrap(&self, purpose: &str, key: &[u8]) -> Result<Vec<u8>, KeyFault> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).wrap(purpose, key)
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KeyFault> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).unwrap(purpose, wrapped)
    }

    fn is_newest(&self, purpose: &str, wrapped: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_newest(purpose, wrapped)
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

/// What a wrapped key is bound to.
pub(crate) fn aad(purpose: &str) -> Vec<u8> {
    [b"phiward wrapped key 1\0", purpose.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn a_chain_wraps_with_its_first_and_opens_with_any() {
        let dir = tempfile::tempdir().unwrap();
        let kek = |name: &str| -> Arc<dyn Custody> {
            Arc::new(FileKek::create(&dir.path().join(name), Arc::new(SystemRandom)).unwrap())
        };
        let (old, new) = (kek("old"), kek("new"));
        let before = old.wrap("p", b"key").unwrap();
        let chain = Chain(vec![Arc::clone(&new), Arc::clone(&old)]);
        assert_eq!(chain.unwrap("p", &before).unwrap().expose(), b"key");
        assert!(!chain.is_newest("p", &before));
        let after = chain.wrap("p", b"key").unwrap();
        assert!(chain.is_newest("p", &after));
        assert!(old.unwrap("p", &after).is_err());
        assert!(chain.unwrap("q", &after).is_err());
        assert!(Chain(Vec::new()).wrap("p", b"key").is_err());

        let switch = Switch::new(old);
        assert!(switch.unwrap("p", &after).is_err());
        switch.set(new);
        assert_eq!(switch.unwrap("p", &after).unwrap().expose(), b"key");
    }
}
