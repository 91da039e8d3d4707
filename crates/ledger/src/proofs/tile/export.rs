//! The log as an ordinary tiled transparency log (c2sp.org/tlog-tiles) in a directory of its own. Every
//! hash that is written hangs under the signed root, every entry under its hash; the checkpoint is
//! written last, so an export that was cut short is no log. Entries are sealed records: ePHI.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::edges::{depth, full_tiles, width};
use super::path::{TILE_WIDTH, TileKind, TilePath};
use super::segments::Segments;
use super::signed::SignedTree;
use crate::files;
use crate::note::{Checkpoint, Note};
use crate::proof::{ProofError, checkpoint};
use crate::tree::leaf_hash;

/// An export cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The directory to write has something in it.
    #[error("{} is not empty; name a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// The system refuses.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger does not prove what would be written.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// The signed note.
    pub checkpoint: String,
    /// How many leaves it signs for.
    pub size: u64,
    /// Hash tiles, partial ones included.
    pub tiles: u64,
    /// Entry bundles.
    pub bundles: u64,
}

/// Writes the log as its latest checkpoint signs for it: checkpoint and hash tiles; with `entries`, the
/// sealed records, too. `progress` is told how many leaves are done.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    dir: &Path,
    out: &Path,
    entries: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let text = checkpoint(dir)?;
    let note = Note::parse(&text).map_err(ProofError::from)?;
    let head = Checkpoint::parse(note.text()).map_err(ProofError::from)?;
    let tree = SignedTree::open(dir, head.size, &head.root)?;
    let mut export = Export { out: out.to_owned(), size: head.size, tree, tiles: 0, bundles: 0 };
    export.begin()?;
    export.hashes(progress)?;
    if entries {
        export.entries(dir, progress)?;
    }
    export.put(&out.join(files::CHECKPOINT), text.as_bytes(), 0o644)?;
    let Export { size, tiles, bundles, .. } = export;
    Ok(Exported { checkpoint: text, size, tiles, bundles })
}

struct Export {
    out: PathBuf,
    size: u64,
    tree: SignedTree,
    tiles: u64,
    bundles: u64,
}

impl Export {
    fn begin(&self) -> Result<(), ExportError> {
        let failed = |source| ExportError::Io { path: self.out.clone(), source };
        match fs::read_dir(&self.out).map(|mut found| found.next().is_none()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ExportError::NotEmpty(self.out.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.out).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn hashes(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), ExportError> {
        for level in (0..8_u8).take(depth(self.size)) {
            for index in 0..full_tiles(self.size, level) {
                self.tile(level, index, 256)?;
                if level == 0 {
                    progress((index + 1) * TILE_WIDTH as u64);
                }
            }
            let wide = u16::try_from(width(self.size, level)).unwrap_or(0);
            if wide > 0 {
                self.tile(level, full_tiles(self.size, level), wide)?;
            }
        }
        Ok(())
    }

    fn tile(&mut self, level: u8, index: u64, width: u16) -> Result<(), ExportError> {
        let hashes = self.tree.tile(level, index)?;
        let path = TilePath { kind: TileKind::Hashes(level), index, width };
        self.tiles += 1;
        self.put(&self.out.join(path.to_string()), hashes.as_flattened(), 0o644)
    }

    fn entries(&mut self, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), ExportError> {
        let mut segments = Segments::of(dir).map_err(ProofError::from)?;
        let size = self.size;
        let (mut next, mut bundle, mut held) = (0_u64, Vec::new(), 0_u16);
        // The walk knows proofs only; what goes wrong in writing is kept for after it.
        let mut failed = None;
        let walked = segments.entries(size, &mut |entry| {
            if leaf_hash(entry) != self.tree.leaf(next)? {
                return Err(ProofError::Damaged);
            }
            let len = u16::try_from(entry.len()).map_err(|_| ProofError::Damaged)?;
            bundle.extend_from_slice(&len.to_be_bytes());
            bundle.extend_from_slice(entry);
            next += 1;
            held += 1;
            if usize::from(held) == TILE_WIDTH || next == size {
                let index = (next - 1) / TILE_WIDTH as u64;
                let path = TilePath { kind: TileKind::Entries, index, width: held };
                if let Err(error) = self.put(&self.out.join(path.to_string()), &bundle, 0o600) {
                    failed = Some(error);
                    return Err(ProofError::Damaged);
                }
                self.bundles += 1;
                bundle.clear();
                held = 0;
                progress(next);
            }
            Ok(())
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(walked?),
        }
    }

    fn put(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), ExportError> {
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
            file.write_all(bytes)
        };
        write().map_err(|source| ExportError::Io { path: path.to_owned(), source })
    }
}
