//! The record: append-only, sealed, and under a Merkle tree whose head is signed. What was
//! acknowledged is durable; what is durable cannot be changed, cut, reordered or rolled back without
//! [`verify`] or the next start showing it; verifying needs no key to the PHI. Usable without OAuth.

mod body;
mod calendar;
mod chain;
#[cfg(feature = "cli")]
pub mod cli;
mod entry;
pub mod evidence;
mod files;
mod follow;
mod format;
mod gap;
pub mod headers;
pub mod hold;
mod key_store;
mod ledger;
pub mod note;
mod pipeline;
pub mod proof;
pub mod read;
mod receipt;
mod recover;
pub mod retention;
pub mod rewrap;
mod segment;
pub mod stream;
pub mod tags;
pub mod tile;
pub mod tree;
mod trouble;
pub mod verify;
mod walk;
mod writer;

pub use body::Body;
pub use entry::{Entry, Field};
pub use files::{Disk, SystemDisk};
pub use gap::{Gap, GapKind, Place, Weight};
pub use key_store::KeyStoreError;
pub use ledger::{Ledger, LedgerFault, LedgerOptions, Opened, Position, Recorded};
pub use receipt::ReceiptFault;
pub use recover::{OpenError, SetAside};
pub use trouble::Trouble;
