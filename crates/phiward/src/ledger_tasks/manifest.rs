//! Keeps this stream's place and last checkpoint in the database, where other nodes see it.

use tokio::task::JoinHandle;

use super::Context;

/// Starts the task, if the configuration asks for it.
pub(super) fn start(_context: &Context) -> Vec<JoinHandle<()>> {
    Vec::new()
}
