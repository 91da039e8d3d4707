//! `phiward ledger shred`: destroys what is past its retention, under two people.

use clap::Args;
use serde_json::Value;

use crate::admin::{Command, Work};
use crate::cli::AdminArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::ledger_access::{OfficerArgs, carry_out};
use crate::output;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "Example: phiward ledger shred --due --officer maria --officer jon")]
pub(crate) struct ShredArgs {
    /// A month past its retention, as 2020-01; may repeat.
    #[arg(long, value_name = "YYYY-MM", required_unless_present = "due")]
    period: Vec<String>,
    /// Every month that is past its retention and not held.
    #[arg(long, conflicts_with = "period")]
    due: bool,
    #[command(flatten)]
    officers: OfficerArgs,
    #[command(flatten)]
    admin: AdminArg,
}

/// Runs the command.
pub(crate) fn run(args: ShredArgs) -> Result<(), Failure> {
    let config = Config::read(&args.admin.config.config)?;
    let officers = args.officers.two()?;
    let work = Work::Shred { months: args.period, officers };
    let done = carry_out(&config, None, &Command::Work(work))?;
    if args.admin.json {
        return output::json(&done);
    }
    let list = |name: &str| done.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| {
        let found = value.get(key).unwrap_or(&Value::Null);
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    };
    let (shredded, held) = (list("shredded"), list("held"));
    for one in &shredded {
        output::line(&format!(
            "shredded  {}  {} segments, {} bytes; the key is destroyed",
            text(one, "month"),
            text(one, "segments"),
            text(one, "bytes")
        ));
    }
    for one in &held {
        output::line(&format!("kept      {}  held by {}", text(one, "month"), text(one, "hold")));
    }
    if shredded.is_empty() && held.is_empty() {
        output::line("nothing to shred");
    }
    Ok(())
}
