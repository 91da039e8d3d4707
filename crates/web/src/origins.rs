//! Which browser origins belong to registered apps. The list is read again every few seconds, so a
//! change shows soon and a flood of strange origins costs the database nothing; if it cannot be read,
//! no origin is registered.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Clock, RedirectUri, Timestamp};
use store::Store;

/// How long a list is good for, in milliseconds.
const FRESH_MILLIS: i64 = 5_000;

/// The origins of all registered redirect URIs.
pub(crate) struct Origins {
    store: Store,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<(Timestamp, Arc<[RedirectUri]>)>>,
}

impl Origins {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, known: RwLock::new(None) }
    }

    /// Whether an enabled client registered a redirect URI of this origin.
    pub(crate) async fn is_registered(&self, origin: &str) -> bool {
        self.current().await.iter().any(|uri| uri.allows_origin(origin))
    }

    async fn current(&self) -> Arc<[RedirectUri]> {
        let now = self.clock.now();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, list)) = known
            && since <= now
            && now < since.plus_millis(FRESH_MILLIS)
        {
            return list;
        }
        let Ok(clients) = self.store.clients().await else { return Arc::from([]) };
        let enabled = clients.into_iter().filter(|client| client.disabled.is_none());
        let list: Arc<[RedirectUri]> =
            enabled.flat_map(|client| client.draft.redirect_uris).collect();
        let fresh = Some((now, Arc::clone(&list)));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        list
    }
}
