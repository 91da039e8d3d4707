//! Writing: one thread takes all that waits, makes it durable and then answers; a start goes on only
//! from what it can prove to be the end of the log.

pub(crate) mod instance;
pub(crate) mod ledger;
pub(crate) mod options;
pub(crate) mod queue;
pub(crate) mod recover;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod sync;
pub(crate) mod writer;
