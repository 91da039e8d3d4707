//! The record: append-only, sealed, and under a Merkle tree whose head is signed. What was
//! acknowledged is durable; what is durable cannot be changed, cut, reordered or rolled back without
//! [`verify`] or the next start showing it; verifying needs no key to the PHI. Usable without OAuth.

mod check;
#[cfg(feature = "cli")]
pub mod cli;
mod custody;
mod directory;
#[doc(hidden)]
pub mod fuzzing;
mod keep;
mod proofs;
pub mod read;
mod record;
mod trouble;
pub mod witness;
#[cfg(feature = "remote")]
pub mod worm;
mod write;

use check::{chain, follow, gap, pipeline};
use custody::key_store;
use directory::{disk, files, segment, walk};
use proofs::receipt;
use record::{body, calendar, entry, format};
use write::{instance, ledger, options, queue, recover, start, stop, sync, writer};

pub use check::verify;
pub use custody::rewrap;
pub use directory::{headers, stream};
pub use keep::{evidence, hold, retention};
pub use proofs::{note, proof, tile, tree};
pub use read::{census, tags};

pub use body::Body;
pub use disk::{Disk, SystemDisk};
pub use entry::{Entry, Field};
pub use gap::{Gap, GapKind, Place, Weight};
pub use key_store::KeyStoreError;
pub use ledger::{Ledger, LedgerFault, Opened, Position, Recorded};
pub use options::LedgerOptions;
pub use receipt::ReceiptFault;
pub use recover::{OpenError, SetAside};
pub use trouble::Trouble;
