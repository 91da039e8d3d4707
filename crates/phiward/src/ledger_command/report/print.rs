//! How a report is handed over: a table, CSV, JSON or PDF, on standard output or in a new file that
//! nobody else may read. Proofs are whole in JSON; beside the others they go to a file of their own.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use report::{Document, Proof};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Common, Format};
use crate::failure::Failure;
use crate::output;

/// A report that was made.
pub(super) struct Made {
    value: Value,
    document: Document,
}

impl Made {
    pub(super) fn of(report: &impl Serialize, document: Document) -> Result<Self, Failure> {
        let value = serde_json::to_value(report).map_err(|_| Failure::internal())?;
        Ok(Self { value, document })
    }
}

/// Prints or writes it.
pub(super) fn write(
    common: &Common,
    name: &str,
    made: Made,
    proof: Option<&Proof>,
) -> Result<(), Failure> {
    let Made { mut value, mut document } = made;
    let format = common.format();
    if let Some(proof) = proof {
        document.notes.push(proof.statement.clone());
        let signed: Vec<&str> = proof.checkpoint.lines().take(3).collect();
        document.notes.push(format!("Checkpoint: {}", signed.join(" ")));
    }
    let proof = proof.map(serde_json::to_value).transpose();
    let proof = proof.map_err(|_| Failure::internal())?;
    let bytes = match format {
        Format::Table => {
            let text = table(&document, common.output.is_none());
            text.into_bytes()
        }
        Format::Csv => report::csv(&document).into_bytes(),
        Format::Pdf => report::pdf(&document).map_err(|error| Failure::usage(error.to_string()))?,
        Format::Json => {
            if let Some(members) = value.as_object_mut() {
                members.insert("report".to_owned(), json!(name));
                members.extend(proof.clone().map(|proof| ("proof".to_owned(), proof)));
            }
            let mut text = serde_json::to_vec(&value).map_err(|_| Failure::internal())?;
            text.push(b'\n');
            text
        }
    };
    match &common.output {
        Some(path) => {
            create(path, &bytes)?;
            output::note(&format!("written to {}", path.display()));
        }
        None if format == Format::Pdf && std::io::stdout().is_terminal() => {
            return Err(Failure::usage("a PDF is no text: give it a file with --output FILE"));
        }
        None => {
            let mut out = std::io::stdout().lock();
            let _closed = out.write_all(&bytes).and_then(|()| out.flush());
        }
    }
    match (proof, &common.output) {
        (Some(proof), Some(path)) if format != Format::Json => {
            let beside = PathBuf::from(format!("{}.proof.json", path.display()));
            let mut text = serde_json::to_vec(&proof).map_err(|_| Failure::internal())?;
            text.push(b'\n');
            create(&beside, &text)?;
            output::note(&format!("the proofs are in {}", beside.display()));
        }
        (Some(_), None) if format != Format::Json => {
            output::note(
                "the proofs themselves are printed with --json, and written beside --output",
            );
        }
        _ => {}
    }
    Ok(())
}

/// A new file: evidence is not written over.
fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

fn table(document: &Document, on_terminal: bool) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", document.title);
    for (name, value) in &document.facts {
        let _ = writeln!(out, "{name:<18} {value}");
    }
    for section in &document.sections {
        let heading = section.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let _ = writeln!(out, "\n{}", section.title);
        if section.rows.is_empty() {
            let _ = writeln!(out, "none");
        } else {
            out.push_str(&output::wide_table(&heading, &section.rows, on_terminal));
        }
    }
    out.push('\n');
    for note in &document.notes {
        let _ = writeln!(out, "{note}");
    }
    out
}
