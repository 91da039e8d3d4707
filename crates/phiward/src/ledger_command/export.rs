//! `phiward ledger export`: FHIR AuditEvent, JSON, or an ordinary tiled transparency log.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::export_records::{self, Records};
use super::export_tlog;
use crate::cli::LedgerArg;
use crate::failure::Failure;
use crate::ledger_access::OfficerArgs;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    ledger: LedgerArg,
    /// As what.
    #[arg(long)]
    format: Format,
    /// With fhir and json, from when on: a date or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// With fhir and json, up to when: a date (that whole day) or RFC 3339 (up to that moment).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With fhir and json, a new file instead of standard output; with tlog, the directory to write,
    /// which must be empty or new.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// With --format tlog: the sealed records, too. They are ePHI.
    #[arg(long)]
    entries: bool,
    #[command(flatten)]
    officer: OfficerArgs,
}

/// As what records leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One FHIR R4 AuditEvent a line.
    Fhir,
    /// One JSON object a line, with every field.
    Json,
    /// A tiled transparency log (c2sp.org/tlog-tiles): checkpoint and hash tiles.
    Tlog,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: ExportArgs) -> Result<(), Failure> {
    match (args.format, args.output) {
        (Format::Tlog, _) if args.since.is_some() || args.until.is_some() => {
            Err(Failure::usage("--format tlog is of the whole log: no --since, no --until"))
        }
        (Format::Tlog, Some(out)) => {
            export_tlog::run(&args.ledger, &out, args.entries, &args.officer)
        }
        (Format::Tlog, None) => Err(Failure::usage("--format tlog takes --output DIR")),
        (Format::Fhir | Format::Json, _) if args.entries => {
            Err(Failure::usage("--entries goes with --format tlog"))
        }
        (format, output) => export_records::run(&Records {
            ledger: &args.ledger,
            fhir: format == Format::Fhir,
            since: args.since.as_deref(),
            until: args.until.as_deref(),
            output: output.as_deref(),
            officer: &args.officer,
        }),
    }
}
