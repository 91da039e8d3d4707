//! Authorization codes. One statement consumes a code: for its own client, unused, in time, while
//! its grant is live. A code that was used stays known as long as its grant, so that a late replay
//! still ends what it bought (RFC 6749 §4.1.2).

use domain::{ClientId, GrantId, Timestamp};
use keys::opaque::TokenHash;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::row::Read as _;
use crate::{Store, StoreFault};

/// A code to be kept.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Keyed hash of the code.
    pub hash: TokenHash,
    /// What it redeems.
    pub grant: GrantId,
    /// Who may redeem it.
    pub client: ClientId,
    /// The redirect URI as it arrived.
    pub redirect_uri: String,
    /// The `S256` challenge (RFC 7636 §4.2).
    pub code_challenge: String,
    /// The OpenID Connect nonce.
    pub nonce: Option<String>,
    /// When it ends.
    pub expires: Timestamp,
}

/// A code that was just consumed, with what its redeemer must still prove.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    /// What it redeems.
    pub grant: GrantId,
    /// The redirect URI as it arrived.
    pub redirect_uri: String,
    /// The `S256` challenge (RFC 7636 §4.2).
    pub code_challenge: String,
    /// The OpenID Connect nonce.
    pub nonce: Option<String>,
}

/// How an attempt to consume a code ended. Only `Consumed` changed anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeUse {
    /// It was good and is now used.
    Consumed(Code),
    /// There is none, or no longer.
    Unknown,
    /// It belongs to another client.
    OtherClient,
    /// It, or its grant, is over.
    Expired,
    /// It was used before: what it bought must end.
    AlreadyUsed(GrantId),
}

impl Store {
    /// Keeps a code.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails, the hash exists or the grant does not.
    pub async fn insert_code(&self, new: &NewCode) -> Result<(), StoreFault> {
        let new = new.clone();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO codes (hash, grant_id, client, redirect_uri, code_challenge, \
                         nonce, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                    )
                    .bind(new.hash.0.to_vec())
                    .bind(new.grant.to_string())
                    .bind(new.client.to_string())
                    .bind(new.redirect_uri)
                    .bind(new.code_challenge)
                    .bind(new.nonce)
                    .bind(new.expires.millis())
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Consumes a code, once, for its client.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn consume_code(
        &self,
        hash: &TokenHash,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<CodeUse, StoreFault> {
        let hash = hash.0.to_vec();
        let client = client.clone();
        let lock = self.writer.locks().map(|locks| locks.grant_of_code);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    if let Some(lock) = lock {
                        sqlx::query(lock)
                            .bind(hash.clone())
                            .bind(client.to_string())
                            .fetch_optional(&mut *conn)
                            .await?;
                    }
                    let consumed = sqlx::query(
                        "UPDATE codes SET used = $3 \
                         WHERE hash = $1 AND client = $2 AND used IS NULL AND expires > $3 \
                         AND EXISTS (SELECT 1 FROM grants WHERE grants.id = codes.grant_id \
                         AND grants.withdrawn IS NULL AND grants.expires > $3) \
                         RETURNING grant_id, redirect_uri, code_challenge, nonce",
                    )
                    .bind(hash.clone())
                    .bind(client.to_string())
                    .bind(now.millis())
                    .fetch_optional(&mut *conn)
                    .await?;
                    match consumed {
                        Some(row) => Ok(CodeUse::Consumed(read(&row)?)),
                        None => why_not(conn, hash, &client).await,
                    }
                })
            })
            .await
    }
}

fn read(row: &AnyRow) -> Result<Code, StoreFault> {
    Ok(Code {
        grant: row.parsed("grant_id")?,
        redirect_uri: row.text("redirect_uri")?,
        code_challenge: row.text("code_challenge")?,
        nonce: row.opt_text("nonce")?,
    })
}

async fn why_not(
    conn: &mut AnyConnection,
    hash: Vec<u8>,
    client: &ClientId,
) -> Result<CodeUse, StoreFault> {
    let row = sqlx::query("SELECT grant_id, client, used FROM codes WHERE hash = $1")
        .bind(hash)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(CodeUse::Unknown) };
    if row.text("client")? != client.as_str() {
        return Ok(CodeUse::OtherClient);
    }
    Ok(match row.opt_time("used")? {
        Some(_) => CodeUse::AlreadyUsed(row.parsed("grant_id")?),
        None => CodeUse::Expired,
    })
}
