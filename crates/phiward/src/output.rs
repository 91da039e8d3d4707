//! What commands print: plain text, a table, or JSON; colour and progress only on terminals.

use std::io::Write;

use anstyle::Style;
use serde_json::Value;

use crate::failure::Failure;

pub(crate) use ledger::cli::{BAD, DOUBT, GOOD, line, progress, text};

/// A line on standard error, for people, not for scripts.
pub(crate) fn note(text: &str) {
    let dim = Style::new().dimmed();
    let _closed = writeln!(anstream::stderr(), "{dim}{text}{dim:#}");
}

/// One JSON value on one line.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|_| Failure::internal())?;
    line(&text);
    Ok(())
}

/// A table with a heading, without boxes, so that it can be cut and grepped.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(heading).add_rows(rows);
    for row in table.lines() {
        line(row.trim_end());
    }
}
