//! The ledger's directory: which files there are, how a segment is written and walked, and what can be
//! read of it without any key. Every change to a file goes through [`disk::Disk`].

pub(crate) mod disk;
pub(crate) mod files;
pub mod headers;
pub(crate) mod segment;
pub mod stream;
pub(crate) mod walk;
