//! `phiward ledger export`: FHIR AuditEvent, JSON, or an ordinary tiled transparency log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::export_tlog;
use crate::cli::LedgerArg;
use crate::failure::Failure;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    ledger: LedgerArg,
    /// As what.
    #[arg(long)]
    format: Format,
    /// The directory to write; it must be empty or new.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// With --format tlog: the sealed records, too. They are ePHI.
    #[arg(long)]
    entries: bool,
}

/// As what records leave.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// FHIR AuditEvent (not in this version).
    Fhir,
    /// One JSON object a line (not in this version).
    Json,
    /// A tiled transparency log (c2sp.org/tlog-tiles): checkpoint and hash tiles.
    Tlog,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: ExportArgs) -> Result<(), Failure> {
    match (args.format, args.output) {
        (Format::Tlog, Some(out)) => export_tlog::run(&args.ledger, &out, args.entries),
        (Format::Tlog, None) => Err(Failure::usage("--format tlog takes --output DIR")),
        (Format::Fhir | Format::Json, _) => {
            Err(Failure::not_in_this_version("ledger export --format fhir|json"))
        }
    }
}
