//! Everything that lasts beside the ledger, on SQLite or PostgreSQL; no caller can tell which. A
//! single-use thing is consumed by one conditional statement that names its owner; what it belongs
//! to (the grant) is checked inside the same transaction, under that grant's lock. A change is
//! durable before its function returns. What links a person to an app or a patient is sealed;
//! credentials are kept as keyed hashes. Time and randomness are parameters.

mod attempts;
mod backend;
mod clients;
mod codes;
pub mod dump;
mod expiry;
mod fault;
mod flows;
pub mod gateway;
mod grants;
pub mod ledger_index;
mod ledger_streams;
mod people;
mod refresh;
mod replay;
mod row;
mod schema;
mod sealed;
mod sessions;
mod vault;
mod writer;

use std::sync::Arc;

use keys::Random;
use sqlx::AnyPool;

pub use codes::{Code, CodeUse, NewCode};
pub use fault::{OpenError, StoreFault};
pub use flows::NewFlow;
pub use gateway::GatewayStore;
pub use ledger_index::LedgerIndex;
pub use ledger_streams::{HeadKept, LedgerStream, StreamHead, StreamOpening};
pub use refresh::{NewRefresh, Refresh, RefreshUse};
pub use sessions::{NewSession, Session};
pub use vault::StoreKey;

use vault::Vault;
use writer::Writer;

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    readers: AnyPool,
    writer: Writer,
    vault: Arc<Vault>,
}

impl Store {
    /// Opens `sqlite:PATH` (made with mode 0600 if missing) or `postgres://…`, brings the schema up
    /// to date and proves that the key is the one that the database was made with.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way. A database that is refused was not changed.
    pub async fn open(
        url: &str,
        key: StoreKey,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let backend::Opened { readers, writer } = backend::open(url).await?;
        let store = Self { readers, writer, vault: Arc::new(Vault::new(key, random)) };
        if let Err(error) = store.prove_key().await {
            store.close().await;
            return Err(error);
        }
        Ok(store)
    }

    /// As [`Store::open`], for a database that is about to be replaced and may be under another key.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way.
    pub async fn open_to_replace(
        url: &str,
        key: StoreKey,
        random: Arc<dyn Random>,
    ) -> Result<Self, OpenError> {
        let backend::Opened { readers, writer } = backend::open(url).await?;
        Ok(Self { readers, writer, vault: Arc::new(Vault::new(key, random)) })
    }

    /// The part of the store that the gateway may ask.
    pub fn gateway(&self) -> GatewayStore {
        GatewayStore::new(self.readers.clone(), Arc::clone(&self.vault))
    }

    /// Finishes the changes under way, then closes every connection of every clone.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
