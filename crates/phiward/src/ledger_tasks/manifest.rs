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
                Err(Some(reason)) => ledger.suspend("the database", &reason),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keys::custody::Custody;
    use ledger::{Body, Entry, LedgerOptions, OpenError};

    use super::*;
    use crate::config::Template;
    use crate::kek;
    use crate::keyring::Keyring;
    use crate::system::ledger_origin;

    /// A node with directories of its own and a database that it shares.
    struct Node {
        _dir: tempfile::TempDir,
        config: Config,
        custody: Arc<dyn Custody>,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let template = Template {
                issuer: "https://phiward.example",
                listen: "127.0.0.1:8443".parse().unwrap(),
                internal: "127.0.0.1:8444".parse().unwrap(),
                upstream: "http://127.0.0.1:8080/fhir",
                password_grant: "off",
            };
            let path = dir.path().join("phiward.toml");
            std::fs::write(&path, template.render()).unwrap();
            for name in ["keys", "data"] {
                crate::init::private_dir(&dir.path().join(name)).unwrap();
            }
            crate::init::make_kek(&dir.path().join("keys/kek.key")).unwrap();
            let config = Config::read(&path).unwrap();
            Keyring::open(&config).unwrap();
            let custody = kek::custody(&config).unwrap();
            Self { _dir: dir, config, custody }
        }

        async fn store(&self) -> Store {
            let key = Keyring::open_existing(&self.config).unwrap().store_key().unwrap();
            Store::open(&self.config.database, key, Arc::new(SystemRandom)).await.unwrap()
        }

        async fn open(&self, store: &Store) -> Result<(Claim, Ledger), Failure> {
            let claim = claim(&self.config, store).await?;
            let ledger = self.ledger(&claim)?;
            claim.opened(store, &ledger).await?;
            Ok((claim, ledger))
        }

        fn ledger(&self, claim: &Claim) -> Result<Ledger, OpenError> {
            let mut options = LedgerOptions::new(
                &self.config.ledger.dir,
                self.config.ledger_keys(),
                ledger_origin(&self.config),
                Arc::clone(&self.custody),
                Arc::new(SystemClock),
                Arc::new(SystemRandom),
            );
            options.kept = claim.kept.iter().cloned().collect();
            Ok(Ledger::open(options)?.0)
        }
    }

    async fn grow(ledger: &Ledger) -> String {
        ledger.append(vec![Entry::new(domain::Kind::SignIn, Body::default())]).await.unwrap();
        ledger.checkpoint().await.unwrap()
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target);
            } else {
                std::fs::copy(&path, &target).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn two_nodes_of_one_database_write_two_streams_under_two_names() {
        let (first, second) = (Node::new(), Node::new());
        let store = first.store().await;
        let (one, ledger) = first.open(&store).await.unwrap();
        let (two, other) = second.open(&store).await.unwrap();
        assert_eq!((one.stream, two.stream), (1, 2));
        assert_eq!(ledger.verifier_key().name(), "phiward.example/ledger");
        assert_eq!(other.verifier_key().name(), "phiward.example/ledger/2");
        one.keep(&store, &grow(&ledger).await).await.unwrap();
        two.keep(&store, &grow(&other).await).await.unwrap();
        for (claim, ledger) in [(&one, &ledger), (&two, &other)] {
            ledger.close().await.unwrap();
            claim.closed(&store, ledger).await;
        }
        let known = store.ledger_streams().await.unwrap();
        assert!(known.iter().all(|row| row.size > 0 && row.closed.is_some()));
        // Started again, each has its own.
        let (again, ledger) = second.open(&store).await.unwrap();
        assert_eq!((again.stream, again.node == two.node), (2, true));
        ledger.close().await.unwrap();
        // Another node with the same number is refused before anything is opened.
        std::fs::write(second.config.ledger_keys().join(STREAM_FILE), "1\n").unwrap();
        let refused = claim(&second.config, &store).await.unwrap_err();
        assert!(refused.message().contains("belongs to another node"), "{}", refused.message());
    }

    #[tokio::test]
    async fn a_machine_put_back_to_a_snapshot_does_not_open_its_ledger() {
        let node = Node::new();
        let store = node.store().await;
        let (claim, ledger) = node.open(&store).await.unwrap();
        ledger.close().await.unwrap();
        claim.closed(&store, &ledger).await;
        let (dir, keys) = (node.config.ledger.dir.clone(), node.config.ledger_keys());
        let aside = node.config.data.join("aside");
        copy(&dir, &aside.join("ledger"));
        copy(&keys, &aside.join("keys"));
        let (claim, ledger) = node.open(&store).await.unwrap();
        claim.keep(&store, &grow(&ledger).await).await.unwrap();
        ledger.close().await.unwrap();
        for (from, to) in [(aside.join("ledger"), &dir), (aside.join("keys"), &keys)] {
            std::fs::remove_dir_all(to).unwrap();
            copy(&from, to);
        }
        for path in std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()) {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(path, mode).unwrap();
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&keys, mode).unwrap();
        let claim = super::claim(&node.config, &store).await.unwrap();
        let opened = node.ledger(&claim);
        assert!(matches!(opened, Err(OpenError::Rollback { .. })), "{:?}", opened.err());
    }

    #[tokio::test]
    async fn a_copy_of_a_node_takes_the_stream_and_the_first_may_not_go_on() {
        let node = Node::new();
        let store = node.store().await;
        let (first, ledger) = node.open(&store).await.unwrap();
        first.keep(&store, &grow(&ledger).await).await.unwrap();
        // The copy opens under the same node's name and key.
        let second = claim(&node.config, &store).await.unwrap();
        second.opened(&store, &ledger).await.unwrap();
        let refused = first.keep(&store, &grow(&ledger).await).await.unwrap_err();
        assert!(refused.is_some_and(|reason| reason.contains("another process")));
        // A ledger that lost what the database holds is refused, too.
        let smaller = ledger::proof::checkpoint(&node.config.ledger.dir).unwrap();
        second.keep(&store, &grow(&ledger).await).await.unwrap();
        let refused = second.keep(&store, &smaller).await.unwrap_err();
        assert!(refused.is_some_and(|reason| reason.contains("cut or rolled back")));
        ledger.close().await.unwrap();
    }
}
