//! `phiward ledger repair`: missing and damaged segments come back from their locked copies. The server
//! must be stopped. What is put in place verifies; what stood there is kept; the repair is recorded.

use std::sync::Arc;

use clap::Args;
use domain::{Clock, Kind};
use ledger::verify::VerifyOptions;
use ledger::worm::{Repair, RepairError, Repaired, stream_of};
use ledger::{Body, Trouble};
use serde_json::json;

use super::worm::section;
use super::{dir, public_key};
use crate::cli::LedgerArg;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_tasks::worm::bucket;
use crate::system::open_ledger;
use crate::{output, runtime};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArg,
    /// Say what would be done, look whether the copies are there, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Runs the command.
pub(crate) fn run(args: &RepairArgs) -> Result<(), Failure> {
    let ledger = &args.ledger;
    let config = Config::read(&ledger.config.config)?;
    let worm = section(&config)?;
    let dir = dir(ledger)?;
    let mut options = VerifyOptions::new(public_key(ledger)?);
    options.stream = Some(
        stream_of(&dir).map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?,
    );
    let now = SystemClock.now();
    let repair =
        Repair::begin(&dir, &config.ledger_keys(), options, now).map_err(|e| failure(&e))?;
    let damaged: Vec<(u32, &str, usize)> = repair
        .damaged()
        .map(|(segment, damage, copies)| (segment, damage.as_str(), copies))
        .collect();
    if damaged.is_empty() {
        return say(
            ledger.json,
            &json!({"repaired": []}),
            "nothing to repair: every closed segment is as it was copied",
        );
    }
    if !ledger.json {
        let row = |(segment, damage, copies): &(u32, &str, usize)| {
            vec![segment.to_string(), (*damage).to_owned(), copies.to_string()]
        };
        output::table(&["segment", "is", "copies on record"], damaged.iter().map(row).collect());
    }
    let bucket = bucket(worm)?;
    if args.dry_run {
        runtime(async { repair.rehearse(&bucket).await.map_err(|e| failure(&e)) })?;
        let found: Vec<_> = damaged
            .iter()
            .map(|(segment, damage, _)| json!({"segment": segment, "damage": damage}))
            .collect();
        let said =
            "the copies are there; nothing was changed. Without --dry-run they are put in place";
        return say(ledger.json, &json!({"would_repair": found}), said);
    }
    let (repaired, without) =
        runtime(async { repair.run(&bucket, now).await.map_err(|e| failure(&e)) })?;
    // Only the configured ledger has the keys to record it; a copy elsewhere is just made whole.
    let recorded = if ledger.dir.is_none() { record(&config, &repaired) } else { Ok(()) };
    tell(ledger.json, &repaired, &without, recorded.is_ok() && ledger.dir.is_none())?;
    if !without.is_empty() {
        let segments: Vec<String> = without.iter().map(ToString::to_string).collect();
        let list = segments.join(", ");
        return Err(Failure::trouble(
            Trouble::NoCopy,
            format!("segment {list} has no good copy and stays as it is; a backup may have it"),
        ));
    }
    recorded
}

fn failure(error: &RepairError) -> Failure {
    Failure::trouble(error.trouble(), error.to_string())
}

/// Records each repair, in the ledger as it is now.
fn record(config: &Config, repaired: &[Repaired]) -> Result<(), Failure> {
    let keyring = Keyring::open_existing(config)?;
    let ledger = open_ledger(config, Arc::clone(&keyring.custody))?;
    runtime(async {
        for one in repaired {
            let detail = Some(format!("the segment was {}", one.damage.as_str()));
            let body = Body { detail, ..one.copy.body() };
            ledger.append_open(Kind::LedgerRepaired, &body).await.map_err(|e| unrecorded(&e))?;
        }
        ledger.close().await.map_err(|e| unrecorded(&e))
    })
}

fn unrecorded(error: &dyn std::fmt::Display) -> Failure {
    Failure::trouble(
        Trouble::NotWritable,
        format!("the segments are in place, but the repair could not be recorded: {error}"),
    )
}

fn tell(
    as_json: bool,
    repaired: &[Repaired],
    without: &[u32],
    recorded: bool,
) -> Result<(), Failure> {
    if as_json {
        let one = |one: &Repaired| {
            json!({
                "segment": one.copy.segment,
                "damage": one.damage.as_str(),
                "object": one.copy.object,
                "version_id": one.copy.version_id,
                "kept": one.kept,
            })
        };
        let repaired: Vec<_> = repaired.iter().map(one).collect();
        return output::json(
            &json!({"repaired": repaired, "without_copy": without, "recorded": recorded}),
        );
    }
    for one in repaired {
        output::line(&format!(
            "segment {} is back, from {} version {}",
            one.copy.segment.unwrap_or(0),
            one.copy.object,
            one.copy.version_id
        ));
        if let Some(kept) = &one.kept {
            output::line(&format!("  what stood there is kept as {}", kept.display()));
        }
    }
    let said = if recorded { "recorded" } else { "not recorded" };
    output::line(&format!("the repair is {said}; now run `phiward ledger verify`"));
    Ok(())
}

fn say(as_json: bool, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
    if as_json {
        return output::json(value);
    }
    output::line(text);
    Ok(())
}
