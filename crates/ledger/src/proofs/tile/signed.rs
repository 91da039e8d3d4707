//! The tree of one checkpoint, read from tiles. Every hash that leaves here hangs under the root that
//! was signed: a tile that does not is made again from the tiles below it or from the segments, and
//! written again; if that does not help, the ledger is damaged and nothing is handed out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::edges::{Edges, depth, full_tiles, root_of, width};
use super::files::TileFiles;
use super::path::TILE_WIDTH;
use super::segments::Segments;
use crate::proof::ProofError;
use crate::tree::{Hash, node_hash};

/// Tiles kept in memory: 8 MiB.
const KEPT: usize = 1024;
const WIDTH: u64 = TILE_WIDTH as u64;

pub(crate) struct SignedTree {
    size: u64,
    files: TileFiles,
    edges: Edges,
    pub(crate) segments: Segments,
    tiles: HashMap<(u8, u64), Arc<[Hash]>>,
    /// Tiles that were made again.
    mended: u64,
}

impl SignedTree {
    /// The tree of this size and root.
    pub(crate) fn open(dir: &Path, size: u64, root: &Hash) -> Result<Self, ProofError> {
        let files = TileFiles::new(dir);
        let mut segments = Segments::of(dir)?;
        let right = |edges: &Edges| edges.root().as_ref() == Some(root);
        let edges = match files.edges(size).filter(right) {
            Some(edges) => edges,
            None => match from_below(&files, &mut segments, size).filter(right) {
                Some(edges) => edges,
                None => from_leaves(&mut segments, size)?,
            },
        };
        if !right(&edges) {
            return Err(ProofError::Damaged);
        }
        Ok(Self { size, files, edges, segments, tiles: HashMap::new(), mended: 0 })
    }

    /// How many tiles had to be made again so far.
    pub(crate) const fn mended(&self) -> u64 {
        self.mended
    }

    /// The hash of a leaf.
    pub(crate) fn leaf(&mut self, index: u64) -> Result<Hash, ProofError> {
        self.hash(0, index)
    }

    /// The root over the leaves of one side of a split (RFC 6962 §2.1): `low` is a multiple of the
    /// smallest power of two that holds them.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> Result<Hash, ProofError> {
        let (mut at, mut joined) = (low, None);
        let mut rights = Vec::new();
        while at < high {
            let log = (high - at).ilog2();
            rights.push(self.perfect(log, at >> log)?);
            at += 1 << log;
        }
        while let Some(left) = rights.pop() {
            joined = Some(match joined {
                None => left,
                Some(right) => node_hash(&left, &right),
            });
        }
        joined.ok_or(ProofError::NoRecord)
    }

    /// The root of a perfect subtree of 2^`log` leaves.
    fn perfect(&mut self, log: u32, number: u64) -> Result<Hash, ProofError> {
        let level = u8::try_from(log / 8).map_err(|_| ProofError::NoRecord)?;
        let wide = 1_u64 << (log % 8);
        let first = number.checked_mul(wide).ok_or(ProofError::NoRecord)?;
        if wide == 1 {
            return self.hash(level, first);
        }
        let tile = self.tile(level, first / WIDTH)?;
        let from = place(first);
        let wide = usize::try_from(wide).map_err(|_| ProofError::NoRecord)?;
        tile.get(from..from + wide).map(root_of).ok_or(ProofError::NoRecord)
    }

    fn hash(&mut self, level: u8, index: u64) -> Result<Hash, ProofError> {
        self.tile(level, index / WIDTH)?.get(place(index)).copied().ok_or(ProofError::NoRecord)
    }

    /// A tile that hangs under the signed root.
    pub(crate) fn tile(&mut self, level: u8, index: u64) -> Result<Arc<[Hash]>, ProofError> {
        if index >= full_tiles(self.size, level) {
            let last = index == full_tiles(self.size, level);
            return if last {
                Ok(self.edges.level(level).into())
            } else {
                Err(ProofError::NoRecord)
            };
        }
        if let Some(known) = self.tiles.get(&(level, index)) {
            return Ok(Arc::clone(known));
        }
        let above = self.hash(level + 1, index)?;
        let right = |hashes: &Vec<Hash>| root_of(hashes) == above;
        let hashes = match self.files.read(level, index, TILE_WIDTH).filter(right) {
            Some(hashes) => hashes,
            None => {
                let made = self.make(level, index)?;
                if !right(&made) {
                    return Err(ProofError::Damaged);
                }
                self.mended += 1;
                // Who may read the ledger may not be allowed to write to it.
                if let Err(error) = self.files.write_full(level, index, &made) {
                    tracing::debug!(level, index, %error, "a tile was not written again");
                }
                made
            }
        };
        if self.tiles.len() >= KEPT {
            self.tiles.clear();
        }
        let tile: Arc<[Hash]> = hashes.into();
        self.tiles.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }

    /// Makes a full tile's file durable; it is there, as it was read.
    pub(crate) fn settle(&self, level: u8, index: u64) -> Result<(), ProofError> {
        Ok(self.files.settle(level, index)?)
    }

    /// Makes a tile again. The caller judges what comes of it.
    fn make(&mut self, level: u8, index: u64) -> Result<Vec<Hash>, ProofError> {
        if let Some(below) = level.checked_sub(1) {
            let above = self.hash(level + 1, index)?;
            let made = roots(&self.files, below, index * WIDTH, TILE_WIDTH);
            if let Some(made) = made.filter(|made| root_of(made) == above) {
                return Ok(made);
            }
        }
        let log = 8 * (u32::from(level) + 1);
        let leaves = 1_u64.checked_shl(log).ok_or(ProofError::Damaged)?;
        let from = index.checked_mul(leaves).ok_or(ProofError::Damaged)?;
        let mut made = Vec::new();
        let mut edges = Edges::default();
        self.segments.leaves(from, from.saturating_add(leaves), &mut |leaf| {
            edges.push(leaf, &mut |own, _, hashes| {
                if own == level {
                    made = hashes.to_vec();
                }
            });
        })?;
        Ok(made)
    }
}

/// Where in its tile a hash stands.
fn place(index: u64) -> usize {
    usize::try_from(index % WIDTH).unwrap_or(usize::MAX)
}

/// The roots of `count` full tiles of a level.
fn roots(files: &TileFiles, level: u8, first: u64, count: usize) -> Option<Vec<Hash>> {
    let tiles = (first..).take(count).map(|index| files.read(level, index, TILE_WIDTH));
    tiles.map(|tile| tile.map(|hashes| root_of(&hashes))).collect()
}

/// The right edge from the full tiles below it and from the last leaves.
fn from_below(files: &TileFiles, segments: &mut Segments, size: u64) -> Option<Edges> {
    let mut leaves = Vec::new();
    let last = u64::try_from(width(size, 0)).ok()?;
    segments.leaves(size - last, size, &mut |leaf| leaves.push(leaf)).ok()?;
    let mut levels = vec![leaves];
    for level in 1..u8::try_from(depth(size)).ok()? {
        let first = full_tiles(size, level).checked_mul(WIDTH)?;
        levels.push(roots(files, level - 1, first, width(size, level))?);
    }
    Edges::from_levels(size, levels)
}

/// The right edge from every leaf.
fn from_leaves(segments: &mut Segments, size: u64) -> Result<Edges, ProofError> {
    let mut edges = Edges::default();
    segments.leaves(0, size, &mut |leaf| edges.push(leaf, &mut |_, _, _| {}))?;
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::tree::{
        ProofBuilder, consistency_ranges, inclusion_ranges, leaf_hash, verify_consistency,
        verify_inclusion,
    };

    /// Three levels of tiles: full ones of the first two.
    const LEAVES: u64 = 66_321;

    struct Log {
        dir: TempDir,
        leaves: Vec<Hash>,
    }

    /// Tiles without segments: what is damaged cannot be mended.
    fn log() -> &'static Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let dir = TempDir::new().unwrap();
            let (files, mut edges) = (TileFiles::new(dir.path()), Edges::default());
            let leaves: Vec<Hash> = (0..LEAVES).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            for leaf in &leaves {
                edges.push(*leaf, &mut |level, index, hashes| {
                    files.write_full(level, index, hashes).unwrap();
                });
            }
            files.write_edges(&edges).unwrap();
            Log { dir, leaves }
        })
    }

    fn part(low: u64, high: u64) -> &'static [Hash] {
        let at = |n: u64| usize::try_from(n).unwrap();
        &log().leaves[at(low)..at(high)]
    }

    fn proof(tree: &mut SignedTree, ranges: &[(u64, u64)]) -> Vec<Hash> {
        ranges.iter().map(|(low, high)| tree.range(*low, *high).unwrap()).collect()
    }

    fn from_leaves(builder: Option<ProofBuilder>, size: u64) -> Vec<Hash> {
        let mut builder = builder.unwrap();
        (0..size).zip(part(0, size)).for_each(|(index, leaf)| builder.leaf(index, *leaf));
        builder.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn proofs_from_tiles_are_those_from_leaves_at_every_size(
            size in prop_oneof![1..=LEAVES, 1..=600_u64, 65_000..=LEAVES],
            index: prop::sample::Index,
            old: prop::sample::Index,
        ) {
            let root = root_of(part(0, size));
            let mut tree = SignedTree::open(log().dir.path(), size, &root).unwrap();
            let index = index.index(usize::try_from(size).unwrap()) as u64;
            let path = proof(&mut tree, &inclusion_ranges(index, size).unwrap());
            prop_assert_eq!(&path, &from_leaves(ProofBuilder::inclusion(index, size), size));
            let leaf = tree.leaf(index).unwrap();
            prop_assert!(verify_inclusion(&leaf, index, size, &path, &root));
            let old = old.index(usize::try_from(size).unwrap()) as u64 + 1;
            let path = proof(&mut tree, &consistency_ranges(old, size).unwrap());
            prop_assert_eq!(&path, &from_leaves(ProofBuilder::consistency(old, size), size));
            let old_root = tree.range(0, old).unwrap();
            prop_assert_eq!(old_root, root_of(part(0, old)));
            prop_assert!(verify_consistency((old, &old_root), (size, &root), &path));
            prop_assert_eq!(tree.mended(), 0);
        }

        #[test]
        fn another_root_or_size_is_refused(size in 1..LEAVES, byte in 0..32_usize) {
            let mut root = root_of(part(0, size));
            let more = SignedTree::open(log().dir.path(), size + 1, &root);
            prop_assert!(matches!(more, Err(ProofError::Damaged)));
            root[byte] ^= 1;
            let other = SignedTree::open(log().dir.path(), size, &root);
            prop_assert!(matches!(other, Err(ProofError::Damaged)));
        }
    }

    #[test]
    fn a_flipped_bit_in_any_tile_is_never_handed_out() {
        let root = root_of(part(0, LEAVES));
        let copy = TempDir::new().unwrap();
        let files = TileFiles::new(copy.path());
        let mut whole = SignedTree::open(log().dir.path(), LEAVES, &root).unwrap();
        files.write_edges(&whole.edges).unwrap();
        files.write_full(1, 0, &whole.tile(1, 0).unwrap()).unwrap();
        files.write_full(0, 7, &whole.tile(0, 7).unwrap()).unwrap();
        let index = 7 * WIDTH + 3;
        let ask = || SignedTree::open(copy.path(), LEAVES, &root)?.leaf(index);
        assert_eq!(ask().unwrap(), part(index, index + 1)[0]);
        for name in
            ["tile/0/007", "tile/1/000", "tile/1/001.edge", "tile/0/259.edge", "tile/2/000.edge"]
        {
            let path = copy.path().join(name);
            let good = std::fs::read(&path).unwrap();
            for at in (0..good.len()).step_by(101) {
                let mut bent = good.clone();
                bent[at] ^= 0x10;
                std::fs::write(&path, &bent).unwrap();
                assert!(ask().is_err(), "{name} at {at}");
            }
            std::fs::write(&path, &good).unwrap();
        }
        assert!(ask().is_ok());
    }
}
