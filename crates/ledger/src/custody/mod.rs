//! The ledger's own keys: made, wrapped, rewrapped under another key-encryption key, and erased.

pub(crate) mod key_store;
pub mod rewrap;
