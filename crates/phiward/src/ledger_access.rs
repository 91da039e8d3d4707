//! The one gate to sealed records. Whoever passes it stands in the ledger first, durably: beside a
//! running server through its administration socket, otherwise by opening the ledger here. What cannot
//! be recorded is not read. Only the reading of a copy is recorded nowhere, and that is said.

mod terminal;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use domain::{Clock, Kind};
use identity::Identity;
use keys::custody::Custody;
use keys::{Random, SystemRandom};
use ledger::read::Reader;
use ledger::{OpenError, Trouble};
use serde_json::Value;
use store::Store;

use crate::admin::{self, Answer, Command, Credentials, Desk, ReadingRecord, Shop};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::keyring::Keyring;
use crate::lock::DataLock;
use crate::output;
use crate::system::{open_ledger, stream_at};

pub(crate) use crate::admin::Officer;

/// How long a ledger that is held by a process without a socket is waited for: a server that starts or
/// stops, another command.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest description of a reading, so that it fits a record and the socket.
const MAX_QUERY: usize = 8 * 1024;

/// Who signs in on this terminal.
#[derive(Debug, Default, Args)]
pub(crate) struct OfficerArgs {
    /// A privacy officer who signs in; twice where two are needed.
    #[arg(long, value_name = "USERNAME")]
    pub(crate) officer: Vec<String>,
    /// A file with the officer's password (mode 0600), one for each --officer; without it the
    /// password is asked for.
    #[arg(long, value_name = "FILE", requires = "officer")]
    pub(crate) password_file: Vec<PathBuf>,
}

/// What is about to be read.
#[derive(Clone)]
pub(crate) struct Reading {
    kind: Kind,
    command: &'static str,
    asked: Vec<(&'static str, String)>,
    patient: Option<String>,
    purpose: Option<String>,
}

impl Reading {
    /// A reading of this kind ([`Kind::LedgerRead`], [`Kind::ReportRun`] or [`Kind::LedgerExported`])
    /// by this command, like `ledger show`.
    pub(crate) const fn new(kind: Kind, command: &'static str) -> Self {
        Self { kind, command, asked: Vec::new(), patient: None, purpose: None }
    }

    /// What was asked for, if it was; under the name `patient` the patient whose records are read.
    pub(crate) fn asked(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let value = value.to_string();
            let id = value.strip_prefix("Patient/").unwrap_or(&value);
            if name == "patient" && domain::FhirId::parse(id).is_ok() {
                self.patient = Some(id.to_owned());
            }
            self.asked.push((name, value));
        }
        self
    }

    /// What the reading is for.
    #[allow(dead_code, reason = "for reports and exports that are asked for with a purpose")]
    pub(crate) fn purpose(mut self, text: Option<&str>) -> Self {
        self.purpose = text.map(str::to_owned);
        self
    }

    fn record(&self, officer: Option<Credentials>) -> Result<ReadingRecord, Failure> {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.asked).finish();
        if query.len() > MAX_QUERY || self.purpose.as_ref().is_some_and(|p| p.len() > MAX_QUERY) {
            return Err(Failure::usage("what is asked for is too long to be recorded"));
        }
        Ok(ReadingRecord {
            kind: self.kind.as_str().to_owned(),
            through: self.command.to_owned(),
            query,
            patient: self.patient.clone(),
            purpose: self.purpose.clone(),
            officer,
        })
    }
}

/// Leave to read a ledger, given after it was recorded.
pub(crate) struct Access {
    dir: PathBuf,
    keys_dir: PathBuf,
    origin: String,
    custody: Arc<dyn Custody>,
    is_copy: bool,
}

impl Access {
    /// Asks to read the configured ledger, or the copy in `dir`. Blocks; call it outside of a runtime.
    pub(crate) fn ask(
        config: &Config,
        keyring: &Keyring,
        dir: Option<&Path>,
        what: &Reading,
        officer: &OfficerArgs,
    ) -> Result<Self, Failure> {
        let dir = dir.unwrap_or(&config.ledger.dir);
        if !dir.is_dir() {
            let what = format!("{} is not a directory", dir.display());
            return Err(Failure::trouble(Trouble::NoLedger, what));
        }
        let is_copy = !is_same(dir, &config.ledger.dir);
        if officer.officer.len() > 1 {
            return Err(Failure::usage("one --officer reads at a time"));
        }
        let place = stream_at(config, dir);
        let access = Self {
            dir: dir.to_owned(),
            keys_dir: place.keys_dir,
            origin: place.origin,
            custody: Arc::clone(&keyring.custody),
            is_copy,
        };
        if is_copy && !config.ledger.officer_reads && officer.officer.is_empty() {
            output::note("this is a copy of the ledger: that you read it is recorded nowhere");
            return Ok(access);
        }
        let what = match is_copy {
            true => what.clone().asked("copy", Some(dir.display())),
            false => what.clone(),
        };
        let record = what.record(officer.credentials()?.pop())?;
        carry_out(config, Some(keyring), &Command::RecordReading(record))?;
        Ok(access)
    }

    /// A reader of the ledger that was asked for.
    pub(crate) fn reader(&self) -> Reader {
        Reader::open(
            &self.dir,
            &self.keys_dir,
            &self.origin,
            ledger::stream::number(&self.origin),
            Arc::clone(&self.custody),
        )
    }

    /// Where that ledger is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it is another one than the configured.
    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }
}

/// Two different privacy officers, both signed in and recorded. Blocks; call it outside of a runtime.
#[allow(dead_code, reason = "for what takes two people: holds and shredding")]
pub(crate) fn two_officers(
    config: &Config,
    officers: &OfficerArgs,
) -> Result<(Officer, Officer), Failure> {
    let alone = || {
        let what = "this takes two different privacy officers: --officer A --officer B";
        Failure::trouble(Trouble::SecondPerson, what)
    };
    match officers.officer.as_slice() {
        [first, second] if first != second => {}
        [] | [_] | [_, _] => return Err(alone()),
        _ => return Err(Failure::usage("two privacy officers, no more")),
    }
    let command = Command::SignInOfficers { officers: officers.credentials()? };
    let found = carry_out(config, None, &command)?;
    let found: Vec<Officer> = serde_json::from_value(found).map_err(|_| Failure::internal())?;
    <[Officer; 2]>::try_from(found).map(Into::into).map_err(|_| alone())
}

impl OfficerArgs {
    /// Two different people's credentials, for work that takes two.
    pub(crate) fn two(&self) -> Result<Vec<Credentials>, Failure> {
        match self.officer.as_slice() {
            [first, second] if first != second => self.credentials(),
            _ => {
                let what = "this takes two different privacy officers: --officer A --officer B";
                Err(Failure::trouble(Trouble::SecondPerson, what))
            }
        }
    }

    /// The officers' passwords, from files or from the terminal.
    pub(crate) fn credentials(&self) -> Result<Vec<Credentials>, Failure> {
        if !self.password_file.is_empty() && self.password_file.len() != self.officer.len() {
            return Err(Failure::usage("as many --password-file as --officer, in the same order"));
        }
        let mut files = self.password_file.iter();
        let with_password = self.officer.iter().map(|username| {
            let password = match files.next() {
                Some(path) => terminal::password_file(path)?,
                None => terminal::ask(&format!("password of {username}: "))?,
            };
            Ok(Credentials { username: username.clone(), password })
        });
        with_password.collect()
    }
}

/// By the running server, or here while there is none.
pub(crate) fn carry_out(
    config: &Config,
    keyring: Option<&Keyring>,
    command: &Command,
) -> Result<Value, Failure> {
    let since = Instant::now();
    loop {
        if let Some(answer) = admin::exchange(config, command)? {
            return admin::told(answer);
        }
        // The server's lock first: where it is free, no server starts while this goes on.
        let busy = match DataLock::take(&config.data) {
            Ok(_lock) => match here(config, keyring, command)? {
                Some(answer) => return admin::told(answer),
                None => "the ledger is held by another process",
            },
            Err(_) => "the data directory is held by a process that takes no commands",
        };
        if since.elapsed() > PATIENCE {
            let what = format!("{busy}, so nothing can be recorded or read; try again in a moment");
            return Err(Failure::trouble(Trouble::InUse, what));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Carries a command out in this process; `None` while another holds the ledger.
fn here(
    config: &Config,
    keyring: Option<&Keyring>,
    command: &Command,
) -> Result<Option<Answer>, Failure> {
    let opened;
    let keyring = match keyring {
        Some(keyring) => keyring,
        None => {
            opened = Keyring::open_existing(config)?;
            &opened
        }
    };
    let ledger = match open_ledger(config, Arc::clone(&keyring.custody)) {
        Ok(ledger) => ledger,
        Err(OpenError::InUse(_)) => return Ok(None),
        Err(error) => {
            let what = match command {
                Command::Work(_) => format!("nothing was changed: {error}"),
                _ => format!(
                    "nothing was read, because it could not be recorded: {error}; \
                     a copy can be read with --dir"
                ),
            };
            return Err(Failure::trouble(error.trouble(), what));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let uid = rustix::process::getuid().as_raw();
    let actor = format!("local uid {uid}");
    let answer = runtime.block_on(async {
        let officers = match command {
            Command::RecordReading(reading) => reading.officer.is_some(),
            Command::Work(work) => work.takes_people(),
            _ => true,
        };
        let store = match officers {
            true => Some(open_store(config, keyring).await?),
            false => None,
        };
        let identity = match &store {
            Some(store) => Some(open_identity(store, &ledger, keyring)?),
            None => None,
        };
        let officer_reads = config.ledger.officer_reads;
        let desk = Desk { ledger: ledger.clone(), identity, officer_reads };
        let answer = match command {
            Command::RecordReading(reading) => desk.record(reading.clone(), &actor).await,
            Command::SignInOfficers { officers } => desk.officers(officers.clone(), &actor).await,
            Command::Work(work) => {
                let switch = Arc::clone(&keyring.switch);
                let clock = Arc::new(SystemClock);
                let shop = Shop { config: Arc::new(config.clone()), switch, desk, clock };
                shop.run(work.clone(), &actor).await
            }
            _ => return Err(Failure::internal()),
        };
        if let Some(store) = store {
            store.close().await;
        }
        Ok(answer)
    });
    // Closed also after a failure: the record says that it stopped in order.
    let closed = runtime.block_on(ledger.close());
    let answer = answer?;
    closed.map_err(|error| {
        let what = format!("the ledger could not be closed: {error}");
        Failure::trouble(Trouble::NotWritable, what)
    })?;
    Ok(Some(answer))
}

async fn open_store(config: &Config, keyring: &Keyring) -> Result<Store, Failure> {
    Store::open(&config.database, keyring.store_key()?, Arc::new(SystemRandom))
        .await
        .map_err(|error| Failure::usage(error.to_string()))
}

fn open_identity(
    store: &Store,
    ledger: &ledger::Ledger,
    keyring: &Keyring,
) -> Result<Identity, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let hash_key = Arc::new(keyring.hash_key()?);
    Identity::new(store.clone(), ledger.clone(), clock, random, hash_key)
        .map_err(|_| Failure::internal())
}

/// Whether two names lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    identity(one).is_some_and(|one| Some(one) == identity(other))
}
