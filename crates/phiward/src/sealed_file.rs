//! Files that leave the house: a head in the clear that says what it is and whose, and everything else
//! sealed under a key of its own, which the key-encryption key wraps. What is handed out stood in the
//! file unchanged; a file that was cut anywhere does not end well.
//!
//! ```text
//! file = "phiward-backup-1\n" | length u32 | head (JSON) | sealed stream of lines
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use keys::custody::Custody;
use keys::seal::SealKey;
use keys::sealed_stream::{Opener, Sealer, StreamError};
use keys::{Sha256Stream, SystemRandom, random_bytes};
use ledger::Trouble;
use serde::{Deserialize, Serialize};
use store::dump;

use crate::failure::Failure;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Backup,
    Evidence,
}

impl FileKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Evidence => "evidence",
        }
    }

    fn magic(self) -> Vec<u8> {
        format!("phiward-{}-1\n", self.word()).into_bytes()
    }

    /// What the file's key is wrapped for.
    fn purpose(self, name: &str) -> String {
        format!("phiward {} {name}", self.word())
    }
}

const MAX_HEAD: u32 = 16 * 1024;

/// What stands in the clear.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The name of the node's ledger: whose backup it is.
    pub(crate) name: String,
    /// When it was made, in milliseconds.
    pub(crate) created: i64,
    /// The file's own key, wrapped.
    key: String,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: u64,
}

/// A file being written.
pub(crate) struct Writer {
    sealer: Sealer<Hashing>,
}

struct Hashing {
    file: File,
    hash: Sha256Stream,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Begins a file.
    pub(crate) fn new(
        kind: FileKind,
        file: File,
        name: &str,
        created: i64,
        custody: &dyn Custody,
    ) -> Result<Self, StreamError> {
        let key = random_bytes::<32>(&SystemRandom)?;
        let wrapped = hex_text(&custody.wrap(&kind.purpose(name), key.expose())?);
        let head = Head { name: name.to_owned(), created, key: wrapped };
        let head = serde_json::to_vec(&head).map_err(io::Error::from)?;
        let length = u32::try_from(head.len()).map_err(|_| StreamError::Sealing)?;
        let mut out = Hashing { file, hash: Sha256Stream::new(), bytes: 0 };
        out.write_all(&kind.magic())?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&head)?;
        let sealer = Sealer::new(out, SealKey::new(key.expose())?, &head, &SystemRandom)?;
        Ok(Self { sealer })
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let put = self.sealer.write(line).and_then(|()| self.sealer.write(b"\n"));
        put.map_err(io::Error::other)
    }

    /// Ends the file; returns when it is durable.
    pub(crate) fn finish(self) -> Result<Written, StreamError> {
        let out = self.sealer.finish()?;
        out.file.sync_all()?;
        Ok(Written { sha256: out.hash.finish(), bytes: out.bytes })
    }
}

/// A file being read: what stands in the clear, and its lines.
pub(crate) struct Opened {
    pub(crate) head: Head,
    pub(crate) lines: Lines,
    /// The first line.
    pub(crate) manifest: Vec<u8>,
}

impl Opened {
    /// Opens a file of this node's.
    pub(crate) fn open(
        kind: FileKind,
        path: &Path,
        name: &str,
        custody: &dyn Custody,
    ) -> Result<Self, Failure> {
        let failed =
            |what: &dyn std::fmt::Display| Failure::check(format!("{}: {what}", path.display()));
        let no_backup =
            || failed(&format!("is no {} of Phiward's, or its beginning was changed", kind.word()));
        let file = File::open(path).map_err(|error| failed(&error))?;
        let mut file = BufReader::with_capacity(1 << 17, file);
        let mut magic = kind.magic();
        let mut length = [0; 4];
        let begins = file.read_exact(&mut magic).and_then(|()| file.read_exact(&mut length));
        let length = u32::from_be_bytes(length);
        if begins.is_err() || magic != kind.magic() || length > MAX_HEAD {
            return Err(no_backup());
        }
        let mut text = vec![0; usize::try_from(length).map_err(|_| no_backup())?];
        file.read_exact(&mut text).map_err(|_| no_backup())?;
        let head: Head = serde_json::from_slice(&text).map_err(|_| no_backup())?;
        if head.name != name {
            let what = format!("is of {}, this is {name}", head.name);
            return Err(failed(&what));
        }
        let wrapped = hex_bytes(&head.key).ok_or_else(no_backup)?;
        let key = custody.unwrap(&kind.purpose(name), &wrapped).map_err(|_| {
            let what = format!(
                "{}: does not open under this key-encryption key; use the one that was in use when \
                 it was made (--kek FILE)",
                path.display()
            );
            Failure::trouble(Trouble::KeyDoesNotOpen, what)
        })?;
        let key = SealKey::from_slice(key.expose()).map_err(|_| no_backup())?;
        let opener = Opener::new(file, key, &text).map_err(|error| failed(&error))?;
        let mut lines = Lines { opener, buffer: Vec::new(), at: 0, over: false };
        let manifest = lines.next().ok_or_else(no_backup)?.map_err(|error| failed(&error))?;
        Ok(Self { head, lines, manifest })
    }
}

/// The lines of a sealed stream.
pub(crate) struct Lines {
    opener: Opener<BufReader<File>>,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    at: usize,
    over: bool,
}

impl Lines {
    fn read(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.get(..end).unwrap_or_default().to_vec();
                self.at += end + 1;
                return Ok(Some(line));
            }
            if rest.len() > dump::MAX_LINE {
                return Err(StreamError::Damaged);
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            match self.opener.next_chunk()? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(StreamError::Damaged),
            }
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read();
        self.over = !matches!(read, Ok(Some(_)));
        match read {
            Ok(line) => line.map(Ok),
            Err(StreamError::Io(error)) => Some(Err(error)),
            Err(error) => Some(Err(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
    }
}

pub(crate) fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect()
}
