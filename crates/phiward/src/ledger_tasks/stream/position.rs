//! How far a target has come, in a small file that a crash leaves old or new, never half. Too old is
//! harmless: records are sent again. It is never ahead of what was sent.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The place of one target.
pub(super) struct Position {
    path: PathBuf,
    kept: Option<u64>,
}

impl Position {
    /// That of this target; another address is another target, and a log that goes on as another stream
    /// counts anew: what it was ahead by would never be sent.
    pub(super) fn of(data: &Path, to: &str, stream: u32) -> Self {
        let named = match stream {
            1 => to.to_owned(),
            _ => format!("{to} {stream}"),
        };
        let name: String = keys::sha256(named.as_bytes())
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self { path: data.join(format!("ledger-stream-{name}")), kept: None }
    }

    /// The number of the next record to send; `None` for a target that is new.
    pub(super) fn read(&mut self) -> Option<u64> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        self.kept = text.trim().parse().ok();
        self.kept
    }

    /// Keeps the number of the next record to send.
    pub(super) fn keep(&mut self, next: u64) -> io::Result<()> {
        if self.kept == Some(next) {
            return Ok(());
        }
        let temporary = self.path.with_extension("tmp");
        let mut options = File::options();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{next}")?;
        file.sync_data()?;
        std::fs::rename(&temporary, &self.path)?;
        self.kept = Some(next);
        Ok(())
    }
}
