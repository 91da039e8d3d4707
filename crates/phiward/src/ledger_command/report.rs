//! `phiward ledger report`: disclosures, activity, refusals, unused scopes, affected patients. Running
//! one is itself recorded, before anything is read.

mod directory;
mod print;
mod reading;
mod suspensions;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::{ClientId, Clock, FhirId};
use ledger::retention::parse_period;
use ledger::{Field, Trouble};
use report::{
    Activity, Actor, Affected, Cause, Directory, Disclosures, Hours, Period, PeriodError, Refused,
    UnusedScopes,
};

use crate::cli::LedgerArg;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::ledger_access::OfficerArgs;
use crate::output;
use print::Made;
use reading::Run;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    report: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// To whom a patient's data was disclosed (45 CFR 164.528); six years back unless told otherwise.
    #[command(
        after_help = "Example: phiward ledger report disclosures --patient 123 --format pdf --output 123.pdf"
    )]
    Disclosures {
        /// The patient's logical id.
        #[arg(long, value_name = "ID")]
        patient: String,
        /// List excepted disclosures, too: treatment, payment, operations, to the individual, authorized.
        #[arg(long)]
        all: bool,
        /// Agencies whose disclosures may not be listed yet (45 CFR 164.528(a)(2)), as TOML.
        #[arg(long, value_name = "FILE")]
        suspensions: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// What a person or client did, with what to look at (45 CFR 164.308(a)(1)(ii)(D)).
    #[command(
        after_help = "Example: phiward ledger report activity --person drsolis --since 2026-11-01"
    )]
    Activity {
        /// A person, by username or `sub`.
        #[arg(
            long,
            value_name = "ID",
            required_unless_present = "client",
            conflicts_with = "client"
        )]
        person: Option<String>,
        /// A client, by `client_id`.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// When people are expected to work, Monday to Friday.
        #[arg(long, value_name = "HH:MM-HH:MM", default_value = "07:00-19:00")]
        hours: String,
        /// How far the clock on the wall is ahead of UTC.
        #[arg(long, value_name = "+HH:MM", default_value = "+00:00", allow_hyphen_values = true)]
        utc_offset: String,
        #[command(flatten)]
        common: Common,
    },
    /// What was refused, by reason, client, person and address.
    #[command(after_help = "Example: phiward ledger report refused --since 2026-11-24")]
    Refused {
        #[command(flatten)]
        common: Common,
    },
    /// What clients were granted and never used, with the narrower registration.
    #[command(after_help = "Example: phiward ledger report unused-scopes --client demo-web --json")]
    UnusedScopes {
        /// Only this client.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Whose data went to a client, person or token, or was sealed in a month (45 CFR 164.404).
    #[command(
        after_help = "Example: phiward ledger report affected --client demo-web --since 2026-11-01"
    )]
    Affected {
        /// A client, by `client_id`.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// A person, by username or `sub`.
        #[arg(long, value_name = "ID")]
        person: Option<String>,
        /// A token, by the SHA-256 of its `jti` in hex, as `ledger show` prints it.
        #[arg(long, value_name = "SHA256")]
        token: Option<String>,
        /// Everything sealed by the key of this calendar month.
        #[arg(long, value_name = "YYYY-MM")]
        key_period: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// What all take.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    ledger: LedgerArg,
    /// From when on: a date or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to when: a date (that whole day) or RFC 3339 (up to that moment).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How to print it; --json is the same as --format json.
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "json")]
    format: Format,
    /// Recount from the sealed leaves, and prove each record that is listed.
    #[arg(long)]
    prove: bool,
    /// Write to a new file, which only you may read, instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    officer: OfficerArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Pdf,
}

impl Common {
    fn format(&self) -> Format {
        if self.ledger.json { Format::Json } else { self.format }
    }

    fn period(&self) -> Result<Period, Failure> {
        Period::parse(self.since.as_deref(), self.until.as_deref())
            .map_err(|error| told("--since and --until", error))
    }
}

/// A wrong time is wrong usage; times that contradict each other have an exit code of their own.
pub(super) fn told(what: &str, error: PeriodError) -> Failure {
    let text = format!("{what}: {error}");
    match error {
        PeriodError::Malformed => Failure::usage(text),
        PeriodError::Contradiction => Failure::trouble(Trouble::TimesContradict, text),
    }
}

/// Runs the command.
pub(crate) fn run(args: ReportArgs) -> Result<(), Failure> {
    match args.report {
        ReportCommand::Disclosures { patient, all, suspensions, common } => {
            disclosures(&patient, all, suspensions, &common)
        }
        ReportCommand::Activity { person, client, hours, utc_offset, common } => {
            activity(person.as_deref(), client.as_deref(), (&hours, &utc_offset), &common)
        }
        ReportCommand::Refused { common } => refused(&common),
        ReportCommand::UnusedScopes { client, common } => unused(client.as_deref(), &common),
        ReportCommand::Affected { client, person, token, key_period, common } => {
            affected([client, person, token], key_period, &common)
        }
    }
}

fn client_id(text: &str) -> Result<ClientId, Failure> {
    ClientId::parse(text).map_err(|_| Failure::usage("--client: not a client id"))
}

fn person(directory: &Directory, name: &str) -> String {
    if let Some(sub) = directory.person(name) {
        return sub.to_owned();
    }
    // Somebody who is gone from the database is still in the record, by their `sub`.
    output::note(&format!("no person of this name is registered; {name} is taken as a `sub`"));
    name.to_owned()
}

fn disclosures(
    patient: &str,
    all: bool,
    suspensions: Option<PathBuf>,
    common: &Common,
) -> Result<(), Failure> {
    let patient = FhirId::parse(patient).map_err(|_| Failure::usage("--patient: not a FHIR id"))?;
    let now = SystemClock.now();
    let period = common.period()?.within_six_years(now);
    let period = period.meet(Period::default()).map_err(|error| told("--until", error))?;
    let suspensions = suspensions.map(|path| suspensions::read(&path)).transpose()?;
    let run = Run::ask(
        common,
        "ledger report disclosures",
        &[("patient", Some(patient.to_string())), ("all", all.then(|| "true".to_owned()))],
    )?;
    let directory = run.directory()?;
    let mut fold = Disclosures::new(patient.clone(), all, suspensions.unwrap_or_default(), now);
    if common.prove {
        fold = fold.keeping_records();
    }
    let about = (Field::Patient, patient.as_str());
    let read = run.read(Some(about), period, &mut |record| fold.take(record))?;
    let report = fold.finish(period, &directory);
    if report.suspended > 0 {
        output::note(&format!(
            "{} disclosures are kept out by an agency's statement (45 CFR 164.528(a)(2)); the report \
             does not say so, and the patient must not learn of it",
            report.suspended
        ));
    }
    let excepted: u64 = report.excepted.values().sum();
    if excepted > 0 {
        output::note(&format!("{excepted} excepted disclosures are not listed; --all lists them"));
    }
    let proof = read.prove(&report.records())?;
    print::write(common, "disclosures", Made::of(&report, report.document(now))?, proof.as_ref())
}

fn activity(
    name: Option<&str>,
    client: Option<&str>,
    (hours, offset): (&str, &str),
    common: &Common,
) -> Result<(), Failure> {
    let period = common.period()?;
    let hours = Hours::parse(hours, offset)
        .ok_or_else(|| Failure::usage("--hours 07:00-19:00 --utc-offset +02:00, for example"))?;
    let client = client.map(client_id).transpose()?;
    let run = Run::ask(
        common,
        "ledger report activity",
        &[
            ("person", name.map(str::to_owned)),
            ("client", client.as_ref().map(ToString::to_string)),
        ],
    )?;
    let directory = run.directory()?;
    let (actor, field, value) = match (client, name) {
        (Some(client), _) => (Actor::Client(client.clone()), Field::Client, client.to_string()),
        (None, Some(name)) => {
            let sub = person(&directory, name);
            (Actor::Person(sub.clone()), Field::Actor, sub)
        }
        (None, None) => return Err(Failure::usage("--person ID or --client ID")),
    };
    let mut fold = Activity::new(actor, hours, &directory);
    if common.prove {
        fold = fold.keeping_records();
    }
    let about = Some((field, value.as_str()));
    let read = run.read(about, period, &mut |record| fold.take(record))?;
    let report = fold.finish(period, &directory);
    let proof = read.prove(&report.records())?;
    let document = report.document(SystemClock.now());
    print::write(common, "activity", Made::of(&report, document)?, proof.as_ref())
}

fn refused(common: &Common) -> Result<(), Failure> {
    let period = common.period()?;
    let run = Run::ask(common, "ledger report refused", &[])?;
    let directory = run.directory()?;
    let mut fold = Refused::new();
    if common.prove {
        fold = fold.keeping_records();
    }
    let read = run.read(None, period, &mut |record| fold.take(record))?;
    let report = fold.finish(period, &directory);
    let proof = read.prove(&report.records())?;
    let document = report.document(SystemClock.now());
    print::write(common, "refused", Made::of(&report, document)?, proof.as_ref())
}

fn unused(client: Option<&str>, common: &Common) -> Result<(), Failure> {
    let period = common.period()?;
    let client = client.map(client_id).transpose()?;
    let asked = [("client", client.as_ref().map(ToString::to_string))];
    let run = Run::ask(common, "ledger report unused-scopes", &asked)?;
    let directory = run.directory()?;
    if let Some(client) = client.as_ref().filter(|client| !directory.clients.contains_key(*client))
    {
        return Err(Failure::usage(format!("there is no client {client}")));
    }
    let mut fold = UnusedScopes::new(client.clone());
    let about = client.as_ref().map(|client| (Field::Client, client.as_str()));
    let read = run.read(about, period, &mut |record| fold.take(record))?;
    let report = fold.finish(period, &directory);
    let proof = read.prove(&[])?;
    let document = report.document(SystemClock.now());
    print::write(common, "unused-scopes", Made::of(&report, document)?, proof.as_ref())
}

fn affected(
    [client, name, token]: [Option<String>; 3],
    key_period: Option<String>,
    common: &Common,
) -> Result<(), Failure> {
    let mut period = common.period()?;
    if let Some(text) = &key_period {
        let month = parse_period(text).and_then(|month| Period::month(month).ok());
        let month = month.ok_or_else(|| Failure::usage("--key-period: a month, as YYYY-MM"))?;
        period = period.meet(month).map_err(|error| told("--key-period", error))?;
    }
    if client.is_none() && name.is_none() && token.is_none() && period == Period::default() {
        return Err(Failure::usage(
            "name what was compromised: --client, --person, --token, --key-period, --since or --until",
        ));
    }
    let token = match token.as_deref() {
        Some(text) => Some(reading::sha256(text).ok_or_else(|| {
            Failure::usage("--token: the SHA-256 of a token's jti, 64 hex digits")
        })?),
        None => None,
    };
    let client = client.as_deref().map(client_id).transpose()?;
    let run = Run::ask(
        common,
        "ledger report affected",
        &[
            ("client", client.as_ref().map(ToString::to_string)),
            ("person", name.clone()),
            ("token", token.map(|_| "given".to_owned())),
            ("key-period", key_period),
        ],
    )?;
    let directory = run.directory()?;
    let sub = name.map(|name| person(&directory, &name));
    let cause = Cause { client: client.clone(), person: sub.clone(), token };
    let about = match (&client, &sub) {
        (Some(client), _) => Some((Field::Client, client.as_str())),
        (None, Some(sub)) => Some((Field::Actor, sub.as_str())),
        (None, None) => None,
    };
    let mut fold = Affected::new(cause);
    if common.prove {
        fold = fold.keeping_records();
    }
    let read = run.read(about, period, &mut |record| fold.take(record))?;
    let report = fold.finish(period, &directory);
    let proof = read.prove(&report.records())?;
    let document = report.document(SystemClock.now());
    print::write(common, "affected", Made::of(&report, document)?, proof.as_ref())
}
