//! The benchmark: the product beside nginx as an open TLS proxy before the same FHIR server, and its
//! token endpoint beside what one core can sign, in one run. Writes `docs/benchmarks.md` and nothing
//! by which its figures could be edited. A run in which any answer was a refusal ends in an error.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that reads its environment and talks to a terminal"
)]

mod forms;
mod load;
mod machine;
mod peers;
mod raw;
mod report;
mod run;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// What a step gives, or why the benchmark ends.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo xtask bench [--quick] [--rounds N] [--wait SECONDS] [--out FILE]

  --quick     one second for each case, three rounds (default: three seconds, five rounds)
  --rounds N  how often each case is repeated, alternating with the others
  --wait S    how long to wait until nobody else uses the machine (default: 30)
  --out FILE  where the page goes (default: docs/benchmarks.md)
  --records N records of the ledger that is verified (default: 10000000; with --quick 300000)

`cargo xtask bench ledger` measures the ledger alone.
";

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The arguments as they were typed.
    pub(crate) typed: String,
    /// How long each case lasts in each round.
    pub(crate) duration: Duration,
    /// Rounds.
    pub(crate) rounds: u32,
    /// How long to wait for a quiet machine.
    pub(crate) wait: Duration,
    /// Where the page goes.
    pub(crate) out: PathBuf,
    /// Records of the ledger that is verified.
    pub(crate) records: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = if arguments == ["--serve-sample"] {
        peers::serve_sample()
    } else if let Some((ledger_bench::CHILD, rest)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        ledger_bench::child(rest)
    } else {
        match options(&arguments) {
            Ok(options) => benchmark(&options),
            Err(message) => {
                eprint!("phiward-bench: {message}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("phiward-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        typed: arguments.join(" "),
        duration: Duration::from_secs(3),
        rounds: 5,
        wait: Duration::from_secs(30),
        out: repository().join("docs/benchmarks.md"),
        records: 10_000_000,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => {
                (options.duration, options.rounds) = (Duration::from_secs(1), 3);
                options.records = 300_000;
            }
            "--records" => {
                let records = words.next().and_then(|word| word.parse().ok());
                options.records = records.ok_or("--records N")?;
            }
            "--rounds" => {
                let rounds = words.next().and_then(|word| word.parse().ok());
                options.rounds = rounds
                    .filter(|rounds| (1..=100).contains(rounds))
                    .ok_or("--rounds 1 to 100")?;
            }
            "--wait" => {
                let seconds = words.next().and_then(|word| word.parse().ok());
                options.wait = Duration::from_secs(seconds.ok_or("--wait SECONDS")?);
            }
            "--out" => options.out = words.next().ok_or("--out FILE")?.into(),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(options)
}

fn benchmark(options: &Options) -> Outcome<()> {
    for (program, package) in [("nginx", "nginx-light"), ("wrk", "wrk"), ("taskset", "util-linux")]
    {
        let probe = Command::new(program)
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if probe.is_err() {
            return Err(format!("{program} is missing: apt-get install {package}").into());
        }
    }
    let binary = std::env::var_os("PHIWARD_BIN").map(PathBuf::from);
    // The harness starts it from a folder of its own.
    let binary = binary.filter(|path| path.is_absolute() && path.is_file()).ok_or(
        "PHIWARD_BIN is not the whole path of a release build; `cargo xtask bench` sets it",
    )?;
    peers::stop_all_on_panic();
    let results = run::all(options, &binary)?;
    let ledger_options = ledger_bench::Options {
        records: options.records,
        duration: options.duration,
        rounds: options.rounds,
        folder: "/var/tmp".into(),
        own: std::env::current_exe()?,
    };
    let ledger = ledger_bench::measure(&ledger_options, &|next| eprintln!("the ledger: {next}"))?;
    let mut page = report::page(options, &results);
    page = ledger_bench::put(&page, &ledger_bench::section(&ledger_options, &ledger));
    std::fs::write(&options.out, page)?;
    println!("{}", report::summary(&results));
    println!("{}", ledger_bench::summary(&ledger));
    println!("written to {}", options.out.display());
    Ok(())
}

/// The checkout.
pub(crate) fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
