//! A file, one record a line: appended and synced, made with mode 0600, opened again when it was renamed
//! or removed, as log rotation does. A line is whole or absent.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::Line;

pub(in super::super) struct FileTarget {
    path: PathBuf,
    file: Option<File>,
}

impl FileTarget {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(super) fn send(&mut self, lines: &[Line]) -> Result<u64, String> {
        self.append(lines).map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<u64> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&line.json);
            text.push('\n');
        }
        let file = self.open()?;
        let before = file.metadata()?.len();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // No half line stays; the lines are written again.
            file.set_len(before)?;
            return Err(error);
        }
        Ok(lines.last().map_or(0, |line| line.seq.saturating_add(1)))
    }

    /// The file of this name, as it is now.
    fn open(&mut self) -> io::Result<&mut File> {
        let named = std::fs::metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()));
        let held = match &self.file {
            Some(file) => file.metadata().ok().map(|meta| (meta.dev(), meta.ino())),
            None => None,
        };
        if held.is_none() || named != held {
            self.file = None;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let mut options = File::options();
                let file = options.append(true).create(true).mode(0o600).open(&self.path)?;
                let found = file.metadata()?;
                // Whoever made it, a log rotation for one: records are PHI.
                if found.is_file() && found.mode() & 0o007 != 0 {
                    let what = "everybody may open it; records are PHI: chmod o= FILE";
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
                }
                Ok(none.insert(file))
            }
        }
    }
}
