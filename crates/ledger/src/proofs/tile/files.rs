//! Tiles on disk, beside the segments. Nothing that is read here is trusted, and nothing that is written
//! here is waited for: a file is whole or absent, and what a crash loses is made again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::edges::{Edges, depth, full_tiles, width};
use super::path::{TILE_WIDTH, TilePath};
use crate::tree::Hash;

const HASH_LEN: usize = 32;
const TILE_LEN: usize = TILE_WIDTH * HASH_LEN;
/// The tile that is being filled, under the name it will have.
const EDGE_SUFFIX: &str = ".edge";

/// No stretch of more leaves than this is looked up at a time.
const MOST: u64 = 1 << 22;

/// The hashes of these leaves, as the tiles have them; `None` if one is missing. Whoever asks checks
/// them against a tree.
pub(crate) fn leaf_hashes(ledger: &Path, leaves: Range<u64>) -> Option<Vec<Hash>> {
    let tiles = TileFiles::new(ledger);
    leaves.end.checked_sub(leaves.start).filter(|count| *count <= MOST)?;
    let wide = TILE_WIDTH as u64;
    let mut hashes = Vec::new();
    let mut at = leaves.start;
    while at < leaves.end {
        let (tile, first) = (at / wide, usize::try_from(at % wide).ok()?);
        let want = (leaves.end - tile * wide).min(wide);
        let found = tiles.read(0, tile, usize::try_from(want).ok()?)?;
        hashes.extend_from_slice(found.get(first..)?);
        at = tile * wide + want;
    }
    Some(hashes)
}

/// The tiles of a ledger's directory.
#[derive(Clone, Debug)]
pub(crate) struct TileFiles {
    dir: PathBuf,
}

impl TileFiles {
    pub(crate) fn new(ledger: &Path) -> Self {
        Self { dir: ledger.to_owned() }
    }

    /// Whether there is any.
    pub(crate) fn exist(&self) -> bool {
        self.dir.join("tile/0").is_dir()
    }

    /// The first `want` hashes of a tile, from the full one or from the one that is being filled.
    pub(crate) fn read(&self, level: u8, index: u64, want: usize) -> Option<Vec<Hash>> {
        let full = self.path(level, index);
        let bytes = match bounded(&full) {
            Some(bytes) if bytes.len() == TILE_LEN => bytes,
            _ => bounded(&edge(&full)).filter(|bytes| bytes.len().is_multiple_of(HASH_LEN))?,
        };
        let (hashes, _) = bytes.as_chunks::<HASH_LEN>();
        Some(hashes.get(..want)?.to_vec())
    }

    /// The right edge of the tiles at this size, if there is one on disk; whatever it says.
    pub(crate) fn edges(&self, size: u64) -> Option<Edges> {
        let levels = (0..).take(depth(size)).map(|level| match width(size, level) {
            0 => Some(Vec::new()),
            wide => self.read(level, full_tiles(size, level), wide),
        });
        Edges::from_levels(size, levels.collect::<Option<_>>()?)
    }

    /// Writes a full tile; the one that was being filled has had its time.
    pub(crate) fn write_full(&self, level: u8, index: u64, hashes: &[Hash]) -> io::Result<()> {
        let path = self.path(level, index);
        self.put(&path, hashes)?;
        let _ = fs::remove_file(edge(&path));
        Ok(())
    }

    /// Writes the right edge.
    pub(crate) fn write_edges(&self, edges: &Edges) -> io::Result<()> {
        for (level, hashes) in edges.levels().filter(|(_, hashes)| !hashes.is_empty()) {
            self.put(&edge(&self.path(level, full_tiles(edges.size(), level))), hashes)?;
        }
        Ok(())
    }

    /// Makes a full tile durable, and its name.
    pub(crate) fn settle(&self, level: u8, index: u64) -> io::Result<()> {
        let path = self.path(level, index);
        File::open(&path)?.sync_all()?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    fn path(&self, level: u8, index: u64) -> PathBuf {
        self.dir.join(TilePath::full(level, index).to_string())
    }
}

fn edge(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(EDGE_SUFFIX);
    name.into()
}

/// A file no longer than a tile.
fn bounded(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = TILE_LEN as u64 + 1;
    // A copy from elsewhere may hold anything; opening a pipe would wait for ever.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= TILE_LEN).then_some(bytes)
}

/// Numbers this process's temporary files.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);
const TEMPORARY_SUFFIX: &str = ".tmp";

impl TileFiles {
    /// The whole file or none, without waiting for the disk. An auditor's `prove` may mend a tile
    /// beside the server: each has temporary names of its own.
    fn put(&self, path: &Path, hashes: &[Hash]) -> io::Result<()> {
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let name = format!("tile/{}-{number}{TEMPORARY_SUFFIX}", std::process::id());
        let temporary = self.dir.join(name);
        let open =
            || File::options().write(true).create(true).truncate(true).mode(0o644).open(&temporary);
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.dir.join("tile"))?;
                open()?
            }
            other => other?,
        };
        file.write_all(hashes.as_flattened())?;
        match fs::rename(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(path))?;
                fs::rename(&temporary, path)
            }
            other => other,
        }
    }

    /// Removes what a crash left half written.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(self.dir.join("tile")).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(TEMPORARY_SUFFIX)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
