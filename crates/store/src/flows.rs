//! Authorization requests that wait for a person, each bound to the browser that brought it and
//! consumed once. The request is sealed: it says which app a person is about to allow.

use domain::Timestamp;
use keys::opaque::TokenHash;
use sqlx::any::AnyRow;

use crate::row::Read as _;
use crate::vault::{Place, Vault};
use crate::{Store, StoreFault};

/// A request to be kept.
#[derive(Clone, Debug)]
pub struct NewFlow {
    /// Keyed hash of its name.
    pub hash: TokenHash,
    /// Keyed hash of its browser's secret.
    pub browser: TokenHash,
    /// What the caller wants back; sealed here.
    pub request: Vec<u8>,
    /// When it ends.
    pub expires: Timestamp,
}

impl Store {
    /// Keeps a request.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails or the hash exists.
    pub async fn insert_flow(&self, new: &NewFlow) -> Result<(), StoreFault> {
        let sealed = self.vault.seal(&place(&new.hash.to_string()), &new.request)?;
        let (hash, browser) = (new.hash.0.to_vec(), new.browser.0.to_vec());
        let expires = new.expires;
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO flows (hash, browser, sealed, expires) VALUES ($1, $2, $3, $4)",
                    )
                    .bind(hash)
                    .bind(browser)
                    .bind(sealed)
                    .bind(expires.millis())
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The request of this name, if this browser brought it and it has not ended.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn flow(
        &self,
        hash: &TokenHash,
        browser: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreFault> {
        let row = sqlx::query(
            "SELECT sealed FROM flows WHERE hash = $1 AND browser = $2 AND expires > $3",
        )
        .bind(hash.0.to_vec())
        .bind(browser.0.to_vec())
        .bind(now.millis())
        .fetch_optional(&self.readers)
        .await?;
        request(&self.vault, hash, row.as_ref())
    }

    /// Replaces what is kept, under the same conditions; `false` if they do not hold.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn update_flow(
        &self,
        hash: &TokenHash,
        browser: &TokenHash,
        request: &[u8],
        now: Timestamp,
    ) -> Result<bool, StoreFault> {
        let sealed = self.vault.seal(&place(&hash.to_string()), request)?;
        let (hash, browser) = (hash.0.to_vec(), browser.0.to_vec());
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE flows SET sealed = $4 \
                         WHERE hash = $1 AND browser = $2 AND expires > $3",
                    )
                    .bind(hash)
                    .bind(browser)
                    .bind(now.millis())
                    .bind(sealed)
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Takes the request out, once, under the same conditions.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn consume_flow(
        &self,
        hash: &TokenHash,
        browser: &TokenHash,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, StoreFault> {
        let key = (hash.0.to_vec(), browser.0.to_vec());
        let row = self
            .writer
            .change(move |conn| {
                Box::pin(async move {
                    let row = sqlx::query(
                        "DELETE FROM flows WHERE hash = $1 AND browser = $2 AND expires > $3 \
                         RETURNING sealed",
                    )
                    .bind(key.0)
                    .bind(key.1)
                    .bind(now.millis())
                    .fetch_optional(conn)
                    .await?;
                    Ok(row)
                })
            })
            .await?;
        request(&self.vault, hash, row.as_ref())
    }
}

fn place(hash: &str) -> Place<'_> {
    Place("flows", "sealed", hash)
}

fn request(
    vault: &Vault,
    hash: &TokenHash,
    row: Option<&AnyRow>,
) -> Result<Option<Vec<u8>>, StoreFault> {
    let Some(row) = row else { return Ok(None) };
    vault.open(&place(&hash.to_string()), &row.bytes("sealed")?).map(Some)
}
