//! `phiward ledger verify --worm`: the segments here against their locked copies, and each copy's lock.

use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use indicatif::ProgressStyle;
use ledger::verify::{Report, Verdict};
use ledger::{Gap, GapKind, Place, Weight, worm};

use crate::cli::LedgerArg;
use crate::clock::SystemClock;
use crate::config::{Config, WormConfig};
use crate::failure::Failure;
use crate::ledger_tasks::worm::bucket;
use crate::{output, runtime};

/// The section, which must be there.
pub(super) fn section(config: &Config) -> Result<&WormConfig, Failure> {
    config.ledger.worm.as_ref().ok_or_else(|| {
        let path = config.path.display();
        Failure::usage(format!("{path}: there is no [ledger.worm]: no locked copy is configured"))
    })
}

/// Adds what comparing with the locked copies found.
pub(super) fn compare(ledger: &LedgerArg, dir: &Path, report: &mut Report) -> Result<(), Failure> {
    let config = Config::read(&ledger.config.config)?;
    let bucket = Arc::new(bucket(section(&config)?)?);
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", dir.display()));
    let copies = worm::all_copies(dir, &config.ledger_keys()).map_err(failed)?;
    let now = SystemClock.now();
    let bar = output::progress(0);
    bar.set_length(copies.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} locked copies {eta}") {
        bar.set_style(style);
    }
    let mut gaps = worm::compare(dir, &copies, now, &mut |_| {}).map_err(failed)?;
    runtime(async {
        // Said even where there is no copy yet to ask for.
        if let Err(error) = bucket.require_lock().await {
            let (kind, detail) = (GapKind::WormUncompared, error.to_string());
            gaps.push(Gap { kind, place: Place::default(), detail });
            return Ok(());
        }
        let mut asked = |count| bar.set_position(count as u64);
        gaps.extend(worm::check(&bucket, &copies, now, &mut asked).await);
        Ok(())
    })?;
    bar.finish_and_clear();
    add(report, gaps);
    Ok(())
}

/// Findings only ever make a verdict worse.
fn add(report: &mut Report, gaps: Vec<Gap>) {
    report.verdict = match gaps.iter().map(|gap| gap.kind.weight()).max() {
        Some(Weight::Broken) => Verdict::Fail,
        Some(Weight::Unproven) if report.verdict == Verdict::Pass => Verdict::Unproven,
        _ => report.verdict,
    };
    report.gaps.extend(gaps);
}
