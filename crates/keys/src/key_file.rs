//! Key files: made once with mode 0600, never overwritten, refused when anybody but their owner may
//! read them. The check is made on the open file, so it holds for the bytes that are read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::Secret;
use zeroize::Zeroizing;

/// The most a key file may hold, in bytes.
pub const MAX_LEN: u64 = 16 * 1024;

/// A key file cannot be used. Names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there, or the system refuses.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is one already; it is never overwritten.
    #[error("key file {} exists already and is left alone", .0.display())]
    Exists(PathBuf),
    /// Group or others have access.
    #[error("key file {path} is open to others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, device or pipe.
    #[error("key file {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Its content is not a key of the kind asked for.
    #[error("key file {} does not hold {expected}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The cryptographic library failed while a key was made.
    #[error("key file {}: {source}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: crate::KeyFault,
    },
}

/// Writes a new key file with mode 0600 and makes it durable.
///
/// # Errors
/// [`KeyFileError::Exists`] if there is one; [`KeyFileError::Io`] otherwise.
pub fn create(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => io(source),
    })?;
    if let Err(source) = file.write_all(content).and_then(|()| file.sync_all()) {
        // Half a key would stand in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        return Err(io(source));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(io)
}

/// Reads a key file of at most [`MAX_LEN`] bytes.
///
/// # Errors
/// [`KeyFileError`] if it is missing, open to others, no regular file or too long.
pub fn read(path: &Path) -> Result<Secret<Vec<u8>>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    // Room for all at once: a growing buffer would leave copies behind.
    let room = usize::try_from(metadata.len().min(MAX_LEN)).unwrap_or(0).saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_LEN + 1).read_to_end(&mut content).map_err(io)?;
    if content.len() as u64 > MAX_LEN {
        return Err(KeyFileError::Malformed { path: path.to_owned(), expected: "a key" });
    }
    Ok(Secret::new(std::mem::take(&mut *content)))
}

/// Makes a directory for keys, mode 0700, with its parents; an existing one is left as it is.
///
/// # Errors
/// [`KeyFileError::Io`] if the system refuses.
pub fn create_dir(path: &Path) -> Result<(), KeyFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}
