//! The part of verification that takes the time, on as many threads as there are: checksums and the
//! hashes of leaves. Batches come out in the order in which they stand, up to the first that is not
//! whole; what comes out does not depend on the number of threads, and memory stays flat.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::format::{BATCH_HEADER_LEN, Batch, BatchHeader};
use crate::tree::{Hash, leaf_hash};

/// Bytes that are read at once.
const BLOCK: usize = 512 << 10;
/// Bytes that are read ahead of what was handed out.
const AHEAD: usize = 8 << 20;
/// A larger batch is left to the caller. Our writer makes none.
const LARGEST: usize = 4 << 20;
const MAX_THREADS: usize = 16;

/// A whole batch, the hashes of its leaves as far as they were taken (its header first), and where
/// it stands in the file.
pub(crate) type Take<'a> = dyn FnMut(&Batch<'_>, &[Hash], u64) + 'a;

/// Threads that check and hash.
pub(crate) struct Pool {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    spare: Vec<Vec<u8>>,
    /// Threads to be started when there is work for them.
    later: usize,
}

struct Job {
    block: Block,
    done: SyncSender<Checked>,
}

/// Consecutive batches of a file, by their headers.
struct Block {
    bytes: Vec<u8>,
    /// Where the bytes begin in the file.
    at: u64,
    /// Start and length of each batch.
    batches: Vec<(usize, usize)>,
}

/// A block with what was found.
struct Checked {
    block: Block,
    /// Of each batch up to the first bad one: its hash, and how many leaves were hashed.
    whole: Vec<(Hash, usize)>,
    leaves: Vec<Hash>,
}

impl Pool {
    /// With this many threads beside the caller's; `None` takes one for each core, once there is more
    /// than a block to check.
    pub(crate) fn new(threads: Option<usize>) -> io::Result<Self> {
        let mut pool = Self { jobs: None, threads: Vec::new(), spare: Vec::new(), later: 0 };
        match threads {
            Some(count) => pool.start(count)?,
            None => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                // A second thread on the only core would but stand in the way.
                pool.later = if cores > 1 { cores } else { 0 };
            }
        }
        Ok(pool)
    }

    fn start(&mut self, count: usize) -> io::Result<()> {
        self.later = 0;
        if count > 0 {
            let (jobs, queue) = channel();
            let queue = Arc::new(Mutex::new(queue));
            self.jobs = Some(jobs);
            for _ in 0..count.min(MAX_THREADS) {
                let queue = Arc::clone(&queue);
                let builder = std::thread::Builder::new().name("verify".into());
                self.threads.push(builder.spawn(move || work(&queue))?);
            }
        }
        Ok(())
    }

    /// Hands out the whole batches of a file from `from` on; gives the place of what is none.
    pub(crate) fn batches(
        &mut self,
        file: &File,
        from: u64,
        take: &mut Take<'_>,
    ) -> io::Result<u64> {
        let len = file.metadata()?.len();
        let mut feed = Feed { file, len, at: from, carry: Vec::new(), ended: false };
        let mut waiting: VecDeque<(usize, Receiver<Checked>)> = VecDeque::new();
        let (mut ahead, mut end) = (0, from);
        loop {
            while ahead < AHEAD && !feed.ended {
                let Some(block) = feed.next(self.spare.pop().unwrap_or_default())? else { break };
                if self.later > 0 && !feed.ended {
                    self.start(self.later)?;
                }
                let size = block.bytes.len();
                let (done, checked) = sync_channel(1);
                match &self.jobs {
                    Some(jobs) => jobs.send(Job { block, done }).map_err(|_| gone())?,
                    None => drop(done.send(check(block))),
                }
                ahead += size;
                waiting.push_back((size, checked));
                if self.jobs.is_none() {
                    break;
                }
            }
            let Some((size, checked)) = waiting.pop_front() else { return Ok(end) };
            let checked = checked.recv().map_err(|_| gone())?;
            ahead -= size;
            let mut hashes = checked.leaves.as_slice();
            for (index, (start, len)) in checked.block.batches.iter().enumerate() {
                // What was read beyond the first bad batch counts for nothing.
                let Some((hash, count)) = checked.whole.get(index) else { return Ok(end) };
                let bytes = checked.block.bytes.get(*start..start + len).unwrap_or_default();
                let Some(batch) = Batch::read(bytes, *hash) else { return Ok(end) };
                let (own, rest) = hashes.split_at_checked(*count).unwrap_or_default();
                hashes = rest;
                take(&batch, own, checked.block.at + *start as u64);
                end = checked.block.at + (start + len) as u64;
            }
            self.spare.push(checked.block.bytes);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a verifying thread ended")
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, done }) = next else { return };
        // Nobody waits for what comes after a bad batch.
        let _ = done.send(check(block));
    }
}

/// Checks every batch and hashes its leaves, up to the first that is not whole.
fn check(block: Block) -> Checked {
    let (mut whole, mut leaves) = (Vec::with_capacity(block.batches.len()), Vec::new());
    for (start, len) in &block.batches {
        let bytes = block.bytes.get(*start..start + len).unwrap_or_default();
        let Some(hash) = Batch::check(bytes) else { break };
        let Some(batch) = Batch::read(bytes, hash) else { break };
        let before = leaves.len();
        leaves.push(leaf_hash(batch.header_bytes));
        leaves.extend(batch.leaves().map_while(|leaf| Some(leaf_hash(leaf?.bytes))));
        whole.push((hash, leaves.len() - before));
    }
    Checked { block, whole, leaves }
}

/// Reads a file in blocks of whole batches, as far as headers tell.
struct Feed<'a> {
    file: &'a File,
    /// How long it was.
    len: u64,
    /// Where the carried bytes begin.
    at: u64,
    /// Bytes read that were no whole batch yet.
    carry: Vec<u8>,
    ended: bool,
}

impl Feed<'_> {
    /// The next block; none where something stands that is no batch that we take.
    fn next(&mut self, mut bytes: Vec<u8>) -> io::Result<Option<Block>> {
        bytes.clear();
        bytes.append(&mut self.carry);
        let mut batches = Vec::new();
        // One more than there is, to see the end.
        let rest = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let mut more = self.fill(&mut bytes, BLOCK.min(rest.saturating_add(1)))?;
        let mut end = 0;
        loop {
            let rest = bytes.get(end..).unwrap_or_default();
            let header = rest.get(..BATCH_HEADER_LEN).map(BatchHeader::decode);
            let len = match header {
                None if more => break,
                Some(Some(header)) => header.batch_len().filter(|len| *len <= LARGEST),
                _ => None,
            };
            let Some(len) = len else {
                self.ended = true;
                break;
            };
            if len <= rest.len() {
                batches.push((end, len));
                end += len;
            } else if more && batches.is_empty() {
                more = self.fill(&mut bytes, len)?;
            } else {
                // The next block begins with it, or the file ends within it.
                self.ended = !more;
                break;
            }
        }
        if !self.ended {
            self.carry.extend_from_slice(bytes.get(end..).unwrap_or_default());
        }
        let at = self.at;
        self.at += end as u64;
        Ok((!batches.is_empty()).then_some(Block { bytes, at, batches }))
    }

    /// Reads up to this many bytes in all; false at the end of the file.
    fn fill(&self, bytes: &mut Vec<u8>, len: usize) -> io::Result<bool> {
        let mut filled = bytes.len();
        bytes.resize(len.max(filled), 0);
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, self.at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let more = filled == bytes.len();
        bytes.truncate(filled);
        Ok(more)
    }
}
