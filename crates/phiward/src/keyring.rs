//! Keys at start: the key-encryption key opens one root key, from which the others are derived by
//! purpose; the signing keys lie sealed in the database, so every node has the same.

use std::path::Path;
use std::sync::Arc;

use domain::Secret;
use keys::custody::{Custody, Switch};
use keys::opaque::HashKey;
use keys::signing::KeyRing;
use keys::{Random, SystemRandom, hkdf_sha256, key_file, random_bytes};
use ledger::Trouble;
use store::{Store, StoreKey};

use crate::config::Config;
use crate::failure::Failure;
use crate::kek;

/// The root key's file, and what it is wrapped for.
pub(crate) const ROOT_FILE: &str = "root.key";
/// A file that stands beside the keys while a restore is under way.
pub(crate) const RESTORING: &str = "restoring";
pub(crate) const ROOT: &str = "phiward root key";
const SIGNING: &str = "signing keys";

/// The keys of one installation, open.
pub(crate) struct Keyring {
    pub(crate) custody: Arc<dyn Custody>,
    /// The same, for going over to another key-encryption key.
    pub(crate) switch: Arc<Switch>,
    root: Secret<Vec<u8>>,
}

impl Keyring {
    /// Opens the key-encryption key and the root key; the root key is made on the first start.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let custody = kek::custody(config)?;
        let path = config.keys_dir.join(ROOT_FILE);
        if !path.exists() && !config.keys_dir.join(RESTORING).exists() {
            make_root(&*custody, &SystemRandom, &path)?;
        }
        Self::with(config, custody)
    }

    /// Opens the keys of an installation that has started before; makes none.
    pub(crate) fn open_existing(config: &Config) -> Result<Self, Failure> {
        Self::with(config, kek::custody(config)?)
    }

    fn with(config: &Config, custody: Arc<dyn Custody>) -> Result<Self, Failure> {
        if config.keys_dir.join(RESTORING).exists() {
            let what = "a restore was cut short; run `phiward restore` with the same backup again";
            return Err(Failure::usage(format!("{}: {what}", config.keys_dir.display())));
        }
        let path = config.keys_dir.join(ROOT_FILE);
        let wrapped = key_file::read(&path).map_err(|error| Failure::usage(error.to_string()))?;
        let root = custody.unwrap(ROOT, wrapped.expose()).map_err(|_| {
            let what = format!(
                "{} was not wrapped by the key-encryption key of {}; the two belong together: \
                 bring back the key-encryption key that was in use",
                path.display(),
                config.path.display()
            );
            Failure::trouble(Trouble::KeyDoesNotOpen, what)
        })?;
        let switch = Arc::new(Switch::new(custody));
        Ok(Self { custody: Arc::clone(&switch) as Arc<dyn Custody>, switch, root })
    }

    /// The key of one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Result<Secret<[u8; 32]>, Failure> {
        derive(self.root.expose(), purpose)
    }

    pub(crate) fn store_key(&self) -> Result<StoreKey, Failure> {
        store_key(self.root.expose())
    }

    pub(crate) fn hash_key(&self) -> Result<HashKey, Failure> {
        Ok(HashKey::new(self.derive("token hash")?))
    }
}

fn derive(root: &[u8], purpose: &str) -> Result<Secret<[u8; 32]>, Failure> {
    let mut key = [0; 32];
    hkdf_sha256(root, b"phiward root 1", &[purpose.as_bytes()], &mut key)
        .map_err(|_| Failure::internal())?;
    Ok(Secret::new(key))
}

/// The store's key that belongs to a root key.
pub(crate) fn store_key(root: &[u8]) -> Result<StoreKey, Failure> {
    StoreKey::from_slice(derive(root, "store")?.expose()).map_err(|_| Failure::internal())
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
