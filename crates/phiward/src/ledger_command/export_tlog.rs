//! `phiward ledger export --format tlog`: an ordinary tiled transparency log, for anybody's tools.

use std::path::Path;

use ledger::Trouble;
use ledger::tile::{self, ExportError};
use serde_json::json;

use super::dir;
use super::prove::failure;
use crate::cli::LedgerArg;
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub(super) fn run(ledger: &LedgerArg, out: &Path, entries: bool) -> Result<(), Failure> {
    let dir = dir(ledger)?;
    let bar = output::progress(0);
    let made = tile::export(&dir, out, entries, &mut |leaves| {
        bar.set_length(leaves);
        bar.set_position(leaves);
    });
    bar.finish_and_clear();
    let made = made.map_err(|error| match error {
        ExportError::Proof(error) => failure(&error),
        ExportError::NotEmpty(_) => Failure::usage(error.to_string()),
        ExportError::Io { .. } => Failure::trouble(Trouble::NotWritable, error.to_string()),
    })?;
    if ledger.json {
        return output::json(&json!({
            "output": out,
            "size": made.size,
            "tiles": made.tiles,
            "bundles": made.bundles,
            "checkpoint": made.checkpoint,
        }));
    }
    output::line(&format!(
        "{} leaves, {} hash tiles, {} entry bundles in {}",
        made.size,
        made.tiles,
        made.bundles,
        out.display()
    ));
    if entries {
        output::note("The entries are sealed records. They are ePHI: keep them as such.");
    }
    Ok(())
}
