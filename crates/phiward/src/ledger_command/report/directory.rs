//! Who clients and people are, from the database, beside a running server or not.

use std::sync::Arc;

use keys::SystemRandom;
use report::Directory;
use store::Store;

use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;

/// Reads everybody.
pub(super) fn read(config: &Config, keyring: &Keyring) -> Result<Directory, Failure> {
    crate::runtime(async {
        let store = Store::open(&config.database, keyring.store_key()?, Arc::new(SystemRandom));
        let store = store.await.map_err(|error| Failure::usage(error.to_string()))?;
        let fault = |_| Failure::usage("the database does not say who is registered");
        let (clients, people) = (store.clients().await, store.people().await);
        store.close().await;
        Ok(Directory::new(clients.map_err(fault)?, people.map_err(fault)?))
    })
}
