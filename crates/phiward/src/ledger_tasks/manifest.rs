//! Keeps this stream's place and last checkpoint in the database, where other nodes and verifiers see
//! it: a log that is less than what the database holds is not opened, and a log whose checkpoint the
//! database refuses takes no more records.

use std::path::Path;
use std::time::Duration;

use domain::Clock as _;
use keys::{SystemRandom, key_file};
use ledger::note::{Checkpoint, Note};
use ledger::{Ledger, Trouble};
use store::{HeadKept, Store, StreamHead, StreamOpening};
use tokio::task::JoinHandle;

use super::Context;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use crate::system::{STREAM_FILE, ledger_stream};

/// Where the node's own name stands, beside the stream's keys.
const NODE_FILE: &str = "node";
/// The newest checkpoint is looked for this often.
const TURN: Duration = Duration::from_secs(1);

/// This process's claim to a stream.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    stream: u32,
    node: String,
    boot: String,
    /// The last checkpoint that the database holds.
    pub(crate) kept: Option<String>,
}

/// Before the ledger is opened: the number of this node's stream is settled, and what the database
/// holds of it is read.
pub(crate) async fn claim(config: &Config, store: &Store) -> Result<Claim, Failure> {
    let keys_dir = config.ledger_keys();
    let file =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", keys_dir.display()));
    key_file::create_dir(&keys_dir).map_err(|error| file(&error))?;
    let node = own_name(&keys_dir)?;
    let number = keys_dir.join(STREAM_FILE);
    // A number once settled stays; a log from before there were numbers is stream 1.
    let settled = number.exists() || keys_dir.join("stable.vkey").exists();
    let wanted = settled.then(|| ledger_stream(config));
    let given = store.claim_ledger_stream(&node, wanted, SystemClock.now()).await;
    let Some(stream) = given.map_err(|_| fault())? else {
        let stream = ledger_stream(config);
        let what = format!(
            "stream {stream} of the ledger belongs to another node (its keys are not those of {}); \
             a new node begins with a key directory of its own, and empty",
            keys_dir.display()
        );
        return Err(Failure::trouble(Trouble::InUse, what));
    };
    if !settled && stream != 1 {
        write(&number, &stream.to_string()).map_err(|error| file(&error))?;
    }
    let known = store.ledger_streams().await.map_err(|_| fault())?;
    let known = known.into_iter().find(|known| known.stream == stream);
    let kept = known.map(|known| known.checkpoint).filter(|note| !note.is_empty());
    let boot = keys::random_id("b_", &SystemRandom).map_err(|_| Failure::internal())?;
    Ok(Claim { stream, node, boot, kept })
}

impl Claim {
    /// After the ledger was opened: from now on this process is the one that writes the stream.
    pub(crate) async fn opened(&self, store: &Store, ledger: &Ledger) -> Result<(), Failure> {
        let opening = StreamOpening {
            stream: self.stream,
            node: self.node.clone(),
            boot: self.boot.clone(),
            origin: ledger.verifier_key().name().to_owned(),
            verifier_key: ledger.verifier_key().to_string(),
        };
        let opened = store.open_ledger_stream(&opening, SystemClock.now()).await;
        if !opened.map_err(|_| fault())? {
            let what = format!(
                "the database knows stream {} of the ledger under another key than this one; \
                 was the key directory replaced?",
                self.stream
            );
            return Err(Failure::trouble(Trouble::ForeignKey, what));
        }
        self.keep(store, &ledger.latest_checkpoint()).await.map_err(|reason| {
            Failure::trouble(Trouble::Fork, reason.unwrap_or_else(|| fault().message()))
        })
    }

    /// After the ledger was closed: its last checkpoint, and that it ended in order.
    pub(crate) async fn closed(&self, store: &Store, ledger: &Ledger) {
        let kept = self.keep(store, &ledger.latest_checkpoint()).await;
        let closed = store.close_ledger_stream(self.stream, &self.boot, SystemClock.now()).await;
        if kept.is_err() || closed.is_err() {
            tracing::error!("the database does not know that the ledger was closed");
        }
    }

    /// Keeps a checkpoint; the error is why the database refuses it, none if it did not answer.
    async fn keep(&self, store: &Store, note: &str) -> Result<(), Option<String>> {
        let Some(head) = head(note) else { return Ok(()) };
        let size = head.size;
        let kept = store.keep_ledger_checkpoint(self.stream, &self.boot, &head, SystemClock.now());
        match kept.await.map_err(|_| None)? {
            HeadKept::Kept => Ok(()),
            HeadKept::Smaller { kept } => Err(Some(format!(
                "the database holds a checkpoint of {kept} leaves, and the ledger has {size}: it was \
                 cut or rolled back"
            ))),
            HeadKept::Fork => Err(Some(format!(
                "the database holds another checkpoint of {size} leaves: there are two histories"
            ))),
            HeadKept::NotOurs => Err(Some(format!(
                "another process has opened stream {} since: was the node copied?",
                self.stream
            ))),
        }
    }
}

/// Starts the task.
pub(super) fn start(context: &Context) -> Vec<JoinHandle<()>> {
    let Context { claim, ledger, store, .. } = context.clone();
    vec![tokio::spawn(async move {
        let mut kept = ledger.latest_checkpoint();
        let mut turn = tokio::time::interval(TURN);
        loop {
            turn.tick().await;
            let note = ledger.latest_checkpoint();
            if note == kept {
                continue;
            }
            match claim.keep(&store, &note).await {
                Ok(()) => kept = note,
                // Every turn again, for another copy's catching up also ends a suspension.
                Err(Some(reason)) => ledger.suspend(&reason),
                Err(None) => tracing::error!("the ledger's checkpoint could not be kept; again"),
            }
        }
    })]
}

fn fault() -> Failure {
    Failure::usage("the database does not give the ledger's manifest")
}

fn head(note: &str) -> Option<StreamHead> {
    let parsed = Note::parse(note).ok()?;
    let Checkpoint { size, root, .. } = Checkpoint::parse(parsed.text()).ok()?;
    Some(StreamHead { size, root, note: note.to_owned() })
}

/// The node's own name: random, made once, kept where its keys are.
fn own_name(keys_dir: &Path) -> Result<String, Failure> {
    let path = keys_dir.join(NODE_FILE);
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    match std::fs::read_to_string(&path) {
        Ok(name) if (8..100).contains(&name.trim().len()) => Ok(name.trim().to_owned()),
        Ok(_) => Err(Failure::usage(format!("{} is damaged", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = keys::random_id("n_", &SystemRandom).map_err(|_| Failure::internal())?;
            write(&path, &name).map_err(failed)?;
            Ok(name)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a small file that is there whole or not at all.
fn write(path: &Path, line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}
