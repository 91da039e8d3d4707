//! The auditor's program: verifies a copy of a ledger with nothing but the files and a public key. It
//! opens no connection, reads no configuration and no environment, and knows no secret.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ledger::headers::{self, Header, Token};
use ledger::note::VerifierKey;
use ledger::proof::{self, ProofError};
use ledger::read::ReadError;
use ledger::verify::{Verdict, VerifyError, VerifyOptions};
use ledger::{Trouble, cli};

/// Verify and read the clear part of a Phiward ledger, without any key to what it holds.
#[derive(Debug, Parser)]
#[command(name = "phiward-ledger", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check structure, chain, tree, signatures and time; the last line is PASS, FAIL or UNPROVEN.
    #[command(
        after_help = "Example: phiward-ledger verify ledger --key stable.vkey --expect june.txt\n\nExit codes: 0 PASS, 1 FAIL or UNPROVEN, 2 wrong usage, 10 no ledger, 11 newer format,\n12 a key that fits no stream, 15 a checkpoint of another log."
    )]
    Verify {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The log's public key, as its keeper published it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A checkpoint kept elsewhere that this log must contain; may repeat.
        #[arg(long, value_name = "FILE")]
        expect: Vec<PathBuf>,
        /// Exit 0 also when nothing outside proves the log to be whole.
        #[arg(long)]
        allow_unproven: bool,
    },
    /// Print the signed checkpoint beside the log; keep it to hold the log to it later.
    #[command(after_help = "Example: phiward-ledger checkpoint ledger > june.txt")]
    Checkpoint {
        #[command(flatten)]
        ledger: LedgerArg,
    },
    /// Print the inclusion proof of one record.
    #[command(after_help = "Example: phiward-ledger prove ledger 42")]
    Prove {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The record's number.
        seq: u64,
    },
    /// Prove that an old checkpoint's log is a prefix of this one.
    #[command(after_help = "Example: phiward-ledger consistency ledger june.txt")]
    Consistency {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The old checkpoint.
        old: PathBuf,
    },
    /// Print what stands in the clear of each record: time, kind, outcome, search tokens.
    #[command(after_help = "Example: phiward-ledger show-headers ledger --last 20")]
    ShowHeaders {
        #[command(flatten)]
        ledger: LedgerArg,
        /// From this record on.
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// The last N records.
        #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "from")]
        last: u64,
    },
    /// Count the records that carry a search token, to see whether a report left any out.
    #[command(
        after_help = "Example: phiward-ledger count ledger --token 0f3a…\n\nThe ledger's keeper prints a patient's token for a month: phiward ledger token"
    )]
    Count {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The token: 32 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        token: String,
    },
}

#[derive(Debug, Args)]
struct LedgerArg {
    /// The directory with the segments and the checkpoint.
    dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            use std::io::Write as _;
            let _closed = writeln!(std::io::stderr(), "phiward-ledger: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// One line, and the exit code.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    fn new(trouble: Option<Trouble>, message: impl std::fmt::Display) -> Self {
        let code = trouble.map_or(2, Trouble::exit_code);
        Self { code, message: message.to_string() }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::new(error.trouble(), &error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let damaged = matches!(error, ReadError::Damaged { .. });
        Self::new(damaged.then_some(Trouble::Corrupt), &error)
    }
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        match cli::proof_trouble(&error) {
            Some(trouble) => Self::new(Some(trouble), &error),
            None => Self { code: 1, message: error.to_string() },
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::usage(error)
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Verify { ledger, key, expect, allow_unproven } => {
            return verify(&ledger, &key, &expect, allow_unproven);
        }
        Command::Checkpoint { ledger } => cli::text(&proof::checkpoint(ledger.dir()?)?),
        Command::Prove { ledger, seq } => cli::json(&proof::inclusion(ledger.dir()?, seq)?)?,
        Command::Consistency { ledger, old } => {
            cli::json(&proof::consistency(ledger.dir()?, &read(&old)?)?)?;
        }
        Command::ShowHeaders { ledger, from, last } => {
            let dir = ledger.dir()?;
            let from = match from {
                Some(from) => from,
                None => headers::count(dir)?.saturating_sub(last),
            };
            let mut result = Ok(());
            headers::each(dir, from, &mut |header| {
                result = print_header(&header, ledger.json);
                result.is_ok()
            })?;
            result?;
        }
        Command::Count { ledger, token } => count(&ledger, &token)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl LedgerArg {
    fn dir(&self) -> Result<&Path, Failure> {
        if self.dir.is_dir() {
            return Ok(&self.dir);
        }
        let message = format!("{} is not a directory", self.dir.display());
        Err(Failure::new(Some(Trouble::NoLedger), message))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    /// No key and no note is longer.
    const MOST: u64 = 1 << 20;
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MOST), &mut text)
        .map_err(failed)?;
    Ok(text)
}

fn verify(
    ledger: &LedgerArg,
    key: &Path,
    expect: &[PathBuf],
    allow_unproven: bool,
) -> Result<ExitCode, Failure> {
    let dir = ledger.dir()?;
    let key = VerifierKey::parse(read(key)?.trim())
        .map_err(|error| Failure::usage(format!("{}: {error}", key.display())))?;
    let mut options = VerifyOptions::new(key);
    options.expectations = expect.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let report = cli::verify_with_progress(dir, &options)?;
    if ledger.json {
        cli::json(&report)?;
    } else {
        cli::print_report(&report);
    }
    let good = match report.verdict {
        Verdict::Pass => true,
        Verdict::Unproven => allow_unproven,
        Verdict::Fail => false,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_header(header: &Header, as_json: bool) -> Result<(), serde_json::Error> {
    if as_json {
        return cli::json(&header.exposed());
    }
    let tokens: Vec<String> = header.tokens.iter().map(ToString::to_string).collect();
    cli::line(
        format!(
            "#{:<6} {}  {:<24} {:<20} {}",
            header.seq,
            header.time_text(),
            header.kind_text(),
            header.outcome_text(),
            tokens.join(" ")
        )
        .trim_end(),
    );
    Ok(())
}

fn count(ledger: &LedgerArg, token: &str) -> Result<(), Failure> {
    let wrong = || Failure::usage("a token is 32 hexadecimal digits");
    let token = Token::parse(token).ok_or_else(wrong)?;
    let (mut found, mut printed) = (0_u64, Ok(()));
    let seen = headers::with_token(ledger.dir()?, token, &mut |header| {
        found += 1;
        if printed.is_ok() && !ledger.json {
            printed = print_header(&Header { tokens: Vec::new(), ..header }, false);
        }
    })?;
    printed?;
    if ledger.json {
        cli::json(&serde_json::json!({ "found": found, "records": seen }))?;
    } else {
        cli::line(&format!("{found} of {seen} records carry the token"));
    }
    Ok(())
}
