//! The thread that keeps the tiles. It is told the hashes of every batch that is durable, and never
//! makes the writer wait: what it was not told, because it was behind or not running, it reads from the
//! segments. What it writes is not waited for, and not trusted by anybody.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::edges::Edges;
use super::files::TileFiles;
use super::segments::Segments;
use crate::tree::{Frontier, Hash};

/// Batches that may wait. A batch has 8192 leaves at most; the usual one has a few.
const WAITING: usize = 256;
/// How long the end of the writer waits for the last tiles.
const PATIENCE: Duration = Duration::from_secs(2);

enum Message {
    /// The hashes of a batch, and the index of the first.
    Leaves(u64, Vec<Hash>),
    /// Write what stands right of the full tiles, too.
    Settle(Option<oneshot::Sender<()>>),
}

/// How the keeper is told.
#[derive(Clone)]
pub(crate) struct Feed(SyncSender<Message>);

/// Starts a keeper for the log that stands here.
pub(crate) fn keep(dir: &Path, tree: &Frontier) -> std::io::Result<Feed> {
    let (feed, messages) = sync_channel(WAITING);
    let keeper =
        Keeper { dir: dir.to_owned(), files: TileFiles::new(dir), edges: None, wet: false };
    let tree = tree.clone();
    std::thread::Builder::new()
        .name("ledger-tiles".into())
        .spawn(move || keeper.run(&tree, &messages))?;
    Ok(Feed(feed))
}

impl Feed {
    /// These leaves are durable. Never waits.
    pub(crate) fn leaves(&self, first: u64, hashes: Vec<Hash>) {
        // What does not fit is read from the segments later.
        let _ = self.0.try_send(Message::Leaves(first, hashes));
    }

    /// A checkpoint was signed. Never waits.
    pub(crate) fn signed(&self) {
        let _ = self.0.try_send(Message::Settle(None));
    }

    /// Resolves when everything told so far is on disk, or at once if the keeper is far behind.
    pub(crate) async fn settled(&self) {
        let (reply, done) = oneshot::channel();
        if self.0.try_send(Message::Settle(Some(reply))).is_ok() {
            let _ = done.await;
        }
    }

    /// The same for the writer's thread, at its end; a keeper that is far behind is not waited for.
    pub(crate) fn settle_blocking(&self) {
        let (reply, mut done) = oneshot::channel();
        if self.0.try_send(Message::Settle(Some(reply))).is_err() {
            return;
        }
        let began = Instant::now();
        while done.try_recv() == Err(TryRecvError::Empty) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Keeper {
    dir: PathBuf,
    files: TileFiles,
    /// `None` while where the tiles stand is not known.
    edges: Option<Edges>,
    /// Whether the right edge on disk is older than ours.
    wet: bool,
}

impl Keeper {
    fn run(mut self, tree: &Frontier, messages: &Receiver<Message>) {
        self.files.sweep();
        self.begin(tree);
        self.reach(tree.size());
        self.settle();
        while let Ok(message) = messages.recv() {
            match message {
                Message::Leaves(first, hashes) => self.take(first, &hashes),
                Message::Settle(reply) => {
                    self.settle();
                    if let Some(reply) = reply {
                        let _ = reply.send(());
                    }
                }
            }
        }
        self.settle();
    }

    /// Finds the last place where the tiles on disk are those of the log.
    fn begin(&mut self, tree: &Frontier) {
        let stands = |files: &TileFiles, tree: &Frontier| {
            let edges = files.edges(tree.size())?;
            (edges.frontier().as_ref() == Some(tree)).then_some(edges)
        };
        self.edges = stands(&self.files, tree);
        if self.edges.is_some() {
            return;
        }
        let Ok(mut segments) = Segments::of(&self.dir) else { return };
        if self.files.exist() {
            for place in (0..segments.len()).rev() {
                let Ok(Some(header)) = segments.header(place) else { continue };
                if header.tree.size() <= tree.size()
                    && let Some(edges) = stands(&self.files, &header.tree)
                {
                    self.edges = Some(edges);
                    return;
                }
            }
        }
        if matches!(segments.header(0), Ok(Some(header)) if header.tree.size() == 0) {
            self.edges = Some(Edges::default());
        } else if tree.size() > 0 {
            tracing::warn!(
                "the tiles are damaged, and the segments that they were made of are gone"
            );
        }
    }

    fn take(&mut self, first: u64, hashes: &[Hash]) {
        self.reach(first);
        let Some(edges) = &mut self.edges else { return };
        let Some(known) = edges.size().checked_sub(first) else { return };
        let new = hashes.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
        for hash in new {
            push(edges, &self.files, *hash);
        }
        self.wet |= !new.is_empty();
    }

    /// Reads from the segments what is missing before this leaf.
    fn reach(&mut self, leaf: u64) {
        let Some(edges) = &mut self.edges else { return };
        let from = edges.size();
        if from >= leaf {
            return;
        }
        self.wet = true;
        let files = &self.files;
        let read = Segments::of(&self.dir).map_err(Into::into).and_then(|mut segments| {
            segments.leaves(from, leaf, &mut |hash| push(edges, files, hash))
        });
        if let Err(error) = read {
            // What was read so far is right; the next batch tries again from there.
            tracing::debug!(%error, "the tiles stay behind");
        }
    }

    fn settle(&mut self) {
        let Some(edges) = self.edges.as_ref().filter(|_| self.wet) else { return };
        match self.files.write_edges(edges) {
            Ok(()) => self.wet = false,
            Err(error) => tracing::warn!(%error, "the tiles were not written"),
        }
    }
}

fn push(edges: &mut Edges, files: &TileFiles, leaf: Hash) {
    edges.push(leaf, &mut |level, index, hashes| {
        if let Err(error) = files.write_full(level, index, hashes) {
            tracing::warn!(%error, "a tile was not written");
        }
    });
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feed")
    }
}
