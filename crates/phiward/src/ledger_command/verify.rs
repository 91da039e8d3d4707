//! `phiward ledger verify`: every gap on a line of its own, the verdict last. The configured ledger is
//! also held to what this side keeps of it: the checkpoint beside its keys, the database's manifest.

use std::path::Path;

use domain::Clock as _;
use ledger::GapKind;
use ledger::cli;
use ledger::read::Reader;
use ledger::verify::{Report, Verdict, VerifyError, VerifyOptions};
use store::{LedgerStream, Store};

use super::expect::ExpectArgs;
use super::{dir, public_key};
use crate::cli::LedgerArg;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::output;
use crate::system::{ledger_stream, stream_at, streams};

/// A node that runs signs a heartbeat each minute; longer than this without one it is gone.
const MAX_SILENCE_MS: i64 = 600_000;

/// What else is looked at.
pub(super) struct Besides {
    /// The locked copies.
    pub(super) worm: bool,
    /// The search tokens, against what the records say.
    pub(super) period_keys: bool,
}

/// Runs the command.
pub(super) fn run(
    ledger: &LedgerArg,
    expect: &[String],
    outside: &ExpectArgs,
    allow_unproven: bool,
    besides: &Besides,
) -> Result<(), Failure> {
    let configured = match (&ledger.dir, &ledger.key) {
        (None, None) => Some(Config::read(&ledger.config.config)?),
        _ => None,
    };
    let key = public_key(ledger)?;
    let dir = match &configured {
        // Its key is here, so there was a ledger: that it is gone is a finding, not a wrong path.
        Some(config) => config.ledger.dir.clone(),
        None => dir(ledger)?,
    };
    let mut options = VerifyOptions::new(key);
    outside.apply(expect, &mut options)?;
    let mut findings = Vec::new();
    if let Some(config) = &configured {
        let name = "beside the keys".to_owned();
        match std::fs::read_to_string(config.ledger_keys().join("checkpoint")) {
            Ok(note) => options.local.push((name, note)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                findings.push((GapKind::CheckpointMissing, name));
            }
            Err(_) => findings.push((GapKind::CheckpointMalformed, name)),
        }
        match manifest(config) {
            Ok(known) => judge(config, known, &mut options, &mut findings),
            Err(why) => findings.push((GapKind::ManifestUnread, why.message())),
        }
    }
    let mut report = cli::verify_with_progress(&dir, &options)?;
    for (kind, detail) in findings {
        report.add(kind, detail);
    }
    if besides.worm {
        super::worm::compare(ledger, &dir, &mut report)?;
    }
    if besides.period_keys && report.verdict != Verdict::Fail {
        tags(ledger, &dir, &mut report)?;
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
    cli::print_report(report);
    Ok(())
}

/// Opens every record and checks its tokens.
fn tags(ledger: &LedgerArg, dir: &Path, report: &mut Report) -> Result<(), Failure> {
    let config = Config::read(&ledger.config.config)?;
    let custody = Keyring::open_existing(&config)?.custody;
    let place = stream_at(&config, dir);
    let mut reader = Reader::open(dir, &place.keys_dir, &place.origin, place.stream, custody);
    let found = reader.check_tags().map_err(|error| super::failed(&error))?;
    for seq in &found.wrong_seqs {
        report.add(GapKind::TagWrong, format!("record {seq}"));
    }
    report.gaps_unlisted += found.wrong.saturating_sub(found.wrong_seqs.len() as u64);
    // Where tokens are kept out of leaves, none has any; where they are not, none may lack them.
    if config.ledger.tokens_in_leaves && found.without > 0 {
        report.add(GapKind::TagWrong, format!("{} records carry no token", found.without));
    }
    output::note(&format!(
        "tokens   {} records carry the right ones, {} carry none, {} are of months without a key here",
        found.right, found.without, found.closed
    ));
    Ok(())
}

/// What the database knows of the cluster's streams.
pub(crate) fn manifest(config: &Config) -> Result<Vec<LedgerStream>, Failure> {
    if let Some(path) = config.database.strip_prefix("sqlite:")
        && !Path::new(path).is_file()
    {
        return Err(Failure::usage(format!("{path} is not there")));
    }
    let key = Keyring::open_existing(config)?.store_key()?;
    crate::runtime(async {
        let random = std::sync::Arc::new(keys::SystemRandom);
        let store = Store::open(&config.database, key, random)
            .await
            .map_err(|error| Failure::usage(error.to_string()))?;
        let known = store.ledger_streams().await;
        store.close().await;
        known.map_err(|error| Failure::usage(error.to_string()))
    })
}

/// Holds this node's streams to the manifest, and other nodes' to their heartbeats.
pub(crate) fn judge(
    config: &Config,
    known: Vec<LedgerStream>,
    options: &mut VerifyOptions,
    findings: &mut Vec<(GapKind, String)>,
) {
    let (current, own) = (ledger_stream(config), streams(config));
    let now = SystemClock.now().millis();
    for row in known {
        let named = format!("stream {}, last signed with {} leaves", row.stream, row.size);
        if row.checkpoint.is_empty() {
            continue;
        }
        if row.stream == current {
            let is_here = ledger::stream::in_dir(&config.ledger.dir);
            if row.size > 0 && !is_here.is_ok_and(|found| found == Some(current)) {
                findings.push((GapKind::StreamVanished, named));
            }
            options.local.push(("in the database".to_owned(), row.checkpoint));
        } else if own.iter().any(|place| place.stream == row.stream) {
            let mut name = config.ledger.dir.file_name().unwrap_or_default().to_owned();
            name.push(format!(".stream-{}", row.stream));
            if ledger::stream::in_dir(&config.ledger.dir.with_file_name(name))
                .is_ok_and(|found| found == Some(row.stream))
            {
                continue;
            }
            findings.push((GapKind::StreamVanished, named));
        } else if row.closed.is_none() && now.saturating_sub(row.signed.millis()) > MAX_SILENCE_MS {
            findings.push((GapKind::StreamSilent, format!("{named}, node {}", row.node)));
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error.trouble() {
            Some(trouble) => Self::trouble(trouble, error.to_string()),
            None => Self::usage(error.to_string()),
        }
    }
}
