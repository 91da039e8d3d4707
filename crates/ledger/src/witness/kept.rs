//! The cosigned checkpoint beside the ledger (`checkpoint.witnessed`), and whose cosignatures a note
//! really carries. What was kept is never replaced by something smaller.

use std::io;
use std::path::Path;

use crate::files;
use crate::gap::{Gap, GapKind, Place};
use crate::note::{Checkpoint, Note, VerifierKey};
use crate::verify::VerifyOptions;

/// Keeps a note with its cosignatures, durably. Nothing is changed if a larger one is kept already.
///
/// # Errors
/// What the system says.
pub fn keep(dir: &Path, note: &str, lines: &[String]) -> io::Result<()> {
    let size = |text: &str| Some(Checkpoint::parse(Note::parse(text).ok()?.text()).ok()?.size);
    if let Some(old) = kept(dir)?
        && size(&old) > size(note)
    {
        return Ok(());
    }
    let whole = format!("{note}{}", lines.concat());
    files::replace(&dir.join(files::WITNESSED), whole.as_bytes(), 0o644)?;
    files::sync_dir(dir)
}

/// The note that is kept, if there is one.
///
/// # Errors
/// What the system says.
pub fn kept(dir: &Path) -> io::Result<Option<String>> {
    files::read_text(&dir.join(files::WITNESSED))
}

/// The witnesses, of those asked about, who cosigned the note, each with its time in seconds. One key
/// counts once, under however many names.
pub fn cosigners<'a>(note: &Note, witnesses: &'a [VerifierKey]) -> Vec<(&'a VerifierKey, u64)> {
    let mut found: Vec<(&VerifierKey, u64)> = Vec::new();
    for key in witnesses {
        if found.iter().any(|(known, _)| known.key() == key.key()) {
            continue;
        }
        if let Some(time) = note.cosigned_by(key) {
            found.push((key, time));
        }
    }
    found
}

/// What verification finds if a checkpoint does not carry the cosignatures that were asked for.
pub(crate) fn uncosigned(note: &Note, options: &VerifyOptions, name: &str) -> Option<Gap> {
    let count = cosigners(note, &options.witnesses).len();
    let detail = format!("{name}: {count} of {}", options.quorum);
    let gap = Gap { kind: GapKind::CheckpointUncosigned, place: Place::default(), detail };
    (count < options.quorum).then_some(gap)
}
