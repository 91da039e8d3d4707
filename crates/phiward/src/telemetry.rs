//! Log lines on standard error: text for people, JSON for collectors. No line carries PHI or a
//! secret; what a request was about stands in the ledger under its correlation id.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts logging at a level, once.
pub(crate) fn start(level: &str, as_json: bool) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(level)
        .map_err(|_| Failure::usage(format!("telemetry.log: `{level}` is not a level")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if as_json { builder.json().try_init() } else { builder.try_init() };
    started.map_err(|_| Failure::internal())
}
