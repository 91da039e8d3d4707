//! Sealing of columns and the keyed hashes by which sealed values are found. A sealed value is bound
//! to its table, column and row: moved elsewhere, it does not open.

use std::sync::Arc;

use domain::Secret;
use keys::seal::{SealKey, open_random, seal_random};
use keys::{KeyFault, Random, hkdf_sha256, hmac_sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreFault;
use crate::fault::damaged;

/// The key outside the database: one half seals, the other hashes what must be found again.
pub struct StoreKey {
    seal: SealKey,
    lookup: Secret<[u8; 32]>,
}

impl StoreKey {
    /// Derives both halves from 32 bytes that live outside the database.
    ///
    /// # Errors
    /// [`KeyFault`] unless there are 32 bytes, or if the library refuses.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyFault> {
        if bytes.len() != 32 {
            return Err(KeyFault);
        }
        let seal = Secret::new(derive(bytes, b"phiward store seal v1")?);
        let lookup = Secret::new(derive(bytes, b"phiward store lookup v1")?);
        Ok(Self { seal: SealKey::new(seal.expose())?, lookup })
    }
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

fn derive(bytes: &[u8], info: &[u8]) -> Result<[u8; 32], KeyFault> {
    let mut out = [0; 32];
    hkdf_sha256(bytes, b"", &[info], &mut out)?;
    Ok(out)
}

/// A place in the database: table, column, row.
pub(crate) struct Place<'a>(pub(crate) &'static str, pub(crate) &'static str, pub(crate) &'a str);

impl Place<'_> {
    /// Unambiguous: table and column are names of ours, without a slash.
    fn aad(&self) -> Vec<u8> {
        [self.0, "/", self.1, "/", self.2].concat().into_bytes()
    }
}

/// The key at work.
pub(crate) struct Vault {
    key: StoreKey,
    random: Arc<dyn Random>,
}

impl Vault {
    pub(crate) fn new(key: StoreKey, random: Arc<dyn Random>) -> Self {
        Self { key, random }
    }

    pub(crate) fn seal(&self, place: &Place<'_>, text: &[u8]) -> Result<Vec<u8>, StoreFault> {
        Ok(seal_random(&self.key.seal, &*self.random, &place.aad(), text)?)
    }

    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreFault> {
        Ok(self.try_open(place, sealed)?)
    }

    /// As [`Vault::open`], where not opening is an answer and no fault.
    pub(crate) fn try_open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, KeyFault> {
        open_random(&self.key.seal, &place.aad(), sealed)
    }

    pub(crate) fn seal_json(
        &self,
        place: &Place<'_>,
        value: &impl Serialize,
    ) -> Result<Vec<u8>, StoreFault> {
        let text = Secret::new(serde_json::to_vec(value).map_err(damaged)?);
        self.seal(place, text.expose())
    }

    pub(crate) fn open_json<T: DeserializeOwned>(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<T, StoreFault> {
        let text = Secret::new(self.open(place, sealed)?);
        serde_json::from_slice(text.expose()).map_err(damaged)
    }

    /// Opens a value with a checked text form.
    pub(crate) fn open_text<T: TryFrom<String>>(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<T, StoreFault> {
        let text = String::from_utf8(self.open(place, sealed)?).map_err(damaged)?;
        T::try_from(text).map_err(damaged)
    }

    /// The keyed hash by which a sealed value is found.
    pub(crate) fn lookup(&self, purpose: &'static str, text: &str) -> Vec<u8> {
        let parts = [purpose.as_bytes(), &[0], text.as_bytes()];
        hmac_sha256(self.key.lookup.expose(), &parts).to_vec()
    }

    /// How a person is named in every table but their own.
    pub(crate) fn person(&self, id: &domain::PersonId) -> Vec<u8> {
        self.lookup("person", id.as_str())
    }
}
