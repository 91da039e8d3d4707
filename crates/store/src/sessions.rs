//! Sign-in sessions, found by the keyed hash of their secret; whose they are is sealed.

use domain::{PersonId, SessionId, Timestamp};
use keys::opaque::TokenHash;

use crate::row::Read as _;
use crate::vault::Place;
use crate::{Store, StoreFault};

/// A session to be kept.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Keyed hash of its secret.
    pub hash: TokenHash,
    /// Its public name.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A session that has not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its public name.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl Store {
    /// Keeps a session.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails or the hash or id exists.
    pub async fn insert_session(&self, new: &NewSession) -> Result<(), StoreFault> {
        let new = new.clone();
        let sealed = self.vault.seal(&place(&new.id), new.person.as_str().as_bytes())?;
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO sessions (hash, id, sealed, auth_time, expires) \
                         VALUES ($1, $2, $3, $4, $5)",
                    )
                    .bind(new.hash.0.to_vec())
                    .bind(new.id.to_string())
                    .bind(sealed)
                    .bind(new.auth_time.millis())
                    .bind(new.expires.millis())
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The session of this secret, unless it has ended.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn session(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreFault> {
        let row = sqlx::query(
            "SELECT id, sealed, auth_time, expires FROM sessions WHERE hash = $1 AND expires > $2",
        )
        .bind(hash.0.to_vec())
        .bind(now.millis())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id: SessionId = row.parsed("id")?;
        let person = self.vault.open_text(&place(&id), &row.bytes("sealed")?)?;
        Ok(Some(Session {
            id,
            person,
            auth_time: row.time("auth_time")?,
            expires: row.time("expires")?,
        }))
    }

    /// Ends a session; `false` if there was none.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn end_session(&self, hash: &TokenHash) -> Result<bool, StoreFault> {
        let hash = hash.0.to_vec();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query("DELETE FROM sessions WHERE hash = $1")
                        .bind(hash)
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }
}

fn place(id: &SessionId) -> Place<'_> {
    Place("sessions", "sealed", id.as_str())
}
