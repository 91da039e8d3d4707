//! `phiward ledger hold`: legal holds, under two people.

use clap::Args;

use crate::failure::Failure;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<String>,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: HoldArgs) -> Result<(), Failure> {
    let _planned = args.rest;
    Err(Failure::not_in_this_version("ledger hold"))
}
