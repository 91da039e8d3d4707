//! A part that failed through no fault of the caller's. It says which part, and nothing else leaves.

use keys::KeyFault;
use ledger::LedgerFault;
use store::StoreFault;

/// Storage, cryptography or the ledger failed: refuse, never guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The database did not answer, or not as it must.
    #[error("the database failed")]
    Store,
    /// The cryptographic library failed.
    #[error("cryptography failed")]
    Keys,
    /// The ledger cannot be written.
    #[error("the ledger cannot be written")]
    Ledger,
}

impl From<StoreFault> for Fault {
    fn from(_: StoreFault) -> Self {
        Self::Store
    }
}

impl From<KeyFault> for Fault {
    fn from(_: KeyFault) -> Self {
        Self::Keys
    }
}

impl From<LedgerFault> for Fault {
    fn from(_: LedgerFault) -> Self {
        Self::Ledger
    }
}
