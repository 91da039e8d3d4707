//! Forgetting what is over, in small batches. What a replay must still be recognised by (used
//! codes, spent refresh tokens) goes with its grant, and a grant when it has ended by itself.

use domain::Timestamp;

use crate::{Store, StoreFault};

/// How long attempts are kept: longer than any window that counts them.
const ATTEMPT_SECS: i64 = 86_400;
/// How long an ended grant stays: longer than an access token that it bought may last.
const GRANT_SECS: i64 = 86_400;

/// Per table: `$1` now, `$2` the most rows; and how much later than its end a row goes, in seconds.
const STATEMENTS: [(&str, i64); 7] = [
    (
        "DELETE FROM sessions WHERE hash IN \
         (SELECT hash FROM sessions WHERE expires <= $1 LIMIT $2)",
        0,
    ),
    ("DELETE FROM flows WHERE hash IN (SELECT hash FROM flows WHERE expires <= $1 LIMIT $2)", 0),
    (
        "DELETE FROM codes WHERE hash IN \
         (SELECT hash FROM codes WHERE used IS NULL AND expires <= $1 LIMIT $2)",
        3_600,
    ),
    (
        "DELETE FROM assertions WHERE (client, jti_hash) IN \
         (SELECT client, jti_hash FROM assertions WHERE expires <= $1 LIMIT $2)",
        0,
    ),
    (
        "DELETE FROM revoked_tokens WHERE jti IN \
         (SELECT jti FROM revoked_tokens WHERE expires <= $1 LIMIT $2)",
        60,
    ),
    (
        "DELETE FROM attempts WHERE (hash, at) IN \
         (SELECT hash, at FROM attempts WHERE at <= $1 LIMIT $2)",
        ATTEMPT_SECS,
    ),
    (
        "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires <= $1 LIMIT $2)",
        GRANT_SECS,
    ),
];

impl Store {
    /// Deletes at most `limit` rows of each table that are over; how many went. Zero: all is done.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails; what went before stays gone.
    pub async fn expire_batch(&self, now: Timestamp, limit: u32) -> Result<u64, StoreFault> {
        let mut total = 0;
        for (statement, later) in STATEMENTS {
            let before = now.plus_secs(-later).millis();
            total += self
                .writer
                .change(move |conn| {
                    Box::pin(async move {
                        let done = sqlx::query(statement)
                            .bind(before)
                            .bind(i64::from(limit))
                            .execute(conn)
                            .await?;
                        Ok(done.rows_affected())
                    })
                })
                .await?;
        }
        Ok(total)
    }
}
