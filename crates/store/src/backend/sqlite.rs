//! SQLite: a file of its owner's only, in WAL mode, every commit on the disk before it is told; one
//! connection writes, several read beside it and can do nothing else.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _};

use super::Opened;
use crate::OpenError;
use crate::fault::kind;
use crate::schema::{self, Words};
use crate::writer::Writer;

/// Connections that read.
const READERS: u32 = 4;

const WORDS: Words = Words {
    bytes: "BLOB",
    int: "INTEGER",
    strict: " STRICT",
    draft_purpose: "json_extract(draft, '$.purpose')",
};

const WRITER_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
    PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 1000";
const READER_SETTINGS: &str =
    "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF";

pub(crate) async fn open(path: &str) -> Result<Opened, OpenError> {
    // A question mark would begin options, of which there are none.
    if path.is_empty() || path == ":memory:" || path.contains('?') {
        return Err(OpenError::Url);
    }
    let path = own_file(Path::new(path))?;
    let path = path.to_str().ok_or(OpenError::Url)?;
    let options: AnyConnectOptions =
        format!("sqlite://{}", escaped(path)).parse().map_err(|_| OpenError::Url)?;
    let options = options.disable_statement_logging();
    let failed = |error: sqlx::Error| OpenError::Unusable(kind(&error));
    let mut writer: AnyConnection = options.connect().await.map_err(failed)?;
    writer.execute(WRITER_SETTINGS).await.map_err(failed)?;
    schema::migrate(&mut writer, &WORDS).await?;
    let readers = AnyPoolOptions::new()
        .max_connections(READERS)
        .min_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .acquire_timeout(std::time::Duration::from_secs(5))
        .after_connect(|conn, _| {
            Box::pin(async move { conn.execute(READER_SETTINGS).await.map(|_| ()) })
        })
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(Opened { readers, writer: Writer::queue(writer) })
}

/// Makes the file with mode 0600, or checks that nobody else may read the one that is there.
/// SQLite gives its `-wal` and `-shm` files the same mode. Returns the path without links and dots,
/// which a URL would resolve differently.
pub(crate) fn own_file(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |reason| OpenError::File { path: path.to_owned(), reason };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(OpenError::Exposed { path: path.to_owned() });
    }
    path.canonicalize().map_err(failed)
}

/// The path as it stands in a URL: what could end it early is percent-encoded.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
