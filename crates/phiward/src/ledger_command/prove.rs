//! `phiward ledger checkpoint`, `prove` and `consistency`: what an outsider needs, without any key.

use std::path::Path;

use ledger::cli;
use ledger::proof::{self, ProofError};

use super::{dir, read_file};
use crate::cli::LedgerArg;
use crate::failure::Failure;
use crate::output;

/// The latest signed note.
pub(super) fn checkpoint(ledger: &LedgerArg) -> Result<(), Failure> {
    let note = proof::checkpoint(&dir(ledger)?).map_err(|error| failure(&error))?;
    output::text(&note);
    Ok(())
}

/// That a record stands in the log.
pub(super) fn inclusion(ledger: &LedgerArg, seq: u64) -> Result<(), Failure> {
    let proof = proof::inclusion(&dir(ledger)?, seq).map_err(|error| failure(&error))?;
    output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
}

/// That an old log begins today's.
pub(super) fn consistency(ledger: &LedgerArg, old: &Path) -> Result<(), Failure> {
    let note = read_file(old)?;
    let proof = proof::consistency(&dir(ledger)?, &note).map_err(|error| failure(&error))?;
    output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
}

/// What is wrong, under its own exit code.
pub(super) fn failure(error: &ProofError) -> Failure {
    match cli::proof_trouble(error) {
        Some(trouble) => Failure::trouble(trouble, error.to_string()),
        None => Failure::check(error.to_string()),
    }
}
