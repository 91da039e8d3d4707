//! `phiward ledger show`: records, decrypted.

use std::sync::Arc;
use std::time::Duration;

use ledger::read::{Reader, Record};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{dir, failed};
use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::output;
use crate::system::ledger_origin;

/// Runs the command.
pub(super) fn run(
    ledger: &LedgerArg,
    seq: Option<u64>,
    last: u64,
    follow: bool,
) -> Result<(), Failure> {
    let config = Config::read(&ledger.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let dir = dir(ledger)?;
    let origin = ledger_origin(&config);
    let mut reader =
        Reader::open(&dir, &config.ledger_keys(), &origin, 1, Arc::clone(&keyring.custody));
    let mut cursor = match seq {
        Some(seq) => reader.from_seq(seq),
        None => reader.last(last),
    }
    .map_err(|error| failed(&error))?;
    loop {
        let next = cursor.next_record().map_err(|error| failed(&error))?;
        match next {
            Some(record) => {
                print(&record, ledger.json)?;
                if seq.is_some() {
                    return Ok(());
                }
            }
            None if seq.is_some() => return Err(Failure::check("there is no such record")),
            None if follow => std::thread::sleep(Duration::from_millis(250)),
            None => return Ok(()),
        }
    }
}

fn print(record: &Record, as_json: bool) -> Result<(), Failure> {
    let mut value = record.exposed();
    let time = rfc3339(record);
    if as_json {
        if let Some(members) = value.as_object_mut() {
            members.insert("time".to_owned(), json!(time));
        }
        return output::json(&value);
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let outcome = text("outcome");
    let style = if outcome == "success" { output::GOOD } else { output::BAD };
    output::line(&format!(
        "#{:<6} {time}  {:<24} {style}{outcome}{style:#}",
        record.seq,
        text("kind")
    ));
    for (name, value) in value.get("body").and_then(Value::as_object).into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output::line(&format!("          {name:<15} {shown}"));
    }
    Ok(())
}

/// The record's time, UTC, to the millisecond.
pub(super) fn rfc3339(record: &Record) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(record.time.millis()) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned())
}
