//! The right edge of the tiles: at each level, the hashes that fill no tile yet. Together they are the
//! whole tree in short, so a root or a frontier checks every one of them.

use super::path::TILE_WIDTH;
use crate::tree::{Frontier, Hash};

/// What is called with each tile that is full: level, index, hashes.
pub(crate) type Full<'a> = dyn FnMut(u8, u64, &[Hash]) + 'a;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Edges {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edges {
    /// From what stands right of the full tiles, level by level; `None` if the numbers do not fit.
    pub(crate) fn from_levels(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = levels.len() == depth(size)
            && (0..).zip(&levels).all(|(level, hashes)| hashes.len() == width(size, level));
        fits.then_some(Self { size, levels })
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// What stands right of the full tiles of a level.
    pub(crate) fn level(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn levels(&self) -> impl Iterator<Item = (u8, &[Hash])> {
        (0..).zip(self.levels.iter().map(Vec::as_slice))
    }

    /// Adds the next leaf's hash.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Full<'_>) {
        self.size = self.size.saturating_add(1);
        let mut next = Some(leaf);
        for level in 0_u8.. {
            let Some(hash) = next.take() else { break };
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(hashes) = self.levels.get_mut(place) else { break };
            hashes.push(hash);
            if hashes.len() == TILE_WIDTH {
                full(level, full_tiles(self.size, level).saturating_sub(1), hashes);
                next = Some(root_of(hashes));
                hashes.clear();
            }
        }
    }

    /// The tree's right edge, as segments and recovery know it.
    pub(crate) fn frontier(&self) -> Option<Frontier> {
        let mut peaks = Vec::new();
        for hashes in self.levels.iter().rev() {
            peaks.extend_from_slice(joined(hashes).peaks());
        }
        Frontier::from_parts(self.size, peaks)
    }

    /// The tree's root.
    pub(crate) fn root(&self) -> Option<Hash> {
        self.frontier().map(|frontier| frontier.root())
    }
}

/// How many levels a tree of this size has.
pub(crate) fn depth(size: u64) -> usize {
    (0..=8_u8).take_while(|level| shifted(size, *level) > 0).count()
}

/// How many tiles of this level are full.
pub(crate) fn full_tiles(size: u64, level: u8) -> u64 {
    shifted(size, level.saturating_add(1))
}

/// How many hashes of this level stand right of the full tiles.
pub(crate) fn width(size: u64, level: u8) -> usize {
    usize::try_from(shifted(size, level) % TILE_WIDTH as u64).unwrap_or(0)
}

/// How many hashes this level has.
fn shifted(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The root over neighbouring hashes of one level.
pub(crate) fn root_of(hashes: &[Hash]) -> Hash {
    joined(hashes).root()
}

fn joined(hashes: &[Hash]) -> Frontier {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_is_the_tree_and_its_full_tiles_join_to_the_level_above() {
        let mut edges = Edges::default();
        let mut tree = Frontier::new();
        let mut made = Vec::new();
        for number in 0..66_000_u64 {
            let leaf = keys::sha256(&number.to_be_bytes());
            tree.push(leaf);
            edges.push(leaf, &mut |level, index, hashes| {
                assert_eq!(hashes.len(), TILE_WIDTH);
                made.push((level, index, root_of(hashes)));
            });
            if number % 97 == 0 || number > 65_500 {
                assert_eq!(edges.frontier().as_ref(), Some(&tree), "{number}");
                let levels = edges.levels().map(|(_, hashes)| hashes.to_vec()).collect();
                assert_eq!(Edges::from_levels(number + 1, levels), Some(edges.clone()));
            }
        }
        assert_eq!(made.iter().filter(|(level, ..)| *level == 0).count(), 257);
        assert_eq!(made.iter().filter(|(level, ..)| *level == 1).count(), 1);
        assert_eq!(edges.level(2), [made.iter().find(|(level, ..)| *level == 1).unwrap().2]);
    }

    #[test]
    fn hashes_that_do_not_fit_the_size_are_no_edge() {
        assert!(Edges::from_levels(0, Vec::new()).is_some());
        assert!(Edges::from_levels(1, vec![vec![[0; 32]]]).is_some());
        assert!(Edges::from_levels(256, vec![vec![], vec![[0; 32]]]).is_some());
        for levels in [vec![], vec![vec![]], vec![vec![[0; 32]; 2]], vec![vec![[0; 32]], vec![]]] {
            assert!(Edges::from_levels(1, levels).is_none());
        }
        assert_eq!(depth(u64::MAX), 8);
    }
}
