//! `phiward ledger show`: records, decrypted.

use std::time::Duration;

use domain::Kind;
use ledger::Trouble;
use ledger::read::{Cursor, ReadError, Record};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading};
use crate::ledger_index::unreadable;
use crate::output;

/// Which records.
#[derive(Clone, Copy)]
pub(super) enum Which {
    /// One.
    Seq(u64),
    /// The newest.
    Last(u64),
    /// The newest, and then new ones.
    Follow(u64),
}

/// Runs the command.
pub(super) fn run(ledger: &LedgerArg, which: Which, officer: &OfficerArgs) -> Result<(), Failure> {
    let config = Config::read(&ledger.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let reading = Reading::new(Kind::LedgerRead, "ledger show");
    let reading = match which {
        Which::Seq(seq) => reading.asked("seq", Some(seq)),
        Which::Last(last) => reading.asked("last", Some(last)),
        Which::Follow(last) => reading.asked("last", Some(last)).asked("follow", Some(true)),
    };
    let access = Access::ask(&config, &keyring, ledger.dir.as_deref(), &reading, officer)?;
    let mut reader = access.reader();
    let mut cursor = match which {
        Which::Seq(seq) => reader.from_seq(seq),
        Which::Last(last) | Which::Follow(last) => reader.last(last),
    }
    .map_err(|error| unreadable(&error))?;
    if let Which::Seq(seq) = which {
        return print(&one(&mut cursor, seq)?, ledger.json);
    }
    loop {
        let next = match cursor.next_record() {
            Ok(None) => cursor.check_end().map(|()| None),
            next => next,
        };
        match next {
            Ok(Some(record)) => print(&record, ledger.json)?,
            Ok(None) if matches!(which, Which::Follow(_)) => {
                std::thread::sleep(Duration::from_millis(250));
            }
            Ok(None) => return Ok(()),
            Err(error) => return Err(stopped(&mut cursor, &error)),
        }
    }
}

/// The record of this number, also where it stands behind damage.
fn one(cursor: &mut Cursor<'_>, seq: u64) -> Result<Record, Failure> {
    let mut damage = None;
    loop {
        let next = match cursor.next_record() {
            Ok(None) => cursor.check_end().map(|()| None),
            next => next,
        };
        match next {
            Ok(Some(record)) if record.seq == seq => {
                if damage.is_some() {
                    output::note(
                        "the ledger is damaged before this record; run phiward ledger verify",
                    );
                }
                return Ok(record);
            }
            Err(error @ ReadError::Damaged { .. }) => {
                let goes_on = cursor.skip_damage().map_err(|error| unreadable(&error))?;
                if !goes_on {
                    return Err(unreadable(damage.as_ref().unwrap_or(&error)));
                }
                damage.get_or_insert(error);
            }
            Err(error) => return Err(unreadable(&error)),
            Ok(_) => {
                let missing = || Failure::check("there is no such record");
                return Err(damage.as_ref().map_or_else(missing, unreadable));
            }
        }
    }
}

/// What stopped the reading, and where it can go on.
fn stopped(cursor: &mut Cursor<'_>, error: &ReadError) -> Failure {
    let ReadError::Damaged { .. } = error else { return unreadable(error) };
    let mut beyond = None;
    while let Ok(true) = cursor.skip_damage() {
        match cursor.next_record() {
            Ok(record) => {
                beyond = record.map(|record| record.seq);
                break;
            }
            Err(ReadError::Damaged { .. }) => {}
            Err(_) => break,
        }
    }
    let more = match beyond {
        Some(seq) => format!("; behind it, record {seq} is the first that opens (--seq {seq})"),
        None => "; no record behind it opens".to_owned(),
    };
    Failure::trouble(Trouble::Corrupt, format!("{error}{more}"))
}

/// Prints a record for people, or as one line of JSON.
pub(super) fn print(record: &Record, as_json: bool) -> Result<(), Failure> {
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
        "#{:<6} {time:<24}  {:<24} {style}{outcome}{style:#}",
        record.seq,
        text("kind")
    ));
    for (name, value) in value.get("body").and_then(Value::as_object).into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A note has lines of its own: each stays under its field.
        for (place, part) in shown.lines().enumerate() {
            let name = if place == 0 { name } else { "" };
            output::line(&format!("          {name:<15} {part}"));
        }
    }
    Ok(())
}

/// The record's time, UTC, to the millisecond.
pub(crate) fn rfc3339(record: &Record) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(record.time.millis()) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned())
}
