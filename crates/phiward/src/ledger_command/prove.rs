//! `phiward ledger checkpoint`, `prove` and `consistency`: what an outsider needs, without any key.

use std::path::Path;

use ledger::Trouble;
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
    let trouble = match error {
        ProofError::NoCheckpoint => Trouble::CheckpointMissing,
        ProofError::Note(_) | ProofError::NotOlder | ProofError::OtherLog => {
            Trouble::ForeignCheckpoint
        }
        ProofError::OtherHistory => Trouble::Fork,
        ProofError::Damaged => Trouble::Corrupt,
        ProofError::Io(_) | ProofError::NoRecord | ProofError::Dropped => {
            return Failure::check(error.to_string());
        }
    };
    Failure::trouble(trouble, error.to_string())
}
