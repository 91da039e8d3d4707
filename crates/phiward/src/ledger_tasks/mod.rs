//! What goes on beside the ledger while the server runs: each task follows what is on disk already, so
//! none of them can hold up a record. A task that fails says so and tries again; it never ends the
//! server.

mod index;
pub(crate) mod manifest;
mod stream;
pub(crate) mod witness;
pub(crate) mod worm;

pub(crate) use stream::check as check_streams;

use std::sync::Arc;

use keys::custody::Custody;
use ledger::Ledger;
use store::Store;
use tokio::task::JoinHandle;
use web::Web;

use crate::config::Config;

/// What the tasks share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    pub(crate) custody: Arc<dyn Custody>,
    pub(crate) web: Arc<Web>,
    pub(crate) claim: manifest::Claim,
}

/// Starts every task that the configuration asks for.
pub(crate) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for start in [index::start, manifest::start, stream::start, witness::start, worm::start] {
        tasks.extend(start(context));
    }
    tasks
}
