//! `phiward ledger export --format tlog`: an ordinary tiled transparency log, for anybody's tools. Hash
//! tiles tell nothing of anybody; sealed records are ePHI, so that they leave is itself recorded first.

use std::path::Path;

use domain::Kind;
use ledger::Trouble;
use ledger::tile::{self, ExportError};
use serde_json::json;

use super::dir;
use super::prove::failure;
use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading};
use crate::output;

/// Runs the command.
pub(super) fn run(
    ledger: &LedgerArg,
    out: &Path,
    entries: bool,
    officer: &OfficerArgs,
) -> Result<(), Failure> {
    let dir = if entries {
        // Before it is recorded: what cannot be written is not read.
        if std::fs::read_dir(out).is_ok_and(|mut found| found.next().is_some()) {
            return Err(told(&ExportError::NotEmpty(out.to_owned())));
        }
        let config = Config::read(&ledger.config.config)?;
        let keyring = Keyring::open_existing(&config)?;
        let reading = Reading::new(Kind::LedgerExported, "ledger export")
            .asked("format", Some("tlog"))
            .asked("entries", Some(true));
        let dir = ledger.dir.as_deref();
        Access::ask(&config, &keyring, dir, &reading, officer)?.dir().to_owned()
    } else if officer.officer.is_empty() {
        dir(ledger)?
    } else {
        return Err(Failure::usage(
            "--format tlog without --entries shows nobody's records: no --officer",
        ));
    };
    let bar = output::progress(0);
    let made = tile::export(&dir, out, entries, &mut |leaves| {
        bar.set_length(leaves);
        bar.set_position(leaves);
    });
    bar.finish_and_clear();
    let made = made.map_err(|error| told(&error))?;
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

fn told(error: &ExportError) -> Failure {
    match error {
        ExportError::Proof(error) => failure(error),
        ExportError::NotEmpty(_) => Failure::usage(error.to_string()),
        ExportError::Io { .. } => Failure::trouble(Trouble::NotWritable, error.to_string()),
    }
}
