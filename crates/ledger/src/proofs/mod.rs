//! What proves something to an outsider: the Merkle tree and its tiles, signed notes, proofs, receipts.

pub mod note;
pub mod proof;
pub(crate) mod receipt;
pub mod tile;
pub mod tree;
