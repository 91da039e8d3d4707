//! What can go wrong. A fault says nothing about data: a database's own words may quote a row, so
//! only their kind and code reach the log.

use std::path::PathBuf;

use keys::KeyFault;

/// The database did not answer, or not as it must.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the database failed")]
pub struct StoreFault;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is neither `sqlite:PATH` nor `postgres://…`.
    #[error("the database URL must be sqlite:PATH or postgres://…")]
    Url,
    /// The leg to another machine would be in the clear.
    #[error("a database on another machine needs sslmode=verify-full in its URL")]
    Plaintext,
    /// The SQLite file cannot be made or read.
    #[error("cannot open the database file {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The file may be read by others than its owner.
    #[error("the database file {path} is readable by others; run chmod 600 on it")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// It was made by a newer Phiward.
    #[error("the database has schema version {found}, this program knows up to {known}")]
    NewerVersion {
        /// The version found.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// Its schema is not the one that its version says, or was left half changed.
    #[error("the database schema was changed by something else (version {version})")]
    Schema {
        /// The version concerned.
        version: i64,
    },
    /// The sealing key is not the one that this database was made with.
    #[error("the sealing key does not fit this database")]
    WrongKey,
    /// It cannot be reached, or is no database.
    #[error("the database cannot be used: {0}")]
    Unusable(&'static str),
}

impl From<sqlx::Error> for StoreFault {
    fn from(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
        tracing::error!(kind = kind(&error), code, "database fault");
        Self
    }
}

impl From<KeyFault> for StoreFault {
    fn from(_: KeyFault) -> Self {
        tracing::error!(kind = "sealed value", "database fault");
        Self
    }
}

impl From<StoreFault> for OpenError {
    fn from(_: StoreFault) -> Self {
        Self::Unusable("it failed while being opened")
    }
}

/// Something stored does not read back as what it must be.
pub(crate) fn damaged<E>(_: E) -> StoreFault {
    tracing::error!(kind = "stored value", "database fault");
    StoreFault
}

/// The kind of a database error, in fixed words.
pub(crate) fn kind(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Configuration(_) => "its URL is wrong",
        sqlx::Error::Database(_) => "it refused a statement",
        sqlx::Error::Tls(_) => "its certificate cannot be trusted",
        // A failed handshake arrives as this kind.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            "its certificate cannot be trusted"
        }
        sqlx::Error::Io(_) => "it cannot be reached",
        sqlx::Error::PoolTimedOut => "it is too busy",
        sqlx::Error::PoolClosed => "it is closed",
        _ => "it did not answer as it must",
    }
}
