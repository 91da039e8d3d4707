//! What the ledger leans on, each with its mend: its key files, the database that knows its streams, and
//! the outsiders that keep it honest. Nothing is changed, and no record is opened.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use ledger::note::{Checkpoint, Note, VerifierKey};
use ledger::verify::VerifyOptions;
use ledger::{GapKind, retention, witness};
use outbound::{Client, Dialer, Limits, Options, Origin, PeerPolicy};

use super::State::{Bad, Doubt};
use super::{Finding, found, good};
use crate::config::Config;
use crate::keyring::RESTORING;
use crate::ledger_command::{judge_streams, known_streams};
use crate::ledger_tasks::worm::bucket;
use crate::runtime;
use crate::system::{certificates, ledger_stream};

/// How long somebody else is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that there is to say.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut list = restored(config);
    if config.ledger_keys().join("stable.vkey").exists() {
        list.extend([modes(config), months(config), manifest(config)]);
    } else if holds_segments(config) {
        let said = format!("{} holds a log whose keys are gone", config.ledger.dir.display());
        list.push(found(
            "ledger keys",
            Bad,
            said,
            "bring back keys/ledger; without it the log can be verified, not continued",
        ));
    }
    list.extend(refused(config));
    list.extend(config.ledger.witnesses.iter().map(|witness| {
        let what = format!("witness {}", witness.key.name());
        let answer = ask(&witness.url, witness.ca.as_deref());
        outsider("witness", &what, answer, "start it, or set the url and ca of [[ledger.witness]]")
    }));
    list.extend(locked_copy(config));
    list.extend(config.ledger.streams.iter().map(|stream| {
        let to = stream.to.split(['?', '#']).next().unwrap_or_default();
        let answer = match (stream.to.strip_prefix("file:"), stream.to.strip_prefix("syslog+tls://"))
        {
            (Some(path), _) => folder(std::path::Path::new(path)),
            (_, Some(peer)) => connect(peer, stream.ca.as_deref()),
            _ => ask(&stream.to, stream.ca.as_deref()),
        };
        let mend = "start the collector, or set `to` and `ca` of [[ledger.stream]]; nothing is lost \
                    meanwhile, the stream goes on by itself";
        outsider("stream", to, answer, mend)
    }));
    list
}

fn outsider(check: &'static str, name: &str, answer: Result<(), String>, mend: &str) -> Finding {
    match answer {
        Ok(()) => good(check, format!("{name} can be reached")),
        Err(why) => found(check, Bad, format!("{name} cannot be reached: {why}"), mend),
    }
}

/// What a restore that was cut short left behind.
fn restored(config: &Config) -> Vec<Finding> {
    let marker = config.keys_dir.join(RESTORING);
    if !marker.exists() {
        return Vec::new();
    }
    let said = format!("{} is there: a restore was cut short", marker.display());
    vec![found("restore", Bad, said, "phiward restore FILE, with the same backup, finishes it")]
}

fn holds_segments(config: &Config) -> bool {
    let stream = ledger::stream::in_dir(&config.ledger.dir);
    stream.is_ok_and(|stream| stream.is_some())
}

/// Nobody but their owner may read the keys, or put others in their place.
fn modes(config: &Config) -> Finding {
    let dir = config.ledger_keys();
    let failed = |error: std::io::Error| {
        let mend = "run this as the user that the server runs as";
        found("ledger keys", Bad, format!("{}: {error}", dir.display()), mend)
    };
    let open = |path: &std::path::Path| -> std::io::Result<bool> {
        Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
    };
    match open(&dir) {
        Ok(false) => {}
        Ok(true) => {
            let mend = format!("chmod 700 {}", dir.display());
            return found("ledger keys", Bad, "their directory is open to others", &mend);
        }
        Err(error) => return failed(error),
    }
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) => return failed(error),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        // A key that was erased meanwhile is no trouble.
        if is_key && open(&path).unwrap_or(false) {
            let said = format!("{} is open to others", path.display());
            return found("ledger keys", Bad, said, &format!("chmod 600 {}", path.display()));
        }
    }
    good("ledger keys", "only their owner can read them")
}

/// Each month that has records has its key.
fn months(config: &Config) -> Finding {
    let keys_dir = config.ledger_keys();
    match retention::periods(&config.ledger.dir, &keys_dir) {
        Err(error) => {
            found("ledger months", Bad, error.to_string(), "phiward ledger verify tells all of it")
        }
        Ok(months) => {
            let missing = months.into_iter().filter(|month| !retention::has_key(&keys_dir, *month));
            let missing: Vec<_> = missing.map(retention::period_text).collect();
            if missing.is_empty() {
                return good("ledger months", "the key of every month is there");
            }
            found(
                "ledger months",
                Bad,
                format!("the key of {} is missing: its records cannot be read", missing.join(", ")),
                "bring back keys/ledger/period-*.key from its copy; if the month was being shredded, \
                 phiward ledger shred finishes it",
            )
        }
    }
}

/// What the database knows of the streams.
fn manifest(config: &Config) -> Finding {
    const CHECK: &str = "ledger streams";
    let known = match known_streams(config) {
        Ok(known) => known,
        Err(failure) => {
            let mend = "start the database, or set database.url";
            return found(CHECK, Bad, failure.message(), mend);
        }
    };
    let current = ledger_stream(config);
    let keys_dir = config.ledger_keys();
    let text = |name: &str| std::fs::read_to_string(keys_dir.join(name)).unwrap_or_default();
    let (node, key) = (text("node"), text("stable.vkey"));
    if let Some(own) = known.iter().find(|row| row.stream == current) {
        if !own.verifier_key.is_empty() && own.verifier_key.trim() != key.trim() {
            let said = format!("the database knows stream {current} under another key");
            return found(CHECK, Bad, said, "bring back the keys/ledger that belongs to this log");
        }
        if own.node != node.trim() {
            let said = format!("stream {current} belongs to another node of the database");
            let mend =
                "a new node begins without keys/ledger; see docs/how-to/run-on-postgresql.md";
            return found(CHECK, Bad, said, mend);
        }
        // The database gets a checkpoint after the log has it.
        let here = ledger::proof::checkpoint(&config.ledger.dir).ok().and_then(|note| {
            Checkpoint::parse(Note::parse(&note).ok()?.text()).ok().map(|head| head.size)
        });
        if here.is_none_or(|here| here < own.size) {
            let said = format!(
                "the database holds a checkpoint of {} leaves, and the log has {}",
                own.size,
                here.unwrap_or(0)
            );
            return found(CHECK, Bad, said, "bring back the log; phiward ledger verify says more");
        }
    } else {
        let said = format!("the database does not know stream {current} yet");
        return found(CHECK, Doubt, said, "phiward serve makes it known");
    }
    let Ok(parsed) = VerifierKey::parse(key.trim()) else {
        return found(CHECK, Bad, "stable.vkey is damaged", "phiward serve writes it anew");
    };
    let count = known.len();
    let mut gaps = Vec::new();
    judge_streams(config, known, &mut VerifyOptions::new(parsed), &mut gaps);
    match gaps.into_iter().next() {
        None => good(CHECK, format!("this is stream {current}; the database knows {count}")),
        Some((kind, detail)) => {
            let state = if kind == GapKind::StreamVanished { Bad } else { Doubt };
            let said = format!("{}: {detail}", kind.meaning());
            found(
                CHECK,
                state,
                said,
                "start that node, or bring its log back; phiward ledger verify",
            )
        }
    }
}

/// What a witness said against this log.
fn refused(config: &Config) -> Option<Finding> {
    let said = witness::refusal(&config.ledger.dir)?;
    let mend = "do not delete the file: bring back the log that the witness cosigned; \
                see docs/how-to/when-the-ledger-stops.md";
    Some(found("witness", Bad, format!("a witness refused this log: {said}"), mend))
}

fn locked_copy(config: &Config) -> Option<Finding> {
    let worm = config.ledger.worm.as_ref()?;
    let name = format!("bucket {}", worm.bucket);
    let asked = bucket(worm).and_then(|bucket| {
        runtime(async {
            let asked = bucket.require_lock().await;
            asked.map_err(|error| crate::failure::Failure::usage(error.to_string()))
        })
    });
    let mend =
        "start the store, or set [ledger.worm]; the bucket must have been made with Object Lock";
    Some(match asked {
        Ok(()) => good("locked copy", format!("{name} can be reached, and locks")),
        Err(failure) => found("locked copy", Bad, format!("{name}: {}", failure.message()), mend),
    })
}

/// Whether anything answers there; what it answers does not matter.
fn ask(url: &str, ca: Option<&std::path::Path>) -> Result<(), String> {
    let origin = Origin::of(url).map_err(|error| error.to_string())?;
    let roots = ca.map(certificates).transpose().map_err(|failure| failure.message())?;
    let limits = Limits { body: 64 << 10, total: PATIENCE, ..Limits::default() };
    let options = Options {
        extra_roots: roots.unwrap_or_default(),
        limits,
        ..Options::new(PeerPolicy::ExactOrigin(origin))
    };
    let client = Client::new(options).map_err(|error| error.to_string())?;
    // A query may carry a secret; it is not needed for this.
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let request = Request::get(place).body(Bytes::new()).map_err(|error| error.to_string())?;
    let asked = runtime(async { Ok(client.fetch(request).await.map(|_| ())) });
    match asked.map_err(|failure| failure.message())? {
        Ok(()) | Err(outbound::SendError::TooLarge | outbound::SendError::Redirected) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a TLS session can be had there.
fn connect(peer: &str, ca: Option<&std::path::Path>) -> Result<(), String> {
    let origin = Origin::of(&format!("https://{peer}")).map_err(|error| error.to_string())?;
    let roots = ca.map(certificates).transpose().map_err(|failure| failure.message())?;
    let dialer = Dialer::new(origin, roots.unwrap_or_default(), PATIENCE);
    let dialer = dialer.map_err(|error| error.to_string())?;
    let asked = runtime(async { Ok(dialer.connect_tls().await.map(|_| ())) });
    asked.map_err(|failure| failure.message())?.map_err(|error| error.to_string())
}

fn folder(path: &std::path::Path) -> Result<(), String> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    match std::fs::metadata(dir.unwrap_or(std::path::Path::new("."))) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err("that is no directory".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
