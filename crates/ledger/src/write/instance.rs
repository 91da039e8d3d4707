//! Which opening of a log this is. Each takes a random name, writes it beside the keys and into its
//! first record, and signs nothing any more once the keys turn out to be used by another one: a
//! second writer on a copy of the log cannot stay unnoticed where it shares the keys.

use std::io;
use std::path::{Path, PathBuf};

use keys::Random;

use crate::disk::Disk;
use crate::files;
use crate::note::{Checkpoint, Note, VerifierKey};

/// The file beside the keys.
const FILE: &str = "instance";

/// The present opening.
pub(crate) struct Instance {
    name: String,
    before: Option<String>,
    path: PathBuf,
    checkpoints: [PathBuf; 2],
    /// The checkpoints that are known to be the log's own.
    known: Vec<String>,
}

impl Instance {
    /// A new name, durable beside the keys before anything is written under it.
    pub(crate) fn begin(
        dir: &Path,
        keys_dir: &Path,
        random: &dyn Random,
        disk: &dyn Disk,
    ) -> io::Result<Self> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes).map_err(io::Error::other)?;
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = keys_dir.join(FILE);
        let before = files::read_text(&path)?.map(|text| text.trim_end().to_owned());
        files::replace_on(disk, &path, format!("{name}\n").as_bytes(), 0o644)?;
        let checkpoints = [dir, keys_dir].map(|dir| dir.join(files::CHECKPOINT));
        let mut known = Vec::new();
        for path in &checkpoints {
            known.extend(files::read_text(path)?);
        }
        Ok(Self { name, before, path, checkpoints, known })
    }

    /// The name, and that of the opening before as the keys' directory has it.
    pub(crate) fn names(&self) -> String {
        match &self.before {
            Some(before) if is_name(before) => format!("{} {before}", self.name),
            _ => self.name.clone(),
        }
    }

    /// From now on this is the log's checkpoint, too.
    pub(crate) fn signed(&mut self, note: &str) {
        let keep = self.known.len().saturating_sub(2);
        self.known.drain(..keep);
        self.known.push(note.to_owned());
    }

    /// Why the log must not be signed any further, if there is a reason: another opening has taken
    /// the keys, or they signed for a log that is larger or other than this one.
    pub(crate) fn trespasser(
        &self,
        stable: &VerifierKey,
        signed: u64,
    ) -> io::Result<Option<&'static str>> {
        if files::read_text(&self.path)?.is_none_or(|text| text.trim_end() != self.name) {
            return Ok(Some("another process has opened a copy of this ledger with the same keys"));
        }
        for path in &self.checkpoints {
            let Some(text) = files::read_text(path)? else { continue };
            if self.known.contains(&text) {
                continue;
            }
            let Ok(note) = Note::parse(&text) else { continue };
            let Ok(checkpoint) = Checkpoint::parse(note.text()) else { continue };
            let ours = checkpoint.origin == stable.name() && note.signed_by(stable);
            // A smaller one is an old one put back; it is replaced by the next.
            if ours && checkpoint.size >= signed {
                return Ok(Some("a larger or other history was signed with this ledger's keys"));
            }
        }
        Ok(None)
    }
}

/// Whether a text can be an instance's name.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
