//! What a person who verifies reads, the same in the product and in the auditor's program: every
//! finding on a line of its own, the verdict last. Colour and progress only on terminals.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use crate::proof::ProofError;
use crate::trouble::Trouble;
use crate::verify::{Report, Verdict, VerifyError, VerifyOptions, verify};

/// The style of something that is as it should be.
pub const GOOD: Style = colour(AnsiColor::Green);
/// The style of something that is not.
pub const BAD: Style = colour(AnsiColor::Red);
/// The style of what is less than certain.
pub const DOUBT: Style = colour(AnsiColor::Yellow);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour))).bold()
}

/// A line on standard output.
pub fn line(text: &str) {
    let _closed = writeln!(anstream::stdout(), "{text}");
}

/// A text that ends its own lines, on standard output.
pub fn text(text: &str) {
    let _closed = write!(anstream::stdout(), "{text}");
}

/// Anything on one line of JSON.
///
/// # Errors
/// If it cannot be JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), serde_json::Error> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

/// A progress bar over bytes, hidden when standard error is no terminal.
pub fn progress(total: u64) -> indicatif::ProgressBar {
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

/// Verifies, with a progress bar.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_with_progress(dir: &Path, options: &VerifyOptions) -> Result<Report, VerifyError> {
    let bar = progress(0);
    let report = verify(dir, options, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    report
}

/// A number with its noun.
pub fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// The report, for people; the verdict last.
pub fn print_report(report: &Report) {
    line(&format!("ledger   {}, stream {}", report.origin, report.stream));
    line(&format!(
        "records  {} in {}, {}; tree size {}, root {}",
        report.records,
        counted(report.batches, "batch", "batches"),
        counted(report.segments, "segment", "segments"),
        report.size,
        report.root.get(..16).unwrap_or(&report.root)
    ));
    line(&format!(
        "signed   up to size {}; {}",
        report.signed,
        counted(
            report.expectations_met.into(),
            "outside checkpoint agrees",
            "outside checkpoints agree"
        )
    ));
    for gap in &report.gaps {
        line(&gap.to_string());
    }
    if report.gaps_unlisted > 0 {
        line(&format!("and {} more", report.gaps_unlisted));
    }
    let style = match report.verdict {
        Verdict::Pass => GOOD,
        Verdict::Fail => BAD,
        Verdict::Unproven => DOUBT,
    };
    if report.verdict == Verdict::Unproven {
        let hint = match report.expectations_met {
            0 => "only a checkpoint kept elsewhere proves the log whole: --expect FILE",
            _ => "not everything above could be proven",
        };
        line(&format!("nothing is wrong, but {hint}"));
    }
    line(&format!("{style}{}{style:#}", report.verdict.as_str()));
}

/// What a proof that cannot be made means to a script: `None` if only the thing asked for is not so.
pub const fn proof_trouble(error: &ProofError) -> Option<Trouble> {
    match error {
        ProofError::NoCheckpoint => Some(Trouble::CheckpointMissing),
        ProofError::Note(_) | ProofError::NotOlder | ProofError::OtherLog => {
            Some(Trouble::ForeignCheckpoint)
        }
        ProofError::OtherHistory => Some(Trouble::Fork),
        ProofError::Damaged => Some(Trouble::Corrupt),
        ProofError::Io(_) | ProofError::NoRecord | ProofError::Dropped => None,
    }
}
