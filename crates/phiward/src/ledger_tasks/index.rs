//! Keeps the search index up with the log. It reads what is on disk already and never holds up a record;
//! a search that comes first does the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::Clock as _;
use ledger::read::Reader;
use store::LedgerIndex;
use tokio::task::JoinHandle;
use web::metrics::Gauge;

use super::Context;
use crate::clock::SystemClock;
use crate::ledger_index::{self, IndexError};
use crate::system::{ledger_origin, ledger_stream};

/// How often the log is looked at.
const TURN: Duration = Duration::from_secs(1);
/// How long a failure is waited out.
const PAUSE: Duration = Duration::from_secs(30);

/// Starts the task.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let current_at = Arc::new(AtomicI64::new(SystemClock.now().millis()));
    vec![
        tokio::spawn(keep_up(context.clone(), Arc::clone(&current_at))),
        tokio::spawn(tell(context.clone(), current_at)),
    ]
}

/// Tells how long ago the index was up with the log, also while it catches up or cannot.
async fn tell(context: Context, current_at: Arc<AtomicI64>) {
    loop {
        let lag = SystemClock.now().millis().saturating_sub(current_at.load(Ordering::Relaxed));
        context.web.metrics().set(Gauge::IndexLag, u64::try_from(lag / 1000).unwrap_or(0));
        tokio::time::sleep(TURN).await;
    }
}

async fn keep_up(context: Context, current_at: Arc<AtomicI64>) {
    loop {
        match follow(&context, &current_at).await {
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
async fn follow(context: &Context, current_at: &AtomicI64) -> Result<(), Stopped> {
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
        current_at.store(SystemClock.now().millis(), Ordering::Relaxed);
        if other {
            tracing::warn!("the search index was of another log and was made again");
        }
        tokio::time::sleep(TURN).await;
    }
    index.close().await;
    Ok(())
}
