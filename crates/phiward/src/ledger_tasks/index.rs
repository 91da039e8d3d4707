//! Keeps the search index up with the log. It reads what is on disk already and never holds up a record;
//! a search that comes first does the same.

use std::sync::Arc;
use std::time::Duration;

use ledger::read::Reader;
use store::LedgerIndex;
use tokio::task::JoinHandle;

use super::Context;
use crate::ledger_index::{self, IndexError};
use crate::system::{ledger_origin, ledger_stream};

/// How often the log is looked at.
const TURN: Duration = Duration::from_secs(1);
/// How long a failure is waited out.
const PAUSE: Duration = Duration::from_secs(30);

/// Starts the task.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    vec![tokio::spawn(keep_up(context.clone()))]
}

async fn keep_up(context: Context) {
    loop {
        match follow(&context).await {
            // A replaced index is opened again, a damaged one made again.
            Ok(()) => {}
            Err(Stopped::Index) => {
                tracing::warn!("the search index was damaged and is made again");
                let made = LedgerIndex::make_again(&ledger_index::path(&context.config)).await;
                if let Err(error) = made {
                    tracing::warn!(%error, "the search index cannot be made again");
                }
                tokio::time::sleep(TURN).await;
                continue;
            }
            Err(Stopped::Said(why)) => tracing::warn!(why, "the search index does not keep up"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Stopped {
    Index,
    Said(String),
}

/// Follows the log until something fails, or the index file is another.
async fn follow(context: &Context) -> Result<(), Stopped> {
    let config = &context.config;
    let path = ledger_index::path(config);
    let index = ledger_index::open(&path).await.map_err(|e| Stopped::Said(e.message()))?;
    let opened = ledger_index::identity(&path);
    let mut reader = Reader::open(
        &config.ledger.dir,
        &config.ledger_keys(),
        &ledger_origin(config),
        ledger_stream(config),
        Arc::clone(&context.custody),
    );
    while ledger_index::identity(&path) == opened {
        let (back, other) =
            ledger_index::catch_up(&index, reader, &|_| ()).await.map_err(|error| match error {
                IndexError::Index => Stopped::Index,
                IndexError::Read(error) => Stopped::Said(error.to_string()),
            })?;
        reader = back;
        if other {
            tracing::warn!("the search index was of another log and was made again");
        }
        tokio::time::sleep(TURN).await;
    }
    index.close().await;
    Ok(())
}
