//! The binary: the command line, the configuration, and the one place where clock, randomness,
//! network and files are handed to the rooms that need them.

mod admin;
mod backup;
mod cli;
mod clock;
mod config;
mod demo;
mod doctor;
mod failure;
mod init;
mod kek;
mod key;
mod keyring;
mod ledger_access;
mod ledger_command;
mod ledger_tasks;
mod lock;
mod output;
mod restore;
mod sealed_file;
mod serve;
mod system;
mod telemetry;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let planned = |name| Err(Failure::not_in_this_version(name));
    match command {
        Command::Demo(args) => {
            telemetry::start(if args.once { "error" } else { "warn" }, args.json)?;
            runtime(demo::run(args))
        }
        Command::Serve(args) => serve::run(&args.config),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ledger(command) => ledger_command::run(command),
        Command::Client(command) => admin::client(command),
        Command::User(command) => admin::user(command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "phiward", &mut std::io::stdout());
            Ok(())
        }
        Command::Review(_) => planned("review"),
        Command::Drill(_) => planned("drill"),
        Command::Grant(_) => planned("grant"),
        Command::Key(args) => key::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
    }
}

/// Runs a command that serves.
fn runtime<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    runtime.block_on(command)
}
