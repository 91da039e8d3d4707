//! The record: append-only, sealed, and under a Merkle tree whose head is signed. What was
//! acknowledged is durable; what is durable cannot be changed, cut, reordered or rolled back without
//! [`verify`] or the next start showing it; verifying needs no key to the PHI. Usable without OAuth.

mod body;
mod calendar;
mod chain;
mod disk;
mod entry;
mod files;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod gap;
mod instance;
mod key_store;
mod ledger;
pub mod note;
pub mod proof;
mod queue;
pub mod read;
mod receipt;
mod recover;
mod segment;
mod stop;
mod sync;
pub mod tile;
pub mod tree;
mod trouble;
pub mod verify;
mod walk;
mod writer;

pub use body::Body;
pub use disk::{Disk, SystemDisk};
pub use entry::{Entry, Field};
pub use gap::{Gap, GapKind, Place, Weight};
pub use key_store::KeyStoreError;
pub use ledger::{Ledger, LedgerFault, LedgerOptions, Opened, Position, Recorded};
pub use receipt::ReceiptFault;
pub use recover::{OpenError, SetAside};
pub use trouble::Trouble;
