//! The RFC 6962 SHA-256 Merkle tree: the same leaves always give the same root, a proof that checks
//! out is a proof, and nothing here keeps more than 64 hashes in memory.

use keys::Sha256Stream;

/// A SHA-256 hash: of a leaf, of a node, or of a whole tree (its root).
pub type Hash = [u8; 32];

/// The hash of a leaf (RFC 6962 §2.1: `SHA-256(0x00 ‖ leaf)`).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut sha = Sha256Stream::new();
    sha.update(&[0]);
    sha.update(leaf);
    sha.finish()
}

/// The hash of an inner node (RFC 6962 §2.1: `SHA-256(0x01 ‖ left ‖ right)`).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut joined = [1_u8; 65];
    let (_, rest) = joined.split_at_mut(1);
    let (a, b) = rest.split_at_mut(32);
    a.copy_from_slice(left);
    b.copy_from_slice(right);
    keys::sha256(&joined)
}

/// The right edge of a growing tree: its size and the roots of its perfect subtrees, largest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// From a size and its peaks; `None` if their number does not fit the size.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (usize::try_from(size.count_ones()) == Ok(peaks.len())).then_some(Self { size, peaks })
    }

    /// Adds the next leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The tree's root; of the empty tree, the hash of nothing (RFC 6962 §2.1).
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => keys::sha256(&[]),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// Gathers the hashes of a proof in one pass over the leaves.
#[derive(Debug)]
pub struct ProofBuilder {
    ranges: Vec<(u64, u64, Frontier)>,
}

impl ProofBuilder {
    /// The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1); `None` if
    /// there is no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Option<Self> {
        inclusion_ranges(index, size).map(Self::of)
    }

    /// The proof that the tree of `old` leaves begins the tree of `new` leaves (RFC 6962 §2.1.2);
    /// `None` unless `1 ≤ old ≤ new`.
    pub fn consistency(old: u64, new: u64) -> Option<Self> {
        consistency_ranges(old, new).map(Self::of)
    }

    fn of(ranges: Vec<(u64, u64)>) -> Self {
        Self { ranges: ranges.into_iter().map(|(a, b)| (a, b, Frontier::new())).collect() }
    }

    /// Takes the hash of the leaf at `index`; leaves come in order.
    pub fn leaf(&mut self, index: u64, hash: Hash) {
        for (low, high, frontier) in &mut self.ranges {
            if (*low..*high).contains(&index) {
                frontier.push(hash);
            }
        }
    }

    /// The proof; `None` if not every leaf it needs was given.
    pub fn finish(self) -> Option<Vec<Hash>> {
        self.ranges
            .into_iter()
            .map(|(low, high, frontier)| (frontier.size() == high - low).then(|| frontier.root()))
            .collect()
    }
}

/// The leaves under each hash of an audit path, in the path's order (RFC 6962 §2.1.1).
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<(u64, u64)>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The leaves under each hash of a consistency proof, in the proof's order (RFC 6962 §2.1.2).
pub(crate) fn consistency_ranges(old: u64, new: u64) -> Option<Vec<(u64, u64)>> {
    if old == 0 || old > new {
        return None;
    }
    let (mut low, mut high) = (0, new);
    let mut ranges = Vec::new();
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    if low != 0 {
        ranges.push((low, high));
    }
    ranges.reverse();
    Some(ranges)
}

/// The largest power of two smaller than `size`, for `size` ≥ 2 (RFC 6962 §2.1).
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Whether `proof` shows the leaf of this hash at `index` in the tree of `size` leaves with `root`
/// (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree (`old`, `old_root`) begins the tree (`new`, `new_root`)
/// (RFC 9162 §2.1.4.2). The empty tree begins every tree.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == keys::sha256(&[]);
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests;
