//! The ledger's part of the benchmark alone: `cargo xtask bench ledger`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to a terminal"
)]

use std::process::ExitCode;
use std::time::Duration;

use ledger_bench::{CHILD, Options, Outcome, child, measure, summary};

const USAGE: &str = "\
usage: cargo xtask bench ledger [--records N] [--rounds N] [--seconds N] [--folder DIR]

  --records N   records of the large log (default: 10000000, about 4 GB)
  --rounds N    how often each case is repeated (default: 5)
  --seconds N   how long each round of appending lasts (default: 3)
  --folder DIR  where the data goes; its disk is what is measured (default: /tmp)
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
        folder: std::env::temp_dir(),
        own: std::env::current_exe()?,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--records" => options.records = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.duration = Duration::from_secs(value.parse()?),
            "--folder" => options.folder = value.into(),
            other => return Err(format!("unknown argument `{other}`\n{USAGE}").into()),
        }
    }
    println!("{}", summary(&measure(&options)?));
    Ok(())
}
