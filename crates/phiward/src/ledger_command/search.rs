//! `phiward ledger search`: by patient, person, client, correlation id, kind and time. What the index
//! names is opened and looked at before it is shown; with `--prove` every record is recounted, so an
//! index that hides or invents is caught.

mod recount;

use std::ops::RangeInclusive;

use clap::Args;
use domain::{ClientId, CorrelationId, FhirId, Kind};
use ledger::Field;
use ledger::Trouble;
use ledger::read::{Reader, Record};
use report::{Period, PeriodError};
use store::LedgerIndex;
use store::ledger_index::IndexQuery;

use super::show;
use crate::cli::LedgerArg;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::ledger_access::{Access, OfficerArgs, Reading};
use crate::ledger_index::{self, IndexError, unreadable};
use crate::output;

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    ledger: LedgerArg,
    /// Records of a patient, by the Patient's id.
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// What a person did: their username or subject.
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// What an app did: its `client_id`.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// The record behind an error that an app or person was shown.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// One kind of record, like phi.release.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Not before: a date, or a time like 2026-11-24T08:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to the end of a date, or before a time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show the newest N; how many there are is said in any case.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Recount from the records themselves; the last line is PASS or FAIL.
    #[arg(long)]
    prove: bool,
    #[command(flatten)]
    officer: OfficerArgs,
}

/// What is looked for.
pub(super) struct Query {
    values: Vec<(Field, String)>,
    kind: Option<Kind>,
    period: Period,
}

/// Runs the command.
#[allow(clippy::needless_pass_by_value, reason = "as the other commands are called")]
pub(crate) fn run(args: SearchArgs) -> Result<(), Failure> {
    let mut query = query(&args)?;
    let config = Config::read(&args.ledger.config.config)?;
    let keyring = Keyring::open_existing(&config)?;
    let reading = Reading::new(Kind::LedgerRead, "ledger search")
        .asked("patient", args.patient.as_ref())
        .asked("person", args.person.as_ref())
        .asked("client", args.client.as_ref())
        .asked("correlation", args.correlation.as_ref())
        .asked("kind", args.kind.as_ref())
        .asked("since", args.since.as_ref())
        .asked("until", args.until.as_ref());
    let dir = args.ledger.dir.as_deref();
    let access = Access::ask(&config, &keyring, dir, &reading, &args.officer)?;
    crate::runtime(async {
        for (field, value) in &mut query.values {
            if *field == Field::Actor {
                *value = super::person::subject(value, &config, &keyring).await?;
            }
        }
        search(&args, &query, &config, &access).await
    })
}

async fn search(
    args: &SearchArgs,
    query: &Query,
    config: &Config,
    access: &Access,
) -> Result<(), Failure> {
    if access.is_copy() {
        output::note("a copy has no index: every record is looked at");
        let mut reader = access.reader();
        let counted = recount::recount(&mut reader, query, args.limit, u64::MAX)
            .map_err(|error| unreadable(&error))?;
        let found = reader.at(&counted.newest).map_err(|error| unreadable(&error))?;
        return show(args, &found, counted.seqs.len() as u64);
    }
    let path = ledger_index::path(config);
    let mut index = ledger_index::open(&path).await?;
    let mut tries = 0;
    loop {
        match with_index(args, query, access, &index).await {
            Ok(done) => {
                index.close().await;
                return done;
            }
            Err(IndexError::Read(error)) => return Err(unreadable(&error)),
            Err(IndexError::Index) if tries == 0 => {
                output::note("the index was damaged or wrong and is made again");
                index.close().await;
                index = LedgerIndex::make_again(&path)
                    .await
                    .map_err(|error| Failure::usage(error.to_string()))?;
            }
            Err(IndexError::Index) => {
                let what = format!("the index {} cannot be used", path.display());
                return Err(Failure::usage(what));
            }
        }
        tries += 1;
    }
}

/// Searches by the index, brought up to date. An index that is seen to be wrong is an error; the
/// command's own failure is the inner one.
async fn with_index(
    args: &SearchArgs,
    query: &Query,
    access: &Access,
    index: &LedgerIndex,
) -> Result<Result<(), Failure>, IndexError> {
    let mut reader = access.reader();
    let bar = output::counter(reader.count()?);
    let caught_up = ledger_index::catch_up(index, reader, &|seq| bar.set_position(seq)).await;
    bar.finish_and_clear();
    (reader, _) = caught_up?;
    let wanted = index_query(&mut reader, query)?;
    if args.prove {
        let below = index.mark().await?.map_or(0, |mark| mark.next_seq);
        let mut named = Vec::new();
        for run in index.runs().await? {
            named.extend(index.matches(&run, &wanted).await?);
        }
        named.retain(|seq| *seq < below);
        let counted = recount::recount(&mut reader, query, args.limit, below)?;
        let verdict = recount::Verdict::of(&named, &counted);
        if !verdict.passes() {
            index.clear().await?;
            (reader, _) = ledger_index::catch_up(index, reader, &|_| ()).await?;
        }
        let found = reader.at(&counted.newest)?;
        let total = counted.seqs.len() as u64;
        return Ok(show(args, &found, total).and_then(|()| verdict.print(args.ledger.json)));
    }
    let found = index.find(&wanted, args.limit).await?;
    let places: Vec<_> = found.hits.iter().map(|hit| (hit.segment, hit.offset, hit.seq)).collect();
    let records = reader.at(&places)?;
    // Nothing is shown because the index says so: the record itself must.
    let honest = records.len() == places.len() && records.iter().all(|record| query.met_by(record));
    if !honest {
        return Err(IndexError::Index);
    }
    Ok(show(args, &records, found.total))
}

fn show(args: &SearchArgs, records: &[Record], total: u64) -> Result<(), Failure> {
    for record in records {
        show::print(record, args.ledger.json)?;
    }
    let shown = records.len() as u64;
    if total == 0 {
        output::note("no record");
    } else if shown < total {
        output::note(&format!("{total} records; the newest {shown} are shown (--limit)"));
    }
    Ok(())
}

fn query(args: &SearchArgs) -> Result<Query, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{what} is not valid"));
    let mut values = Vec::new();
    if let Some(patient) = &args.patient {
        let id = patient.strip_prefix("Patient/").unwrap_or(patient);
        FhirId::parse(id).map_err(|_| wrong("--patient"))?;
        values.push((Field::Patient, id.to_owned()));
    }
    if let Some(person) = args.person.as_ref() {
        values.push((Field::Actor, person.clone()));
    }
    if let Some(client) = &args.client {
        ClientId::parse(client).map_err(|_| wrong("--client"))?;
        values.push((Field::Client, client.clone()));
    }
    if let Some(correlation) = &args.correlation {
        CorrelationId::parse(correlation).map_err(|_| wrong("--correlation"))?;
        values.push((Field::Correlation, correlation.clone()));
    }
    let kind = match &args.kind {
        None => None,
        Some(name) => {
            let found = Kind::ALL.iter().find(|kind| kind.as_str() == name).copied();
            Some(found.ok_or_else(|| {
                let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                Failure::usage(format!("no such kind; there are {}", names.join(", ")))
            })?)
        }
    };
    let period = Period::parse(args.since.as_deref(), args.until.as_deref());
    let period = period.map_err(|error| match error {
        PeriodError::Malformed => Failure::usage(format!("--since and --until: {error}")),
        PeriodError::Contradiction => {
            Failure::trouble(Trouble::TimesContradict, format!("--since and --until: {error}"))
        }
    })?;
    if values.is_empty() && kind.is_none() && args.since.is_none() && args.until.is_none() {
        let what = "say what to look for: --patient, --person, --client, --correlation, --kind, \
                    --since or --until";
        return Err(Failure::usage(what));
    }
    Ok(Query { values, kind, period })
}

fn index_query(reader: &mut Reader, query: &Query) -> Result<IndexQuery, IndexError> {
    let mut values = Vec::new();
    for (field, value) in &query.values {
        let tokens = reader.tokens(*field, value, &MONTHS)?;
        values.push(tokens.into_iter().map(|(month, token)| (month, token.0)).collect());
    }
    let millis = |time: Option<domain::Timestamp>| {
        time.map(|time| u64::try_from(time.millis()).unwrap_or(0))
    };
    Ok(IndexQuery {
        values,
        kind: query.kind.map(Kind::code),
        since: millis(query.period.since),
        until: millis(query.period.until),
    })
}

/// Every month there can be.
const MONTHS: RangeInclusive<u32> = 0..=u32::MAX;

impl Query {
    fn met_by(&self, record: &Record) -> bool {
        self.kind.is_none_or(|kind| record.kind == Some(kind))
            && self.period.contains(record.time)
            // A shredded month's records are found by their tokens and can no longer be opened.
            && self.values.iter().all(|(field, value)| record.carries(*field, value) != Some(false))
    }
}
