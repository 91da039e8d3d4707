//! How the writer stops. On a full disk the ballast is freed, the stop is recorded and signed, and the
//! log stays stopped; and the writer signs nothing once its keys sign for another history.

use std::io;
use std::path::Path;

use domain::Kind;

use crate::body::Body;
use crate::calendar::day_of;
use crate::disk::Disk;
use crate::segment::LiveSegment;
use crate::writer::{Failure, STEP_MS, Writer, millis};

const BALLAST: &str = "ballast";
/// What the last record on a full disk says; there is no room to say why nothing was heard before it.
pub(crate) const FULL: &str = "the disk is full";
/// What a segment made for the last record alone takes.
const LAST_ROOM: u64 = 64 << 10;

/// Takes the ballast's room, durably, so that it is there when nothing else is.
pub(crate) fn take_ballast(disk: &dyn Disk, dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join(BALLAST);
    match std::fs::metadata(&path) {
        Ok(there) if there.len() == bytes => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if bytes == 0 {
        return Ok(());
    }
    let file = disk.create(&path, 0o600)?;
    disk.allocate(&file, bytes)?;
    let mut at = file.metadata()?.len();
    // Where room cannot be taken without writing.
    let zeros = vec![0; 1 << 16];
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(zeros.len());
        disk.write(&file, zeros.get(..len).unwrap_or(&zeros), at)?;
        at += len as u64;
    }
    disk.sync(&file)?;
    disk.sync_dir(dir)
}

impl Writer {
    /// Records the stop on the ballast's room; says for the operator how that went.
    pub(crate) fn stop_full(&mut self, failure: &Failure) -> String {
        let reason = format!("the disk is full: {}", failure.reason);
        match self.last_record_on_ballast() {
            Ok(()) => format!("{reason}; the stop is recorded and signed"),
            Err(second) => format!("{reason}; the stop is not recorded: {}", second.reason),
        }
    }

    fn last_record_on_ballast(&mut self) -> Result<(), Failure> {
        let disk = std::sync::Arc::clone(&self.options.disk);
        let dir = self.options.dir.clone();
        match disk.remove(&dir.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => disk.sync_dir(&dir)?,
        }
        if self.segment.is_closed() {
            self.segment = LiveSegment::create(&dir, &self.state, LAST_ROOM, &disk)?;
        } else {
            // Nothing of the batch that found no room may stand behind the last record.
            self.segment.trim()?;
        }
        let now = millis(self.options.clock.now()).max(self.state.time);
        // A running writer is never silent for longer than its heartbeat: more than that is a stepped
        // clock, and there is no room to record the step.
        let beat = u64::try_from(self.options.heartbeat.as_millis()).unwrap_or(u64::MAX);
        let stepped = now - self.state.time > beat.saturating_add(STEP_MS);
        let time = if stepped || day_of(now) != self.state.day { self.state.time } else { now };
        let detail = Some(FULL.to_owned());
        self.own(Kind::Stopped, &Body { detail, ..Body::default() }, time)?;
        self.checkpoint()?;
        Ok(self.segment.trim()?)
    }

    /// That the keys sign for this log only, and that it is what they signed for.
    pub(crate) fn check_keys(&self) -> Result<(), Failure> {
        match self.instance.trespasser(&self.stable.0, self.signed)? {
            None => Ok(()),
            Some(reason) => Err(Failure::new(reason)),
        }
    }
}
