//! `phiward ledger token`: the search token of one patient, person or app for one month, for an auditor
//! who counts records by it. Asking stands in the ledger.

use clap::Args;
use domain::Kind;
use ledger::Field;
use serde_json::json;

use super::failed;
use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading};
use crate::output;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "Example: phiward ledger token --patient 123 --month 2026-11")]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    ledger: LedgerArg,
    #[command(flatten)]
    what: WhatArg,
    /// The month.
    #[arg(long, value_name = "YYYY-MM")]
    month: String,
    #[command(flatten)]
    officer: OfficerArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhatArg {
    /// A patient's id.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// A person, by username or `sub`.
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// An app: its `client_id`.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &TokenArgs) -> Result<(), Failure> {
    let wrong = || Failure::usage("--month is like 2026-11");
    let period = month(&args.month).ok_or_else(wrong)?;
    let WhatArg { patient, person, client } = &args.what;
    let asked = [
        (Field::Patient, "patient", patient),
        (Field::Actor, "person", person),
        (Field::Client, "client", client),
    ];
    let asked =
        asked.into_iter().find_map(|(field, name, value)| Some((field, name, value.as_ref()?)));
    let (field, name, value) = asked.ok_or_else(Failure::internal)?;
    let config = Config::read(&args.ledger.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let reading = Reading::new(Kind::LedgerRead, "ledger token")
        .asked(name, Some(value))
        .asked("month", Some(&args.month));
    let access =
        Access::ask(&config, &keyring, args.ledger.dir.as_deref(), &reading, &args.officer)?;
    let value = match field {
        Field::Actor => crate::runtime(super::person::subject(value, &config, &keyring))?,
        _ => value.clone(),
    };
    let token = access.reader().token(field, &value, period).map_err(|error| failed(&error))?;
    let none = || Failure::check(format!("there is no key of {}", args.month));
    let token = token.ok_or_else(none)?.to_string();
    if args.ledger.json {
        return output::json(&json!({ "month": args.month, "token": token }));
    }
    output::line(&token);
    Ok(())
}

/// `yyyymm` of `YYYY-MM`.
fn month(text: &str) -> Option<u32> {
    let (year, month) = text.split_once('-')?;
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    (1..=12).contains(&month).then_some(year * 100 + month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_four_digits_and_two() {
        assert_eq!(month("2026-11"), Some(202_611));
        for none in ["2026-13", "2026-00", "2026-1", "26-11", "2026", "+026-11", "2026-11-01", ""] {
            assert_eq!(month(none), None, "{none}");
        }
    }
}
