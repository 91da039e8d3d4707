//! What a witness said against this ledger, kept beside it: until it is mended, no start signs anything
//! more. A log whose missing part was put back is heard again; another history is for people to judge.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::request::size;
use crate::files;

const REFUSED: &str = "witness.refused";

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// A witness cosigned this many leaves, and they are not here.
    Ahead(u64),
    /// A witness cosigned another history, of this many leaves.
    Fork(u64),
}

/// The file that says so.
pub(crate) fn refused_path(dir: &Path) -> PathBuf {
    dir.join(REFUSED)
}

/// What a witness said against the log of this directory, for people; `None` if nothing stands there.
/// Whether it still holds is found at the next start.
pub fn refusal(dir: &Path) -> Option<String> {
    match files::read_text(&refused_path(dir)) {
        Ok(text) => text.map(|text| text.lines().nth(1).unwrap_or("without a reason").to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Keeps what was said; `reason` is for people.
pub(super) fn refuse(dir: &Path, what: Refused, reason: &str) -> io::Result<()> {
    let (word, size) = match what {
        Refused::Ahead(size) => ("ahead", size),
        Refused::Fork(size) => ("fork", size),
    };
    files::replace(&refused_path(dir), format!("{word} {size}\n{reason}\n").as_bytes(), 0o644)?;
    files::sync_dir(dir)
}

/// What was said, if the log as it is, of `found` leaves, does not answer it; with the reason. A file
/// that cannot be understood counts as a fork of nothing.
pub(crate) fn refused(dir: &Path, found: u64) -> io::Result<Option<(Refused, String)>> {
    let path = refused_path(dir);
    let Some(text) = files::read_text(&path)? else { return Ok(None) };
    let (first, reason) = text.split_once('\n').unwrap_or((&text, ""));
    let what = match first.split_once(' ').and_then(|(word, of)| Some((word, size(of)?))) {
        Some(("ahead", size)) => Refused::Ahead(size),
        Some((_, size)) => Refused::Fork(size),
        None => Refused::Fork(0),
    };
    if matches!(what, Refused::Ahead(size) if found >= size) {
        fs::remove_file(&path)?;
        files::sync_dir(dir)?;
        return Ok(None);
    }
    Ok(Some((what, reason.trim_end().to_owned())))
}
