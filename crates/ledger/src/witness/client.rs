//! Asking a witness for its cosignature on a signed checkpoint. A cosignature that is handed out was
//! made by the witness's key for exactly this checkpoint; a witness that holds more than there is, or
//! another history, is told apart from one that fails.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::request::{Request, size};
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::proof::{self, ProofError};
use crate::tree::verify_consistency;

/// Status and body of an answer, or why there is none.
pub type Carried = Result<(u16, Vec<u8>), String>;

/// Brings a body to a witness's `add-checkpoint`, and the answer back.
pub trait Carrier: Send + Sync {
    /// One exchange, bounded in size and time.
    fn carry(&self, body: String) -> Pin<Box<dyn Future<Output = Carried> + Send + '_>>;
}

/// What a witness made of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// It cosigned.
    Cosigned {
        /// The signature line.
        line: String,
        /// When, in seconds since the epoch.
        time: u64,
    },
    /// It holds more leaves than the checkpoint has.
    Ahead(u64),
    /// It holds another history of this size.
    Fork(u64),
}

/// A witness did not answer the question.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that says no more than that.
    #[error("the witness refuses with status {0}{hint}", hint = hint(*.0))]
    Refused(u16),
    /// 200, but no cosignature of the witness's key.
    #[error("the answer carries no cosignature of the witness's key")]
    NoCosignature,
    /// It keeps naming another size.
    #[error("the witness names one size and then another")]
    Unsettled,
    /// The proof could not be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The checkpoint is none, or the program was stopped.
    #[error("there is nothing to ask for")]
    Nothing,
}

const fn hint(status: u16) -> &'static str {
    match status {
        403 => ": it has another key for this log",
        404 => ": it does not witness this log, or the URL is wrong",
        500.. => ": see its own log",
        _ => "",
    }
}

/// Asks for a cosignature under `note`. `known` is what the witness is thought to hold; if it holds
/// another size it is asked once more.
///
/// # Errors
/// [`AskError`].
pub async fn ask(
    carrier: &dyn Carrier,
    key: &VerifierKey,
    dir: &Path,
    known: u64,
    note: &str,
) -> Result<Found, AskError> {
    let parsed = Note::parse(note).map_err(|_| AskError::Nothing)?;
    let checkpoint = Checkpoint::parse(parsed.text()).map_err(|_| AskError::Nothing)?;
    let mut old = known.min(checkpoint.size);
    for _ in 0..2 {
        let path = blocking(dir, &checkpoint, move |dir, head| proof::path(dir, old, head)).await?;
        let carried = carrier.carry(Request::body(old, &path, note)).await;
        let (status, body) = carried.map_err(AskError::Unreachable)?;
        match status {
            200 => return cosignature(parsed.text(), key, &body),
            409 => {
                let text = std::str::from_utf8(&body).ok();
                let held = text.and_then(|text| size(text.strip_suffix('\n').unwrap_or(text)));
                match held.ok_or(AskError::Refused(409))? {
                    held if held > checkpoint.size => return Ok(Found::Ahead(held)),
                    // Version 1.0 of the protocol says so where 1.1 says 422.
                    held if held == old => return Ok(Found::Fork(held)),
                    held => {
                        if held < known && known <= checkpoint.size {
                            tracing::warn!(
                                witness = key.name(),
                                held,
                                known,
                                "it forgot what it cosigned"
                            );
                        }
                        old = held;
                    }
                }
            }
            422 if old > 0 => {
                // It is our history against the witness's only if our own proof is good.
                let own = blocking(dir, &checkpoint, move |dir, head| proof::root(dir, old, head))
                    .await?;
                let (old, new) = ((old, &own), (checkpoint.size, &checkpoint.root));
                if !verify_consistency(old, new, &path) {
                    return Err(ProofError::Damaged.into());
                }
                return Ok(Found::Fork(old.0));
            }
            status => return Err(AskError::Refused(status)),
        }
    }
    Err(AskError::Unsettled)
}

/// The first line of the answer that is this key's cosignature of the text; others are ignored.
fn cosignature(text: &str, key: &VerifierKey, body: &[u8]) -> Result<Found, AskError> {
    let body = std::str::from_utf8(body).map_err(|_| AskError::NoCosignature)?;
    let cosigned = |line: &str| {
        let note = Note::parse(&format!("{text}\n{line}")).ok()?;
        Some((line.to_owned(), note.cosigned_by(key)?))
    };
    let found = body.split_inclusive('\n').take(100).find_map(cosigned);
    found.map(|(line, time)| Found::Cosigned { line, time }).ok_or(AskError::NoCosignature)
}

/// Runs what reads the log where it holds nobody up.
async fn blocking<T: Send + 'static>(
    dir: &Path,
    head: &Checkpoint,
    work: impl FnOnce(&Path, &Checkpoint) -> Result<T, ProofError> + Send + 'static,
) -> Result<T, AskError> {
    let (dir, head): (PathBuf, Checkpoint) = (dir.to_owned(), head.clone());
    let done = tokio::task::spawn_blocking(move || work(&dir, &head)).await;
    done.map_err(|_| AskError::Nothing)?.map_err(AskError::from)
}
