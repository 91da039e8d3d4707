//! A disk that behaves as disks do at their worst, by a seed: it fails, runs full, lies about its
//! syncs, and at a power loss keeps any part of what was not synced, in 512-byte sectors, in any order.
//!
//! The files are real and show what the running system sees. Beside them it keeps what is durable,
//! and at a power loss makes the files that.

#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use ledger::{Disk, SystemDisk};

const SECTOR: u64 = 512;

/// A small generator of numbers (splitmix64): the same seed, the same storm.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What the disk does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A part of the write, then EIO.
    ShortWrite,
    /// A part of the write, then no room, until something is removed.
    Full,
    /// The sync fails; what it was to make durable is durable or not.
    SyncFails,
    /// EIO from a change of name, length or directory.
    NameFails,
    /// The power goes in the middle of the operation.
    PowerLoss,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Default)]
struct Node {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

struct Inner {
    dice: Dice,
    /// By inode.
    nodes: HashMap<u64, Node>,
    /// What a power loss leaves of the names; the present ones are the file system's.
    names: BTreeMap<PathBuf, u64>,
    /// Changes of names that no directory sync has made durable: the new node, or none.
    renamed: Vec<(PathBuf, Option<u64>)>,
    /// In so many operations, this.
    fault: Option<(u64, Fault)>,
    struck: bool,
    full: bool,
    off: bool,
    lies: bool,
    read_only: bool,
    operations: u64,
    /// Salts of the batches written, and what was written under them.
    salts: HashMap<Vec<u8>, Vec<u8>>,
    held: bool,
    waiting: bool,
}

pub struct StormDisk {
    inner: Mutex<Inner>,
    changed: Condvar,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// Whether it is a batch as the writer writes it; what recovery keeps aside may be none any more.
fn is_batch(bytes: &[u8]) -> bool {
    let Some(at) = bytes.len().checked_sub(4).filter(|at| *at > 113) else { return false };
    bytes.starts_with(b"PHWB") && crc32c::crc32c(&bytes[..at]).to_be_bytes() == bytes[at..]
}

fn node_of(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Len(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
        Change::Write(at, new) => {
            let at = usize::try_from(*at).unwrap();
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
}

impl Inner {
    /// Counts an operation; what it is to suffer.
    fn step(&mut self, here: &[Fault]) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(eio());
        }
        self.operations += 1;
        let Some((left, fault)) = self.fault else { return Ok(None) };
        if left > 0 {
            self.fault = Some((left - 1, fault));
            return Ok(None);
        }
        // A fault waits for an operation that can suffer it.
        if !here.contains(&fault) {
            return Ok(None);
        }
        self.fault = None;
        self.struck = true;
        self.off |= fault == Fault::PowerLoss;
        self.full |= fault == Fault::Full;
        Ok(Some(fault))
    }

    fn keep_names(&mut self, changes: Vec<(PathBuf, Option<u64>)>) {
        for (path, node) in changes {
            match node {
                Some(node) => self.names.insert(path, node),
                None => self.names.remove(&path),
            };
        }
    }

    fn settle(&mut self, node: u64) {
        let node = self.nodes.entry(node).or_default();
        for change in std::mem::take(&mut node.pending) {
            apply(&mut node.durable, &change);
        }
    }

    /// What of one file a power loss leaves.
    fn survivor(dice: &mut Dice, node: &Node) -> Vec<u8> {
        let mut bytes = node.durable.clone();
        let last = node.pending.len().saturating_sub(1);
        for (number, change) in node.pending.iter().enumerate() {
            let Change::Write(at, new) = change else {
                if !dice.once_in(3) {
                    apply(&mut bytes, change);
                }
                continue;
            };
            let style = dice.below(4);
            if style == 0 {
                // The last sectors first, or the first first, up to some point.
                let cut = dice.below(new.len() as u64 + 1);
                let part = if dice.once_in(2) { 0..cut } else { cut..new.len() as u64 };
                // A sector is written whole: the edge is moved to the next.
                let edge = |n: u64| {
                    let place = (at + n).next_multiple_of(SECTOR).saturating_sub(*at);
                    place.min(new.len() as u64)
                };
                // A torn last write may also end in the middle of a sector.
                let torn = number == last && dice.once_in(3);
                let (from, to) =
                    if torn { (part.start, part.end) } else { (edge(part.start), edge(part.end)) };
                let (from, to) = if part.start == 0 { (0, to) } else { (from, to) };
                if from < to {
                    let piece = &new[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
                    apply(&mut bytes, &Change::Write(at + from, piece.to_vec()));
                }
                continue;
            }
            let mut place = 0;
            while place < new.len() as u64 {
                let end = ((at + place + 1).next_multiple_of(SECTOR) - at).min(new.len() as u64);
                let keep = match style {
                    1 => true,
                    2 => false,
                    _ => dice.once_in(2),
                };
                if keep {
                    let piece =
                        &new[usize::try_from(place).unwrap()..usize::try_from(end).unwrap()];
                    apply(&mut bytes, &Change::Write(at + place, piece.to_vec()));
                }
                place = end;
            }
        }
        bytes
    }
}

impl StormDisk {
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            dice: Dice(seed),
            nodes: HashMap::new(),
            names: BTreeMap::new(),
            renamed: Vec::new(),
            fault: None,
            struck: false,
            full: false,
            off: false,
            lies: false,
            read_only: false,
            operations: 0,
            salts: HashMap::new(),
            held: false,
            waiting: false,
        };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// After so many more operations, the next that can suffer this does.
    pub fn plan(&self, after: u64, fault: Fault) {
        let mut inner = self.inner();
        inner.fault = Some((after, fault));
        inner.struck = false;
    }

    pub fn struck(&self) -> bool {
        self.inner().struck
    }

    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// From now on syncs say yes and do nothing, or are honest again.
    pub fn lie(&self, lies: bool) {
        self.inner().lies = lies;
    }

    pub fn remount_read_only(&self) {
        self.inner().read_only = true;
    }

    /// Syncs of segments wait until [`StormDisk::release`]; so what is sent meanwhile is one batch.
    pub fn hold(&self) {
        self.inner().held = true;
    }

    /// Whether a sync waits.
    pub fn is_waiting(&self) -> bool {
        self.inner().waiting
    }

    pub fn release(&self) {
        self.inner().held = false;
        self.changed.notify_all();
    }

    /// Nothing can be written any more: the power is off.
    pub fn cut_power(&self) {
        let mut inner = self.inner();
        inner.off = true;
        inner.held = false;
        self.changed.notify_all();
    }

    /// Another process begins on the same running system: nothing is lost, nothing more is durable.
    pub fn restart(&self) {
        let mut inner = self.inner();
        (inner.off, inner.full, inner.fault) = (false, false, None);
    }

    /// The power is back: the files are what was durable, and any part of what was not.
    pub fn restore_power(&self) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        // Directory changes are journalled: any first part of them is there.
        let kept = inner.dice.below(inner.renamed.len() as u64 + 1);
        let renamed = std::mem::take(&mut inner.renamed);
        let kept = usize::try_from(kept).unwrap();
        inner.keep_names(renamed.into_iter().take(kept).collect());
        let mut nodes = HashMap::new();
        let dirs: std::collections::BTreeSet<PathBuf> =
            inner.names.keys().map(|path| path.parent().unwrap().to_path_buf()).collect();
        for dir in dirs {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let node = fs::metadata(&path).unwrap().ino();
                // Files that were not made through here are none of ours.
                if path.is_file() && inner.nodes.contains_key(&node) {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        let names = std::mem::take(&mut inner.names);
        for (path, node) in names {
            let Some(node) = inner.nodes.get(&node) else { continue };
            let bytes = Inner::survivor(&mut inner.dice, node);
            fs::write(&path, &bytes).unwrap();
            let new = fs::metadata(&path).unwrap().ino();
            nodes.insert(new, Node { durable: bytes, pending: Vec::new() });
            inner.names.insert(path, new);
        }
        inner.nodes = nodes;
        (inner.off, inner.full, inner.fault) = (false, false, None);
    }
}

impl Disk for StormDisk {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut inner = self.inner();
        if inner.step(&[Fault::NameFails, Fault::PowerLoss])?.is_some() {
            return Err(eio());
        }
        // A new inode, even where there is a file: its old content is not lost at once.
        let _ = fs::remove_file(path);
        let file = SystemDisk.create(path, mode)?;
        let node = node_of(&file);
        inner.nodes.insert(node, Node::default());
        inner.renamed.push((path.to_owned(), Some(node)));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut inner = self.inner();
        inner.step(&[])?;
        SystemDisk.open(path)
    }

    fn allocate(&self, file: &File, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        let fault = inner.step(&[Fault::Full, Fault::PowerLoss])?;
        if inner.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if fault.is_some() {
            return Err(eio());
        }
        file.set_len(len.max(file.metadata()?.len()))?;
        inner.nodes.entry(node_of(file)).or_default().pending.push(Change::Len(len));
        Ok(())
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if is_batch(bytes) {
            // The batch's key comes of its salt: one salt, one text.
            let before = inner.salts.insert(bytes[49..81].to_vec(), bytes.to_vec());
            assert!(before.is_none_or(|before| before == bytes), "a salt was used twice");
        }
        let fault = inner.step(&[Fault::ShortWrite, Fault::Full, Fault::PowerLoss])?;
        let fault = if inner.full { Some(Fault::Full) } else { fault };
        let written = match fault {
            None => bytes,
            Some(_) => {
                let part = inner.dice.below(bytes.len() as u64 + 1);
                &bytes[..usize::try_from(part).unwrap()]
            }
        };
        file.write_all_at(written, offset)?;
        let change = Change::Write(offset, written.to_vec());
        inner.nodes.entry(node_of(file)).or_default().pending.push(change);
        match fault {
            None => Ok(()),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(_) => Err(eio()),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut inner = self.inner();
        while inner.held {
            inner.waiting = true;
            inner = self.changed.wait(inner).unwrap();
        }
        inner.waiting = false;
        let node = node_of(file);
        match inner.step(&[Fault::SyncFails, Fault::PowerLoss])? {
            None if inner.lies => Ok(()),
            None => {
                inner.settle(node);
                Ok(())
            }
            Some(fault) => {
                if inner.dice.once_in(2) {
                    inner.settle(node);
                } else if fault == Fault::SyncFails {
                    // What the file shows from here on is not on the disk and will not be: the
                    // system counts the pages as clean.
                    inner.nodes.entry(node).or_default().pending.clear();
                }
                Err(eio())
            }
        }
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.step(&[Fault::NameFails, Fault::PowerLoss])?.is_some() {
            return Err(eio());
        }
        file.set_len(len)?;
        inner.nodes.entry(node_of(file)).or_default().pending.push(Change::Len(len));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.step(&[Fault::NameFails, Fault::PowerLoss])?.is_some() {
            return Err(eio());
        }
        let node = fs::metadata(from)?.ino();
        fs::rename(from, to)?;
        // One change in the journal, but for the order in which it is told here.
        inner.renamed.push((to.to_owned(), Some(node)));
        inner.renamed.push((from.to_owned(), None));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.step(&[Fault::NameFails, Fault::PowerLoss])?.is_some() {
            return Err(eio());
        }
        fs::remove_file(path)?;
        inner.renamed.push((path.to_owned(), None));
        inner.full = false;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        match inner.step(&[Fault::SyncFails, Fault::NameFails, Fault::PowerLoss])? {
            None if inner.lies => Ok(()),
            None => {
                let (here, others) = std::mem::take(&mut inner.renamed)
                    .into_iter()
                    .partition(|(path, _)| path.parent() == Some(dir));
                inner.renamed = others;
                inner.keep_names(here);
                Ok(())
            }
            Some(_) => Err(eio()),
        }
    }

    fn is_read_only(&self, _file: &File) -> io::Result<bool> {
        Ok(self.inner().read_only)
    }
}
