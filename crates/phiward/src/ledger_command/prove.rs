//! `phiward ledger checkpoint`, `prove` and `consistency`: what an outsider needs, without any key.

use std::path::Path;

use ledger::proof;

use super::verify::unproven;
use super::{dir, read_file};
use crate::cli::LedgerArg;
use crate::failure::Failure;
use crate::output;

/// The latest signed note.
pub(super) fn checkpoint(ledger: &LedgerArg) -> Result<(), Failure> {
    let note = proof::checkpoint(&dir(ledger)?).map_err(|error| unproven(&error))?;
    output::text(&note);
    Ok(())
}

/// That a record stands in the log.
pub(super) fn inclusion(ledger: &LedgerArg, seq: u64) -> Result<(), Failure> {
    let proof = proof::inclusion(&dir(ledger)?, seq).map_err(|error| unproven(&error))?;
    output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
}

/// That an old log begins today's.
pub(super) fn consistency(ledger: &LedgerArg, old: &Path) -> Result<(), Failure> {
    let note = read_file(old)?;
    let proof = proof::consistency(&dir(ledger)?, &note).map_err(|error| unproven(&error))?;
    output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
}
