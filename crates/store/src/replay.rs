//! What must not come twice, or not come again: client assertions by `jti` (RFC 7523 §3), and
//! access tokens that were given back before their end (RFC 7009).

use domain::{ClientId, Timestamp, TokenId};
use keys::opaque::TokenHash;

use crate::{Store, StoreFault};

impl Store {
    /// Claims an assertion's `jti` for its client; `true` for the first, until `until`.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn claim_assertion(
        &self,
        client: &ClientId,
        jti: &TokenHash,
        until: Timestamp,
    ) -> Result<bool, StoreFault> {
        let (client, jti) = (client.to_string(), jti.0.to_vec());
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO assertions (client, jti_hash, expires) VALUES ($1, $2, $3) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(client)
                    .bind(jti)
                    .bind(until.millis())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Refuses an access token from now until it would have ended; doing so twice is no error.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn revoke_token(&self, jti: &TokenId, until: Timestamp) -> Result<(), StoreFault> {
        let jti = jti.to_string();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO revoked_tokens (jti, expires) VALUES ($1, $2) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(jti)
                    .bind(until.millis())
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }
}
