//! The project's own tasks, run as `cargo xtask TASK`. Each task is a module, works from any folder
//! of the checkout, and ends with a non-zero exit code and one clear line when it does not succeed.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner reads its environment and talks to a terminal"
)]

mod bench;
mod generated;
mod partners;
mod shell;
mod target;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  test [STEP…]         install what is missing, then everything a change must pass
                       (`test --list` names the steps; naming some runs only those)
  generated [--check]  write the pages of docs/ that come from the code; --check only compares
  bench [ARG…]         the benchmark, in release; arguments are passed on
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match task.as_str() {
        "test" => test::run(&rest),
        "generated" => generated::run(&rest),
        "bench" => bench::run(&rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        "" => Err(shell::Failure::usage(USAGE)),
        other => Err(shell::Failure::usage(format!("no task `{other}`\n{USAGE}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {}", failure.message.trim_end());
            ExitCode::from(failure.code)
        }
    }
}
