//! The schema, version by version, in one text for both databases: `{bytes}`, `{int}` and the others
//! in braces are the backend's words. A version that has been released never changes.

use std::borrow::Cow;

use sqlx::AnyConnection;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::OpenError;
use crate::fault::kind;

/// A backend's words for the column types.
pub(crate) struct Words {
    pub(crate) bytes: &'static str,
    pub(crate) int: &'static str,
    pub(crate) strict: &'static str,
    /// The purpose that a client's draft names.
    pub(crate) draft_purpose: &'static str,
}

/// What each version adds.
const VERSIONS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("schema/1.sql")),
    (2, "purpose and basis of a client", include_str!("schema/2.sql")),
];

/// Brings a database to the newest version.
pub(crate) async fn migrate(conn: &mut AnyConnection, words: &Words) -> Result<(), OpenError> {
    let known = VERSIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default();
    let migrations = VERSIONS.iter().map(|(version, name, text)| {
        let text = text
            .replace("{bytes}", words.bytes)
            .replace("{int}", words.int)
            .replace("{strict}", words.strict)
            .replace("{draft_purpose}", words.draft_purpose);
        let sql = sqlx::AssertSqlSafe(text).into_sql_str();
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run_direct(None, conn, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _)
            if found > known =>
        {
            OpenError::NewerVersion { found, known }
        }
        MigrateError::VersionMissing(version)
        | MigrateError::VersionMismatch(version)
        | MigrateError::Dirty(version) => OpenError::Schema { version },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Unusable(kind(&error))
        }
        _ => OpenError::Unusable("its schema cannot be brought up to date"),
    })
}
