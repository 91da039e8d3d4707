//! Hash tiles beside the segments (c2sp.org/tlog-tiles, height 8): proofs in a few small reads, and the
//! log as an ordinary tiled transparency log for anybody's tools. Tiles are a cache that is never
//! trusted: what does not hang under the signed root is made again from the segments, or refused.

mod complete;
mod edges;
mod export;
mod files;
mod keeper;
mod path;
mod segments;
mod signed;

pub use complete::{Completed, complete};
pub use export::{ExportError, Exported, export};
pub(crate) use files::leaf_hashes;
pub(crate) use keeper::{Feed, keep};
pub use path::{TILE_WIDTH, TileKind, TilePath};
pub(crate) use signed::SignedTree;
