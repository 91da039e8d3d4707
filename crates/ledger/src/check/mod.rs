//! Whether the log is what was signed for: one set of rules by which a batch follows from what came
//! before, and everything that can be found wrong, by name.

pub(crate) mod chain;
pub(crate) mod follow;
pub(crate) mod gap;
pub(crate) mod pipeline;
pub mod verify;
