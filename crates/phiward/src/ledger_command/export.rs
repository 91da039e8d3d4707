//! `phiward ledger export`: records in another form, FHIR AuditEvent or JSON.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::export_records::{self, Records};
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
    /// A new file, which only you may read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: ExportArgs) -> Result<(), Failure> {
    export_records::run(&Records {
        ledger: &args.ledger,
        fhir: args.format == Format::Fhir,
        since: args.since.as_deref(),
        until: args.until.as_deref(),
        output: args.output.as_deref(),
        officer: &args.officer,
    })
}
