//! Counting attempts, for throttling across nodes. A count that follows a record sees it, so of a
//! parallel burst no more than the limit can each see a count within it.

use domain::Timestamp;
use keys::opaque::TokenHash;

use crate::row::Read as _;
use crate::{Store, StoreFault};

impl Store {
    /// Counts one attempt.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn record_attempt(&self, key: &TokenHash, now: Timestamp) -> Result<(), StoreFault> {
        let key = key.0.to_vec();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO attempts (hash, at, tries) VALUES ($1, $2, 1) \
                         ON CONFLICT (hash, at) DO UPDATE SET tries = attempts.tries + 1",
                    )
                    .bind(key)
                    .bind(now.millis())
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// How many attempts were counted at or after this time.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn attempts_since(
        &self,
        key: &TokenHash,
        since: Timestamp,
    ) -> Result<u32, StoreFault> {
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(tries), 0) AS BIGINT) AS total FROM attempts \
             WHERE hash = $1 AND at >= $2",
        )
        .bind(key.0.to_vec())
        .bind(since.millis())
        .fetch_one(&self.readers)
        .await?;
        Ok(u32::try_from(row.int("total")?).unwrap_or(u32::MAX))
    }

    /// Forgets the attempts of this key.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn clear_attempts(&self, key: &TokenHash) -> Result<(), StoreFault> {
        let key = key.0.to_vec();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM attempts WHERE hash = $1")
                        .bind(key)
                        .execute(conn)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}
