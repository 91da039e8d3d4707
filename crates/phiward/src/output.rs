//! What commands print: plain text, a table, or JSON; colour and progress only on terminals.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::failure::Failure;

/// A line on standard output.
pub(crate) fn line(text: &str) {
    let _closed = writeln!(anstream::stdout(), "{text}");
}

/// A text that ends its own lines, on standard output.
pub(crate) fn text(text: &str) {
    let _closed = write!(anstream::stdout(), "{text}");
}

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

/// The same as text, on a terminal no wider than it.
pub(crate) fn wide_table(heading: &[&str], rows: &[Vec<String>], on_terminal: bool) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(heading).add_rows(rows);
    if on_terminal && std::io::stdout().is_terminal() {
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    }
    table.lines().fold(String::new(), |text, row| text + row.trim_end() + "\n")
}

/// The style of something that is as it should be.
pub(crate) const GOOD: Style =
    Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green))).bold();
/// The style of something that is not.
pub(crate) const BAD: Style =
    Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))).bold();
/// The style of what is less than certain.
pub(crate) const DOUBT: Style =
    Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow))).bold();

/// A progress bar over records, hidden when standard error is no terminal.
pub(crate) fn counting(total: u64) -> indicatif::ProgressBar {
    let bar = progress(total);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {pos} of {len} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// A progress bar over bytes, hidden when standard error is no terminal.
pub(crate) fn progress(total: u64) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(total);
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
