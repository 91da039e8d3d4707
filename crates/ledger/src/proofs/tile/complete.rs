//! Tiles that must do without their segments: before segments are dropped for good, every tile is read,
//! mended, and made durable. What succeeds here can be proven afterwards from tiles alone.

use std::path::Path;

use super::edges::{depth, full_tiles};
use super::signed::SignedTree;
use crate::note::{Checkpoint, Note};
use crate::proof::{ProofError, checkpoint};

/// What the tiles of a ledger are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completed {
    /// How many leaves the latest checkpoint signs for.
    pub size: u64,
    /// How many tiles are full.
    pub tiles: u64,
    /// How many of them had to be made again from the segments.
    pub mended: u64,
}

/// Checks every full tile against the latest checkpoint, makes those again that are damaged or missing,
/// and returns when all are durable. `progress` is told how many leaves are done.
///
/// # Errors
/// [`ProofError`]; then no segment may be dropped.
pub fn complete(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Completed, ProofError> {
    let text = checkpoint(dir)?;
    let head = Checkpoint::parse(Note::parse(&text)?.text())?;
    let mut tree = SignedTree::open(dir, head.size, &head.root)?;
    let mut tiles = 0;
    for level in (0..8_u8).take(depth(head.size)) {
        for index in 0..full_tiles(head.size, level) {
            tree.tile(level, index)?;
            tree.settle(level, index)?;
            tiles += 1;
            if level == 0 {
                progress((index + 1).saturating_mul(super::TILE_WIDTH as u64));
            }
        }
    }
    Ok(Completed { size: head.size, tiles, mended: tree.mended() })
}
