//! `phiward ledger export --format fhir|json`: one record a line, as FHIR AuditEvent or as JSON, oldest first. That
//! records left in another form is itself recorded, before the first of them is read.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::Kind;
use report::Period;
use report::fhir::{Context, audit_event};
use serde_json::json;

use super::report::told;
use super::show;
use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading};
use crate::ledger_index::unreadable;
use crate::output;
use crate::system::stream_at;

/// Which records, in which form.
pub(super) struct Records<'a> {
    pub(super) ledger: &'a LedgerArg,
    pub(super) fhir: bool,
    pub(super) since: Option<&'a str>,
    pub(super) until: Option<&'a str>,
    pub(super) output: Option<&'a Path>,
    pub(super) officer: &'a OfficerArgs,
}

/// Runs the command.
pub(super) fn run(args: &Records<'_>) -> Result<(), Failure> {
    let period = Period::parse(args.since, args.until)
        .map_err(|error| told("--since and --until", error))?;
    let config = Config::read(&args.ledger.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let form = if args.fhir { "fhir" } else { "json" };
    let reading = Reading::new(Kind::LedgerExported, "ledger export")
        .asked("format", Some(form))
        .asked("since", args.since)
        .asked("until", args.until);
    let dir = args.ledger.dir.as_deref();
    let access = Access::ask(&config, &keyring, dir, &reading, args.officer)?;
    let place = stream_at(&config, access.dir());
    let fhir_base = format!("{}/fhir", config.issuer);
    let context = Context {
        issuer: &config.issuer,
        fhir_base: &fhir_base,
        origin: &place.origin,
        stream: place.stream,
    };
    let to: Box<dyn Write> = match args.output {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?)
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut to = BufWriter::new(to);
    let mut reader = access.reader();
    let total = reader.count().map_err(|error| unreadable(&error))?;
    let mut cursor = reader.from_seq(0).map_err(|error| unreadable(&error))?;
    let bar = output::counter(total);
    let mut count = 0_u64;
    while let Some(record) = cursor.next_record().map_err(|error| unreadable(&error))? {
        bar.set_position(record.seq);
        if !period.contains(record.time) {
            continue;
        }
        let value = match args.fhir {
            true => audit_event(&record, &context),
            false => {
                let mut value = record.exposed();
                if let Some(members) = value.as_object_mut() {
                    members.insert("time".to_owned(), json!(show::rfc3339(&record)));
                }
                value
            }
        };
        let written = serde_json::to_writer(&mut to, &value)
            .map_err(std::io::Error::from)
            .and_then(|()| to.write_all(b"\n"));
        if let Err(error) = written {
            return closed(args.output, &error);
        }
        count = count.saturating_add(1);
    }
    bar.finish_and_clear();
    if let Err(error) = to.flush() {
        return closed(args.output, &error);
    }
    if let Some(path) = args.output {
        output::note(&format!("{count} records written to {}", path.display()));
    }
    Ok(())
}

/// A reader that had enough is no failure; a file that takes no more is.
fn closed(output: Option<&Path>, error: &std::io::Error) -> Result<(), Failure> {
    match output {
        None if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        None => Err(Failure::usage(format!("standard output: {error}"))),
        Some(path) => Err(Failure::usage(format!("{}: {error}", path.display()))),
    }
}
