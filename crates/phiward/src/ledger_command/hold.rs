//! `phiward ledger hold`: legal holds, under two people. A hold keeps the months that it covers from
//! being shredded, and leaves a bundle of evidence that proves itself without the ledger.

mod evidence;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgGroup, Args, Subcommand};
use domain::Kind;
use keys::SystemRandom;
use ledger::hold::Cover;
use serde_json::json;

use crate::admin::{Command, NewHold, Work, holds_of};
use crate::cli::AdminArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading, carry_out};
use crate::output;
use crate::system::ledger_stream;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Put records under a hold, and write the evidence.
    #[command(
        after_help = "Example: phiward ledger hold add --patient pat-1 --reason 'case 26-114' \\\n           --officer maria --officer jon"
    )]
    Add(Box<AddArgs>),
    /// List the holds that the ledger tells of.
    #[command(after_help = "Example: phiward ledger hold list")]
    List {
        #[command(flatten)]
        admin: AdminArg,
        #[command(flatten)]
        officer: OfficerArgs,
    },
    /// Lift a hold.
    #[command(
        after_help = "Example: phiward ledger hold release h_x --reason 'case closed' --officer maria --officer jon"
    )]
    Release {
        /// The hold's id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        officers: OfficerArgs,
        #[command(flatten)]
        admin: AdminArg,
    },
    /// Prove a bundle of evidence, record by record; with --records print them, too.
    #[command(after_help = "Example: phiward ledger hold show h_x.evidence --records")]
    Show {
        /// The bundle.
        file: PathBuf,
        /// Print the records; that they were read is recorded first.
        #[arg(long)]
        records: bool,
        #[command(flatten)]
        officer: OfficerArgs,
        #[command(flatten)]
        admin: AdminArg,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("cover").required(true).args(["patient", "person", "client", "from_seq"]))]
struct AddArgs {
    /// Records of a patient.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// Records of a person, by their subject.
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// Records of a client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Records from this number on.
    #[arg(long, value_name = "N", requires = "to_seq")]
    from_seq: Option<u64>,
    /// Up to this one.
    #[arg(long, value_name = "N", requires = "from_seq")]
    to_seq: Option<u64>,
    /// Why: a case, a court's order.
    #[arg(long)]
    reason: String,
    /// Where the evidence is written; default: holds/ID.evidence in the data directory.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    officers: OfficerArgs,
    #[command(flatten)]
    admin: AdminArg,
}

/// Runs the command.
pub(crate) fn run(args: HoldArgs) -> Result<(), Failure> {
    match args.command {
        HoldCommand::Add(args) => add(*args),
        HoldCommand::List { admin, officer } => list(&admin, &officer),
        HoldCommand::Release { id, reason, officers, admin } => {
            let config = Config::read(&admin.config.config)?;
            let work = Work::HoldRelease { id: id.clone(), reason, officers: officers.two()? };
            let done = carry_out(&config, None, &Command::Work(work))?;
            if admin.json {
                return output::json(&done);
            }
            output::line(&format!("released  {id}"));
            Ok(())
        }
        HoldCommand::Show { file, records, officer, admin } => {
            let config = Config::read(&admin.config.config)?;
            let keyring = Keyring::open_existing(&config)?;
            if records {
                let reading =
                    Reading::new(Kind::LedgerRead, "ledger hold show").asked("file", file.to_str());
                Access::ask(&config, &keyring, None, &reading, &officer)?;
            }
            evidence::show(&config, &file, &*keyring.custody, records, admin.json)
        }
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let config = Config::read(&args.admin.config.config)?;
    let cover = match (args.patient, args.person, args.client, args.from_seq, args.to_seq) {
        (Some(id), None, None, None, None) => Cover::Patient(id),
        (None, Some(id), None, None, None) => Cover::Person(id),
        (None, None, Some(id), None, None) => Cover::Client(id),
        (None, None, None, Some(from), Some(to)) if from <= to => {
            Cover::Range { stream: ledger_stream(&config), from, to }
        }
        _ => return Err(Failure::usage("--from-seq must not be greater than --to-seq")),
    };
    // What an id may not hold would not read back from the record.
    if Cover::parse(&cover.text()).as_ref() != Some(&cover) {
        return Err(Failure::usage("that is no id"));
    }
    let officers = args.officers.two()?;
    let keyring = Keyring::open_existing(&config)?;
    let id = keys::random_id("h_", &SystemRandom).map_err(|_| Failure::internal())?;
    let path = match args.evidence {
        Some(path) => path,
        None => {
            let dir = config.data.join("holds");
            crate::init::private_dir(&dir)
                .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())))?;
            dir.join(format!("{id}.evidence"))
        }
    };
    let about = evidence::About { hold: id.clone(), cover: cover.text(), reason: args.reason };
    let written = evidence::write(&config, &path, &Arc::clone(&keyring.custody), &cover, &about)?;
    let hold = NewHold {
        id: id.clone(),
        cover: about.cover,
        reason: about.reason,
        count: written.records,
        sha256: written.sha256,
    };
    let work = Work::HoldPlace { hold, officers };
    if let Err(failure) = carry_out(&config, Some(&keyring), &Command::Work(work)) {
        // Evidence of a hold that was not placed must not lie about.
        let _removed = std::fs::remove_file(&path);
        return Err(failure);
    }
    if args.admin.json {
        return output::json(&json!({
            "hold": id, "records": written.records, "evidence": path.display().to_string(),
        }));
    }
    output::line(&format!("held      {id}: {} records so far", written.records));
    output::line(&format!("evidence  {}", path.display()));
    Ok(())
}

fn list(admin: &AdminArg, officer: &OfficerArgs) -> Result<(), Failure> {
    let config = Config::read(&admin.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let reading = Reading::new(Kind::LedgerRead, "ledger hold list");
    Access::ask(&config, &keyring, None, &reading, officer)?;
    let holds = holds_of(&config, &keyring.custody).map_err(Failure::check)?;
    if admin.json {
        let list: Vec<_> = holds
            .iter()
            .map(|hold| {
                json!({
                    "hold": hold.id, "covers": hold.cover.text(), "reason": hold.reason,
                    "by": [hold.by.0, hold.by.1], "placed_ms": hold.placed,
                    "records": hold.count, "released_ms": hold.released,
                })
            })
            .collect();
        return output::json(&list.into());
    }
    let rows = holds.iter().map(|hold| {
        let state = if hold.released.is_some() { "released" } else { "active" };
        vec![
            hold.id.clone(),
            state.to_owned(),
            hold.cover.text(),
            hold.count.to_string(),
            hold.reason.clone(),
        ]
    });
    output::table(&["hold", "state", "covers", "records", "reason"], rows.collect());
    Ok(())
}
