//! `phiward ledger …`: reading and verifying the record, beside a running server or on a copy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ledger::note::VerifierKey;
use ledger::proof;
use ledger::read::{Reader, Record};
use ledger::verify::{Report, Verdict, VerifyOptions, verify};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{LedgerArg, LedgerCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::output;
use crate::system::ledger_origin;

/// Runs one of the commands.
pub(crate) fn run(command: LedgerCommand) -> Result<(), Failure> {
    let planned = |name: &str| Err(Failure::not_in_this_version(&format!("ledger {name}")));
    match command {
        LedgerCommand::Verify { ledger, expect, allow_unproven } => {
            run_verify(&ledger, &expect, allow_unproven)
        }
        LedgerCommand::Show { ledger, seq, last, follow } => show(&ledger, seq, last, follow),
        LedgerCommand::Checkpoint { ledger } => {
            let note = proof::checkpoint(&dir(&ledger)?).map_err(|error| failed(&error))?;
            output::text(&note);
            Ok(())
        }
        LedgerCommand::Prove { ledger, seq } => {
            let proof = proof::inclusion(&dir(&ledger)?, seq).map_err(|error| failed(&error))?;
            output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
        }
        LedgerCommand::Consistency { ledger, old } => {
            let note = read_file(&old)?;
            let proof =
                proof::consistency(&dir(&ledger)?, &note).map_err(|error| failed(&error))?;
            output::json(&serde_json::to_value(proof).map_err(|_| Failure::internal())?)
        }
        LedgerCommand::Search(_) => planned("search"),
        LedgerCommand::Report(_) => planned("report"),
        LedgerCommand::Export(_) => planned("export"),
        LedgerCommand::Repair(_) => planned("repair"),
        LedgerCommand::Hold(_) => planned("hold"),
        LedgerCommand::Shred(_) => planned("shred"),
        LedgerCommand::Witness(_) => planned("witness"),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::check(error.to_string())
}

fn read_file(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn dir(ledger: &LedgerArg) -> Result<PathBuf, Failure> {
    let dir = match &ledger.dir {
        Some(dir) => dir.clone(),
        None => Config::read(&ledger.config.config)?.ledger,
    };
    if dir.is_dir() {
        Ok(dir)
    } else {
        Err(Failure::usage(format!("{} is not a directory", dir.display())))
    }
}

/// The pinned public key: the file named, or the one beside the configured ledger's keys.
fn public_key(ledger: &LedgerArg) -> Result<VerifierKey, Failure> {
    let path = match &ledger.key {
        Some(path) => path.clone(),
        None => Config::read(&ledger.config.config)?.ledger_keys().join("stable.vkey"),
    };
    VerifierKey::parse(read_file(&path)?.trim())
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn run_verify(ledger: &LedgerArg, expect: &[String], allow_unproven: bool) -> Result<(), Failure> {
    let dir = dir(ledger)?;
    let mut options = VerifyOptions::new(public_key(ledger)?);
    for path in expect {
        if path.contains("://") {
            return Err(Failure::not_in_this_version("ledger verify --expect URL"));
        }
        options.expectations.push(read_file(path.as_ref())?);
    }
    let bar = output::progress(0);
    let report = verify(&dir, &options, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })
    .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
    bar.finish_and_clear();
    print_report(&report, ledger.json)?;
    match report.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Unproven if allow_unproven => Ok(()),
        Verdict::Unproven | Verdict::Fail => Err(Failure::silent()),
    }
}

/// Prints what was found; the verdict last.
pub(crate) fn print_report(report: &Report, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&serde_json::to_value(report).map_err(|_| Failure::internal())?);
    }
    output::line(&format!("ledger   {}", report.origin));
    output::line(&format!(
        "records  {} in {} batches, {} segments; tree size {}, root {}",
        report.records,
        report.batches,
        report.segments,
        report.size,
        report.root.get(..16).unwrap_or(&report.root)
    ));
    output::line(&format!(
        "signed   up to size {}; {} outside checkpoints agree",
        report.signed, report.expectations_met
    ));
    for gap in &report.gaps {
        output::line(&format!("{gap}"));
    }
    if report.gaps_unlisted > 0 {
        output::line(&format!("and {} more", report.gaps_unlisted));
    }
    let style = match report.verdict {
        Verdict::Pass => output::GOOD,
        Verdict::Fail => output::BAD,
        Verdict::Unproven => output::DOUBT,
    };
    if report.verdict == Verdict::Unproven {
        output::line(
            "nothing is wrong, but only a checkpoint kept elsewhere proves the log whole: --expect FILE",
        );
    }
    output::line(&format!("{style}{}{style:#}", report.verdict.as_str()));
    Ok(())
}

fn show(ledger: &LedgerArg, seq: Option<u64>, last: u64, follow: bool) -> Result<(), Failure> {
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
pub(crate) fn rfc3339(record: &Record) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(record.time.millis()) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned())
}
