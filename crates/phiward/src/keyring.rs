//! Keys at start: the key-encryption key opens one root key, from which the others are derived by
//! purpose; the signing keys lie sealed in the database, so every node has the same.

use std::path::Path;
use std::sync::Arc;

use domain::Secret;
use keys::custody::{Custody, FileKek};
use keys::opaque::HashKey;
use keys::signing::KeyRing;
use keys::{Random, SystemRandom, hkdf_sha256, key_file, random_bytes};
use store::{Store, StoreKey};

use crate::config::Config;
use crate::failure::Failure;

const ROOT_FILE: &str = "root.key";
const ROOT: &str = "phiward root key";
const SIGNING: &str = "signing keys";

/// The keys of one installation, open.
pub(crate) struct Keyring {
    pub(crate) custody: Arc<dyn Custody>,
    root: Secret<Vec<u8>>,
}

impl Keyring {
    /// Opens the key-encryption key and the root key; the root key is made on the first start.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let path = config.keys_dir.join(ROOT_FILE);
        if !path.exists() {
            let random: Arc<dyn Random> = Arc::new(SystemRandom);
            let kek = FileKek::open(&config.kek, Arc::clone(&random))
                .map_err(|error| Failure::usage(error.to_string()))?;
            make_root(&kek, &*random, &path)?;
        }
        Self::open_existing(config)
    }

    /// Opens the keys of an installation that has started before; makes none.
    pub(crate) fn open_existing(config: &Config) -> Result<Self, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
        let kek = FileKek::open(&config.kek, Arc::new(SystemRandom)).map_err(|e| usage(&e))?;
        let custody: Arc<dyn Custody> = Arc::new(kek);
        let path = config.keys_dir.join(ROOT_FILE);
        let wrapped = key_file::read(&path).map_err(|e| usage(&e))?;
        let root = custody.unwrap(ROOT, wrapped.expose()).map_err(|_| {
            Failure::usage(format!(
                "{} was not wrapped by {}; the two belong together",
                path.display(),
                config.kek.display()
            ))
        })?;
        Ok(Self { custody, root })
    }

    /// The key of one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Result<Secret<[u8; 32]>, Failure> {
        let mut key = [0; 32];
        hkdf_sha256(self.root.expose(), b"phiward root 1", &[purpose.as_bytes()], &mut key)
            .map_err(|_| Failure::internal())?;
        Ok(Secret::new(key))
    }

    pub(crate) fn store_key(&self) -> Result<StoreKey, Failure> {
        StoreKey::from_slice(self.derive("store")?.expose()).map_err(|_| Failure::internal())
    }

    pub(crate) fn hash_key(&self) -> Result<HashKey, Failure> {
        Ok(HashKey::new(self.derive("token hash")?))
    }
}

fn make_root(custody: &dyn Custody, random: &dyn Random, path: &Path) -> Result<(), Failure> {
    let root = random_bytes::<32>(random).map_err(|_| Failure::internal())?;
    let wrapped = custody.wrap(ROOT, root.expose()).map_err(|_| Failure::internal())?;
    key_file::create(path, &wrapped).map_err(|error| Failure::usage(error.to_string()))
}

/// The signing keys: whichever node is first makes them for all.
pub(crate) async fn signing_keys(store: &Store) -> Result<KeyRing, Failure> {
    let fault = || Failure::usage("the database does not give the signing keys".to_owned());
    let kept = store.sealed(SIGNING).await.map_err(|_| fault())?;
    let bytes = match kept {
        Some(bytes) => bytes,
        None => {
            let made = tokio::task::spawn_blocking(KeyRing::generate)
                .await
                .map_err(|_| Failure::internal())?
                .map_err(|_| Failure::internal())?;
            let bytes = made.to_bytes().map_err(|_| Failure::internal())?;
            store.put_sealed_if_absent(SIGNING, bytes.expose()).await.map_err(|_| fault())?
        }
    };
    KeyRing::from_bytes(bytes.expose()).map_err(|_| fault())
}
