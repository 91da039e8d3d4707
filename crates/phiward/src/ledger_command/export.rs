//! `phiward ledger export`: FHIR AuditEvent or JSON, a record a line, or an ordinary tiled transparency
//! log. What opens records goes through the gate of `ledger_access`; a tiled log opens none.

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
    #[arg(long, value_enum)]
    format: Format,
    /// From when on: a date or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to when: a date (that whole day) or RFC 3339 (up to that moment).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// A new file, which only you may read, instead of standard output; with --format tlog the
    /// directory to write, empty or new.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// With --format tlog: the sealed records, too. They are ePHI.
    #[arg(long)]
    entries: bool,
    #[command(flatten)]
    officer: OfficerArgs,
}

/// As what records leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
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
    if args.format == Format::Tlog {
        let Some(output) = &args.output else {
            return Err(Failure::usage("--format tlog takes --output DIR"));
        };
        if args.since.is_some() || args.until.is_some() {
            return Err(Failure::usage(
                "a tiled log is whole: --since and --until do not go with it",
            ));
        }
        return export_tlog::run(&args.ledger, output, args.entries);
    }
    if args.entries {
        return Err(Failure::usage("--entries goes with --format tlog"));
    }
    export_records::run(&Records {
        ledger: &args.ledger,
        fhir: args.format == Format::Fhir,
        since: args.since.as_deref(),
        until: args.until.as_deref(),
        output: args.output.as_deref(),
        officer: &args.officer,
    })
}
