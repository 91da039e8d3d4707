//! Refresh tokens, a line for each grant. A rotation spends the old token and makes its successor in
//! one transaction, under the grant's lock and while the grant is live: a line never forks and never
//! outlives its grant. Spent generations stay known as long as the grant, so that reuse shows.

use domain::{ClientId, GrantId, Timestamp};
use keys::opaque::TokenHash;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::row::Read as _;
use crate::{Store, StoreFault};

/// A refresh token to be kept.
#[derive(Clone, Debug)]
pub struct NewRefresh {
    /// Keyed hash of the token.
    pub hash: TokenHash,
    /// The grant whose line it continues.
    pub grant: GrantId,
    /// Who may use it.
    pub client: ClientId,
    /// Its place in the line, from 0.
    pub generation: i64,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends unless it is used before.
    pub idle_expires: Timestamp,
    /// When the line ends.
    pub expires: Timestamp,
}

/// A refresh token as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// The grant whose line it continues.
    pub grant: GrantId,
    /// Who may use it.
    pub client: ClientId,
    /// Its place in the line, from 0.
    pub generation: i64,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends unless it is used before.
    pub idle_expires: Timestamp,
    /// When the line ends.
    pub expires: Timestamp,
    /// Whether a successor took its place.
    pub spent: bool,
}

/// How a use of a refresh token ended. Only `Used` changed anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefreshUse {
    /// It was good; here is the token as it was presented.
    Used(Refresh),
    /// There is none, or no longer.
    Unknown,
    /// It belongs to another client.
    OtherClient,
    /// It is too old, or its grant is.
    Expired,
    /// Its grant was withdrawn.
    Withdrawn,
    /// It was spent before: the line must end.
    Reused(GrantId),
}

const COLUMNS: &str = "grant_id, client, generation, issued, idle_expires, expires, spent";

/// `$1` hash, `$2` client, `$3` now: live, of this client, of a live grant.
const USABLE: &str = "hash = $1 AND client = $2 AND spent IS NULL AND idle_expires > $3 \
    AND expires > $3 AND EXISTS (SELECT 1 FROM grants WHERE grants.id = refresh_tokens.grant_id \
    AND grants.withdrawn IS NULL AND grants.expires > $3)";

impl Store {
    /// Keeps a grant's first refresh token; `false`, and nothing is kept, if the grant is over or
    /// has a live one already.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails or the hash exists.
    pub async fn insert_refresh(&self, new: &NewRefresh) -> Result<bool, StoreFault> {
        let new = new.clone();
        let lock = self.writer.locks().map(|locks| locks.grant);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    if let Some(lock) = lock {
                        sqlx::query(lock)
                            .bind(new.grant.to_string())
                            .fetch_optional(&mut *conn)
                            .await?;
                    }
                    insert(conn, &new, new.expires).await
                })
            })
            .await
    }

    /// The refresh token of this hash, live or not.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn refresh(&self, hash: &TokenHash) -> Result<Option<Refresh>, StoreFault> {
        let sql = format!("SELECT {COLUMNS} FROM refresh_tokens WHERE hash = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(hash.0.to_vec())
            .fetch_optional(&self.readers)
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// Spends a token and keeps its successor. The successor stands one place further in the same
    /// line and ends no later than it, whatever `successor` says.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails, or the successor is of another grant or client.
    pub async fn rotate_refresh(
        &self,
        hash: &TokenHash,
        client: &ClientId,
        now: Timestamp,
        successor: &NewRefresh,
    ) -> Result<RefreshUse, StoreFault> {
        let hash = hash.0.to_vec();
        let client = client.clone();
        let mut successor = successor.clone();
        let lock = self.writer.locks().map(|locks| locks.grant_of_refresh);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    lock_grant(conn, lock, &hash, &client).await?;
                    let sql = format!(
                        "UPDATE refresh_tokens SET spent = $3 WHERE {USABLE} RETURNING {COLUMNS}"
                    );
                    let spent = sqlx::query(sqlx::AssertSqlSafe(sql))
                        .bind(hash.clone())
                        .bind(client.to_string())
                        .bind(now.millis())
                        .fetch_optional(&mut *conn)
                        .await?;
                    let Some(row) = spent else { return why_not(conn, hash, &client).await };
                    let old = read(&row)?;
                    if successor.grant != old.grant || successor.client != old.client {
                        return Err(StoreFault);
                    }
                    successor.generation = old.generation.saturating_add(1);
                    if !insert(conn, &successor, old.expires).await? {
                        return Err(StoreFault);
                    }
                    Ok(RefreshUse::Used(old))
                })
            })
            .await
    }

    /// Uses a token that stays: checks it and moves its idle end, never beyond its line's.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn touch_refresh(
        &self,
        hash: &TokenHash,
        client: &ClientId,
        now: Timestamp,
        idle_expires: Timestamp,
    ) -> Result<RefreshUse, StoreFault> {
        let hash = hash.0.to_vec();
        let client = client.clone();
        let lock = self.writer.locks().map(|locks| locks.grant_of_refresh);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    lock_grant(conn, lock, &hash, &client).await?;
                    let sql = format!(
                        "UPDATE refresh_tokens SET idle_expires = \
                         CASE WHEN $4 < expires THEN $4 ELSE expires END \
                         WHERE {USABLE} RETURNING {COLUMNS}"
                    );
                    let used = sqlx::query(sqlx::AssertSqlSafe(sql))
                        .bind(hash.clone())
                        .bind(client.to_string())
                        .bind(now.millis())
                        .bind(idle_expires.millis())
                        .fetch_optional(&mut *conn)
                        .await?;
                    match used {
                        Some(row) => Ok(RefreshUse::Used(read(&row)?)),
                        None => why_not(conn, hash, &client).await,
                    }
                })
            })
            .await
    }
}

async fn lock_grant(
    conn: &mut AnyConnection,
    lock: Option<&'static str>,
    hash: &[u8],
    client: &ClientId,
) -> Result<(), StoreFault> {
    if let Some(lock) = lock {
        sqlx::query(lock).bind(hash.to_vec()).bind(client.to_string()).fetch_optional(conn).await?;
    }
    Ok(())
}

/// Inserts if the grant is live at the time of issue and its line has no live token.
async fn insert(
    conn: &mut AnyConnection,
    new: &NewRefresh,
    line_ends: Timestamp,
) -> Result<bool, StoreFault> {
    let expires = new.expires.min(line_ends);
    let done = sqlx::query(
        "INSERT INTO refresh_tokens (hash, grant_id, client, generation, issued, idle_expires, \
         expires) SELECT $1, grants.id, grants.client, $4, $5, $6, $7 FROM grants \
         WHERE grants.id = $2 AND grants.client = $3 AND grants.withdrawn IS NULL \
         AND grants.expires > $5 AND NOT EXISTS (SELECT 1 FROM refresh_tokens live \
         WHERE live.grant_id = grants.id AND live.spent IS NULL)",
    )
    .bind(new.hash.0.to_vec())
    .bind(new.grant.to_string())
    .bind(new.client.to_string())
    .bind(new.generation)
    .bind(new.issued.millis())
    .bind(new.idle_expires.min(expires).millis())
    .bind(expires.millis())
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Result<Refresh, StoreFault> {
    Ok(Refresh {
        grant: row.parsed("grant_id")?,
        client: row.parsed("client")?,
        generation: row.int("generation")?,
        issued: row.time("issued")?,
        idle_expires: row.time("idle_expires")?,
        expires: row.time("expires")?,
        spent: row.opt_time("spent")?.is_some(),
    })
}

async fn why_not(
    conn: &mut AnyConnection,
    hash: Vec<u8>,
    client: &ClientId,
) -> Result<RefreshUse, StoreFault> {
    let row = sqlx::query(
        "SELECT r.grant_id, r.client, r.spent, g.withdrawn FROM refresh_tokens r \
         JOIN grants g ON g.id = r.grant_id WHERE r.hash = $1",
    )
    .bind(hash)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(RefreshUse::Unknown) };
    if row.text("client")? != client.as_str() {
        return Ok(RefreshUse::OtherClient);
    }
    if row.opt_time("spent")?.is_some() {
        return Ok(RefreshUse::Reused(row.parsed("grant_id")?));
    }
    Ok(match row.opt_time("withdrawn")? {
        Some(_) => RefreshUse::Withdrawn,
        None => RefreshUse::Expired,
    })
}
