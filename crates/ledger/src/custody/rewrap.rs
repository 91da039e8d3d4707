//! A change of the key-encryption key, from the ledger's side: every wrapped key of a stream is
//! wrapped anew, file by file. Each file is the old or the new at any moment, a run that was cut
//! short is simply run again, and a key that was erased meanwhile is not brought back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keys::custody::Custody;
use keys::key_file;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::files;
use crate::key_store::{KeyStoreError, purpose_of};

/// Wraps a key file anew, unless it is under the newest key already; whether it was done.
///
/// # Errors
/// [`KeyStoreError::Unwrap`] names a file that opens under none of the custody's keys.
pub fn rewrap_file(
    path: &Path,
    purpose: &str,
    custody: &dyn Custody,
) -> Result<bool, KeyStoreError> {
    let wrapped = key_file::read(path)?;
    if custody.is_newest(purpose, wrapped.expose()) {
        return Ok(false);
    }
    let key = custody.unwrap(purpose, wrapped.expose());
    let key = key.map_err(|_| KeyStoreError::Unwrap(path.to_owned()))?;
    let again = custody.wrap(purpose, key.expose())?;
    // Nothing takes the old one's place that does not give the same key back.
    let back = custody.unwrap(purpose, &again)?;
    if back != key {
        return Err(KeyStoreError::Unwrap(path.to_owned()));
    }
    exchange(path, &again).map_err(|source| KeyStoreError::Io { path: path.to_owned(), source })
}

/// A stream's key files and what each is wrapped for. What is no key of ours is not listed.
///
/// # Errors
/// What the system says.
pub fn wrapped_keys(
    keys_dir: &Path,
    origin: &str,
    stream: u32,
) -> Result<Vec<(PathBuf, String)>, KeyStoreError> {
    let io = |source| KeyStoreError::Io { path: keys_dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(keys_dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if let Some(what) = name.to_str().and_then(purpose_of) {
            found.push((entry.path(), format!("ledger {what} {origin} {stream}")));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Puts new content in a file's place, and wipes the old; false if the file is no longer there.
fn exchange(path: &Path, content: &[u8]) -> io::Result<bool> {
    let temporary = files::temporary(path);
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    // An exchange needs both names: where the key was erased meanwhile, it fails.
    match renameat_with(CWD, path, CWD, &temporary, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(rustix::io::Errno::NOENT) => {
            wipe(&temporary)?;
            return Ok(false);
        }
        // A file system that cannot: the old file goes unwiped, and the window is a moment.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if path.exists() => {
            fs::rename(&temporary, path)?;
            return sync_parent(path).map(|()| true);
        }
        Err(error) => return Err(error.into()),
    }
    sync_parent(path)?;
    wipe(&temporary)?;
    Ok(true)
}

/// Overwrites, then removes; an old snapshot of the disk may still hold it.
pub(crate) fn wipe(path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; len])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    files::sync_dir(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keys::SystemRandom;
    use keys::custody::{Chain, FileKek};

    use super::*;

    #[test]
    fn a_file_gets_the_new_content_and_an_erased_one_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("day-2026-11-27.key");
        fs::write(&path, b"old").unwrap();
        assert!(exchange(&path, b"new").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::remove_file(&path).unwrap();
        assert!(!exchange(&path, b"newer").unwrap());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "neither under its name nor beside"
        );
    }

    #[test]
    fn a_key_is_wrapped_anew_once_and_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let kek = |name: &str| -> Arc<dyn Custody> {
            Arc::new(FileKek::create(&dir.path().join(name), Arc::new(SystemRandom)).unwrap())
        };
        let (old, new) = (kek("old"), kek("new"));
        let path = dir.path().join("stable.key");
        key_file::create(&path, &old.wrap("p", b"secret").unwrap()).unwrap();
        let chain = Chain(vec![Arc::clone(&new), Arc::clone(&old)]);
        assert!(rewrap_file(&path, "p", &chain).unwrap());
        assert!(!rewrap_file(&path, "p", &chain).unwrap());
        let wrapped = fs::read(&path).unwrap();
        assert_eq!(new.unwrap("p", &wrapped).unwrap().expose(), b"secret");
        assert!(old.unwrap("p", &wrapped).is_err());
        assert!(matches!(rewrap_file(&path, "q", &chain), Err(KeyStoreError::Unwrap(_))));
        assert_eq!(fs::read(&path).unwrap(), wrapped);
    }

    #[test]
    fn every_kind_of_key_file_has_its_purpose_and_nothing_else_has() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "stable.key",
            "stable.vkey",
            "day-2026-11-27.key",
            "day-2026-02-30.key",
            "period-202611.key",
            "period-1.key",
            "checkpoint",
            "other.key",
        ] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        let found = wrapped_keys(dir.path(), "o", 2).unwrap();
        let purposes: Vec<&str> = found.iter().map(|(_, purpose)| purpose.as_str()).collect();
        assert_eq!(
            purposes,
            ["ledger day key 20784 o 2", "ledger period key 202611 o 2", "ledger stable key o 2"]
        );
    }
}
