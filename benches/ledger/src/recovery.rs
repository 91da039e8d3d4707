//! How long a start takes that must walk the whole log: its checkpoints are put back to the first one.
//! A real start walks what came after the last, which is signed every five seconds.

use std::time::Instant;

use crate::Outcome;
use crate::log::{Log, open};

/// Seconds for 100 MB. The log is longer by the records of this start and stop afterwards.
pub(crate) fn measure(log: &Log) -> Outcome<f64> {
    for dir in ["ledger", "keys"] {
        std::fs::write(log.folder.join(dir).join("checkpoint"), &log.first)?;
    }
    let begun = Instant::now();
    let ledger = open(&log.folder)?;
    let took = begun.elapsed().as_secs_f64();
    tokio::runtime::Builder::new_current_thread().build()?.block_on(ledger.close())?;
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    let bytes = log.bytes as f64;
    Ok(took * 100e6 / bytes)
}
