//! The ledger's part of the benchmark alone: `cargo xtask bench ledger`. It replaces the ledger's section
//! of `docs/benchmarks.md` and leaves every other as it is.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to a terminal"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ledger_bench::{CHILD, Options, Outcome, child, measure, put, repository, section, summary};

const USAGE: &str = "\
usage: cargo xtask bench ledger [--records N] [--rounds N] [--seconds N] [--folder DIR] [--out FILE]

  --records N   records of the large log (default: 10000000, about 5 GB)
  --rounds N    how often each case is repeated (default: 5)
  --seconds N   how long each round of appending lasts (default: 3)
  --folder DIR  where the data goes; its disk is what is measured (default: /var/tmp)
  --out FILE    the page whose section is replaced (default: docs/benchmarks.md)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == CHILD => child(rest),
        _ => alone(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phiward-ledger-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn alone(arguments: &[String]) -> Outcome<()> {
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return Ok(());
    }
    let mut options = Options {
        records: 10_000_000,
        duration: Duration::from_secs(3),
        rounds: 5,
        folder: "/var/tmp".into(),
        own: std::env::current_exe()?,
    };
    let mut out = repository().join("docs/benchmarks.md");
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--records" => options.records = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--out" => out = value.into(),
            "--seconds" => options.duration = Duration::from_secs(value.parse()?),
            "--folder" => options.folder = value.into(),
            other => return Err(format!("unknown argument `{other}`\n{USAGE}").into()),
        }
    }
    if options.records < 1_000 || options.rounds == 0 || options.duration.is_zero() {
        return Err("at least 1000 records, one round and one second are needed".into());
    }
    let before = match std::fs::read_to_string(&out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        before => before?,
    };
    let begun = Instant::now();
    let at = |next: &str| eprintln!("{:>5} s  {next}", begun.elapsed().as_secs());
    let results = measure(&options, &at)?;
    std::fs::write(&out, put(&before, &section(&options, &results)))?;
    println!("{}", summary(&results));
    println!("written to {}", out.display());
    Ok(())
}
