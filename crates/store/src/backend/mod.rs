//! Which database, by its URL. What differs between the two is in one small file for each.

mod postgres;
mod sqlite;

pub(crate) use sqlite::own_file;

use sqlx::AnyPool;

use crate::OpenError;
use crate::writer::Writer;

/// An open database with a current schema.
pub(crate) struct Opened {
    pub(crate) readers: AnyPool,
    pub(crate) writer: Writer,
}

/// Opens the database of this URL.
pub(crate) async fn open(url: &str) -> Result<Opened, OpenError> {
    sqlx::any::install_default_drivers();
    match url.split_once(':') {
        Some(("sqlite", path)) => sqlite::open(path.strip_prefix("//").unwrap_or(path)).await,
        Some(("postgres" | "postgresql", _)) => postgres::open(url).await,
        _ => Err(OpenError::Url),
    }
}
