//! `phiward ledger …`: reading and verifying the record, beside a running server or on a copy. One
//! file for each command; what they share is here.

pub(crate) mod expect;
pub(crate) mod export;
mod export_records;
mod export_tlog;
pub(crate) mod hold;
mod person;
mod prove;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod search;
mod show;
pub(crate) mod shred;
pub(crate) mod token;
mod verify;
pub(crate) mod witness;
mod worm;

use std::path::{Path, PathBuf};

use ledger::Trouble;
use ledger::note::VerifierKey;

use crate::cli::{LedgerArg, LedgerCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::system::stream_at;

pub(crate) use show::rfc3339;
pub(crate) use verify::{judge as judge_streams, manifest as known_streams, print_report};

/// Runs one of the commands.
pub(crate) fn run(command: LedgerCommand) -> Result<(), Failure> {
    match command {
        LedgerCommand::Verify { ledger, expect, outside, allow_unproven, worm, period_keys } => {
            let besides = verify::Besides { worm, period_keys };
            verify::run(&ledger, &expect, &outside, allow_unproven, &besides)
        }
        LedgerCommand::Show { ledger, seq, last, follow, officer } => {
            let which = if follow { show::Which::Follow(last) } else { show::Which::Last(last) };
            show::run(&ledger, seq.map_or(which, show::Which::Seq), &officer)
        }
        LedgerCommand::Checkpoint { ledger } => prove::checkpoint(&ledger),
        LedgerCommand::Prove { ledger, seq } => prove::inclusion(&ledger, seq),
        LedgerCommand::Consistency { ledger, old } => prove::consistency(&ledger, &old),
        LedgerCommand::Search(args) => search::run(args),
        LedgerCommand::Report(args) => report::run(args),
        LedgerCommand::Export(args) => export::run(args),
        LedgerCommand::Repair(args) => repair::run(&args),
        LedgerCommand::Hold(args) => hold::run(args),
        LedgerCommand::Shred(args) => shred::run(args),
        LedgerCommand::Token(args) => token::run(&args),
        LedgerCommand::Witness(args) => witness::run(args),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::check(error.to_string())
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn dir(ledger: &LedgerArg) -> Result<PathBuf, Failure> {
    let dir = match &ledger.dir {
        Some(dir) => dir.clone(),
        None => Config::read(&ledger.config.config)?.ledger.dir,
    };
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(Failure::trouble(Trouble::NoLedger, format!("{} is not a directory", dir.display())))
    }
}

/// The pinned public key: the file named, or the one beside the configured ledger's keys.
fn public_key(ledger: &LedgerArg) -> Result<VerifierKey, Failure> {
    let path = match &ledger.key {
        Some(path) => path.clone(),
        None => {
            let config = Config::read(&ledger.config.config)?;
            let dir = ledger.dir.as_ref().unwrap_or(&config.ledger.dir);
            stream_at(&config, dir).keys_dir.join("stable.vkey")
        }
    };
    VerifierKey::parse(read_file(&path)?.trim())
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
