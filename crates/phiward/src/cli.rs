//! The command line: every command of the product, also those that this version refuses.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::ledger_access::OfficerArgs;
use crate::{backup, key, ledger_command, restore};

/// An authorization server, a FHIR gateway and a provable ledger for protected health information.
#[derive(Debug, Parser)]
#[command(name = "phiward", version, max_term_width = 100)]
#[command(after_help = "Try it: phiward demo --once")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole system with nothing prepared: keys, certificates, people, apps, patients.
    #[command(
        after_help = "Example: phiward demo --once\n         phiward demo --upstream http://127.0.0.1:8080/fhir --patients A,B"
    )]
    Demo(DemoArgs),
    /// Write a commented phiward.toml and key files; nothing is overwritten.
    #[command(after_help = "Example: phiward init /etc/phiward")]
    Init(InitArgs),
    /// Run the server.
    #[command(after_help = "Example: phiward serve -c /etc/phiward/phiward.toml")]
    Serve(ConfigArg),
    /// Say what is wrong with this installation, and the mend.
    #[command(after_help = "Example: phiward doctor -c /etc/phiward/phiward.toml")]
    Doctor(DoctorArgs),
    /// Read and verify the ledger: search, reports, proofs, holds, witnesses.
    #[command(
        subcommand,
        after_help = "Example: phiward ledger search --patient 123\n         phiward ledger verify --expect checkpoint.txt"
    )]
    Ledger(LedgerCommand),
    /// Apps: add, list, show, disable.
    #[command(subcommand, after_help = "Example: phiward client list -c /etc/phiward/phiward.toml")]
    Client(ClientCommand),
    /// People: add, list, disable.
    #[command(subcommand, after_help = "Example: phiward user list -c /etc/phiward/phiward.toml")]
    User(UserCommand),
    /// Write shell completions to standard output.
    #[command(after_help = "Example: phiward completions bash > /etc/bash_completion.d/phiward")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Judge a configuration (not in this version).
    #[command(disable_help_flag = true)]
    Review(Planned),
    /// Attack a deployment (not in this version).
    #[command(disable_help_flag = true)]
    Drill(Planned),
    /// What people allowed (not in this version).
    #[command(disable_help_flag = true)]
    Grant(Planned),
    /// Keys that seal other keys: make one in a token, change to another.
    #[command(after_help = "Example: phiward key rotate -c /etc/phiward/phiward.toml")]
    Key(key::KeyArgs),
    /// Write database, ledger position and configuration to one sealed file.
    Backup(backup::BackupArgs),
    /// Restore a backup; the ledger goes on as a new stream.
    Restore(restore::RestoreArgs),
}

/// A planned command takes any arguments, so that it can refuse them all alike.
#[derive(Debug, Args)]
pub(crate) struct Planned {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// The configuration file.
    #[arg(short, long, default_value = "phiward.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where everything is kept; reused when it exists.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// A FHIR server of yours to protect (plain http on loopback only) in place of the sample.
    #[arg(long, value_name = "URL", requires = "patients")]
    pub(crate) upstream: Option<String>,
    /// Patient ids there for the first two people.
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "upstream")]
    pub(crate) patients: Vec<String>,
    /// Print one JSON line when ready (with --once: one for each step).
    #[arg(long)]
    pub(crate) json: bool,
    /// Walk one app through the main job, verify the ledger, and exit.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Print the configuration's JSON Schema and write nothing.
    #[arg(long)]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which ledger: the configured one, or a copy with its public key.
#[derive(Debug, Args)]
pub(crate) struct LedgerArg {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Another copy of the ledger.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The public key file for --dir; without it the configured one.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check structure, chain, tree, signatures and time; the last line is PASS, FAIL or UNPROVEN.
    #[command(after_help = "Example: phiward ledger verify --expect old-checkpoint.txt")]
    Verify {
        #[command(flatten)]
        ledger: LedgerArg,
        /// A checkpoint kept elsewhere that this log must contain: a file, or a URL; may repeat.
        #[arg(long, value_name = "FILE|URL")]
        expect: Vec<String>,
        #[command(flatten)]
        outside: ledger_command::expect::ExpectArgs,
        /// Exit 0 also when nothing outside proves the log to be whole.
        #[arg(long)]
        allow_unproven: bool,
        /// Compare with the locked copies, too, and ask for each whether it is there and locked.
        #[arg(long)]
        worm: bool,
        /// Also open every record, and check that its search tokens are those of what it says; asks
        /// for the key-encryption key, and shows nothing of the records.
        #[arg(long)]
        period_keys: bool,
    },
    /// Print records, decrypted; that they were read is recorded first.
    #[command(after_help = "Example: phiward ledger show --last 5")]
    Show {
        #[command(flatten)]
        ledger: LedgerArg,
        /// One record.
        #[arg(long, value_name = "N", conflicts_with_all = ["last", "follow"])]
        seq: Option<u64>,
        /// The last N records.
        #[arg(long, value_name = "N", default_value_t = 20)]
        last: u64,
        /// Go on with new ones.
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        officer: OfficerArgs,
    },
    /// Print the latest signed checkpoint.
    #[command(after_help = "Example: phiward ledger checkpoint > checkpoint.txt")]
    Checkpoint {
        #[command(flatten)]
        ledger: LedgerArg,
    },
    /// Print the inclusion proof of one record.
    #[command(after_help = "Example: phiward ledger prove 42")]
    Prove {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The record's number.
        seq: u64,
    },
    /// Prove that an old checkpoint's log is a prefix of today's.
    #[command(after_help = "Example: phiward ledger consistency old-checkpoint.txt")]
    Consistency {
        #[command(flatten)]
        ledger: LedgerArg,
        /// The old checkpoint.
        old: PathBuf,
    },
    /// Find records by patient, person, client, correlation id, kind and time.
    #[command(
        after_help = "Example: phiward ledger search --patient 123 --kind phi.release --prove"
    )]
    Search(ledger_command::search::SearchArgs),
    /// Disclosures, activity, refusals, unused scopes, affected patients.
    #[command(after_help = "Example: phiward ledger report disclosures --patient 123")]
    Report(ledger_command::report::ReportArgs),
    /// Export as FHIR AuditEvent, JSON, or a tiled transparency log for anybody's tools.
    #[command(
        after_help = "Example: phiward ledger export --format fhir --output audit.ndjson\n         phiward ledger export --format tlog --output ./log"
    )]
    Export(ledger_command::export::ExportArgs),
    /// Bring missing or damaged segments back from their locked copies; the server must be stopped.
    #[command(after_help = "Example: phiward ledger repair --dry-run")]
    Repair(ledger_command::repair::RepairArgs),
    /// Legal holds: add, list, release, show.
    #[command(after_help = "Example: phiward ledger hold list")]
    Hold(ledger_command::hold::HoldArgs),
    /// Destroy what is past its retention; takes two privacy officers.
    Shred(ledger_command::shred::ShredArgs),
    /// Print the search token of a patient, person or app for a month.
    Token(ledger_command::token::TokenArgs),
    /// Witness other logs: cosign their checkpoints, and never a smaller or different history.
    #[command(
        after_help = "Example: phiward ledger witness --dir /var/lib/witness --init --name witness.example/w1\n         phiward ledger witness --dir /var/lib/witness --listen 127.0.0.1:7380 --log stable.vkey"
    )]
    Witness(ledger_command::witness::WitnessArgs),
}

/// How an administrator's command reaches the server and prints.
#[derive(Debug, Args)]
pub(crate) struct AdminArg {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register an app. A secret is shown once.
    #[command(
        after_help = "Example: phiward client add labs-app --name 'Labs' --legal-name 'Labs Inc' \\\n           --purpose 'Showing lab trends' --redirect-uri https://labs.example/cb \\\n           --scope 'openid launch/patient patient/Observation.rs'"
    )]
    Add(Box<ClientAddArgs>),
    /// List all apps.
    #[command(after_help = "Example: phiward client list")]
    List {
        #[command(flatten)]
        admin: AdminArg,
    },
    /// Show one app, with every scope it may ask for by name.
    #[command(after_help = "Example: phiward client show labs-app")]
    Show {
        #[command(flatten)]
        admin: AdminArg,
        /// `client_id`.
        id: String,
    },
    /// Disable an app: what it holds is refused from now on.
    #[command(after_help = "Example: phiward client disable labs-app")]
    Disable {
        #[command(flatten)]
        admin: AdminArg,
        /// `client_id`.
        id: String,
    },
    /// Make the apps match a file (not in this version).
    #[command(disable_help_flag = true)]
    Apply(Planned),
}

fn bases() -> clap::builder::PossibleValuesParser {
    domain::Basis::ALL.iter().map(|basis| basis.as_str()).collect::<Vec<_>>().into()
}

#[derive(Debug, Args)]
pub(crate) struct ClientAddArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArg,
    /// `client_id`.
    pub(crate) id: String,
    /// The name that people are shown.
    #[arg(long)]
    pub(crate) name: String,
    /// The legal name of who receives the data.
    #[arg(long)]
    pub(crate) legal_name: String,
    /// Their postal address, for the accounting of disclosures (45 CFR 164.528).
    #[arg(long, default_value = "")]
    pub(crate) address: String,
    /// What the data is for.
    #[arg(long)]
    pub(crate) purpose: String,
    /// The legal basis on which it receives data; without one, who acts decides.
    #[arg(long, value_name = "BASIS", value_parser = bases())]
    pub(crate) basis: Option<String>,
    /// Where codes may be sent; may repeat.
    #[arg(long, value_name = "URI")]
    pub(crate) redirect_uri: Vec<String>,
    /// The most it may ask for, space-delimited, every type by name.
    #[arg(long)]
    pub(crate) scope: String,
    /// Make it confidential with a secret made here.
    #[arg(long, conflicts_with = "jwks")]
    pub(crate) secret: bool,
    /// Make it confidential with the public keys of this JWK Set file.
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks: Option<PathBuf>,
    /// A backend service: client credentials, no person.
    #[arg(long, requires = "jwks")]
    pub(crate) backend: bool,
    /// Every answer carries a receipt, with which the app can prove that it was recorded.
    #[arg(long)]
    pub(crate) receipts: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a person; the password is read from standard input.
    #[command(
        after_help = "Example: phiward user add amina --name 'Amina Rahimi' --role patient --patient 123 < password.txt"
    )]
    Add(Box<UserAddArgs>),
    /// List all people.
    #[command(after_help = "Example: phiward user list")]
    List {
        #[command(flatten)]
        admin: AdminArg,
    },
    /// Disable a person: what they granted is refused from now on.
    #[command(after_help = "Example: phiward user disable amina")]
    Disable {
        #[command(flatten)]
        admin: AdminArg,
        /// The username.
        username: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArg,
    /// What they sign in with.
    pub(crate) username: String,
    /// The name shown to themselves.
    #[arg(long)]
    pub(crate) name: String,
    /// patient, clinician, privacy_officer or administrator.
    #[arg(long)]
    pub(crate) role: String,
    /// Their own Patient id.
    #[arg(long, value_name = "ID")]
    pub(crate) patient: Option<String>,
    /// A patient they act or care for, as ID=NAME; may repeat.
    #[arg(long, value_name = "ID=NAME")]
    pub(crate) acts_for: Vec<String>,
    /// Their own resource for fhirUser, as Type/id.
    #[arg(long, value_name = "TYPE/ID")]
    pub(crate) fhir_user: Option<String>,
}
