//! `phiward ledger search`: by patient, person, client, correlation id, kind and time.

use clap::Args;

use crate::failure::Failure;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<String>,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: SearchArgs) -> Result<(), Failure> {
    let _planned = args.rest;
    Err(Failure::not_in_this_version("ledger search"))
}
