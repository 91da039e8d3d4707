//! `phiward ledger verify`: every gap on a line of its own, the verdict last.

use ledger::verify::{Report, Verdict, VerifyOptions, verify};

use super::expect::ExpectArgs;
use super::{dir, public_key};
use crate::cli::LedgerArg;
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub(super) fn run(
    ledger: &LedgerArg,
    expect: &[String],
    outside: &ExpectArgs,
    allow_unproven: bool,
    worm: bool,
) -> Result<(), Failure> {
    let dir = dir(ledger)?;
    let mut options = VerifyOptions::new(public_key(ledger)?);
    outside.apply(expect, &mut options)?;
    let bar = output::progress(0);
    let mut report = verify(&dir, &options, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })
    .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
    bar.finish_and_clear();
    if worm {
        super::worm::compare(ledger, &dir, &mut report)?;
    }
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
