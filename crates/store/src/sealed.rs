//! Small secrets at rest by name (signing keys), sealed; and the proof that the key fits.

use domain::Secret;

use crate::row::Read as _;
use crate::vault::Place;
use crate::{OpenError, Store, StoreFault};

/// Sealed when the database is made. No caller's name begins so: names of ours have a space.
const PROOF: &str = "key proof";
const PROOF_TEXT: &[u8] = b"phiward";

impl Store {
    /// Keeps a secret under a name, in place of any before it.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn put_sealed(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let sealed = self.vault.seal(&place(name), bytes)?;
        let name = name.to_owned();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO sealed_values (name, sealed) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
                    )
                    .bind(name)
                    .bind(sealed)
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Keeps a secret unless there is one; returns the one that is kept.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn put_sealed_if_absent(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<Secret<Vec<u8>>, StoreFault> {
        self.insert_sealed(name, bytes).await?;
        self.sealed(name).await?.ok_or(StoreFault)
    }

    /// The secret of this name.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn sealed(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, StoreFault> {
        let Some(sealed) = self.sealed_bytes(name).await? else { return Ok(None) };
        Ok(Some(Secret::new(self.vault.open(&place(name), &sealed)?)))
    }

    /// Proves that the key is the one that the database was made with.
    pub(crate) async fn prove_key(&self) -> Result<(), OpenError> {
        if self.sealed_bytes(PROOF).await?.is_none() {
            self.insert_sealed(PROOF, PROOF_TEXT).await?;
        }
        let sealed = self.sealed_bytes(PROOF).await?.ok_or(StoreFault)?;
        match self.vault.try_open(&place(PROOF), &sealed) {
            Ok(text) if text == PROOF_TEXT => Ok(()),
            _ => Err(OpenError::WrongKey),
        }
    }

    async fn insert_sealed(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        let sealed = self.vault.seal(&place(name), bytes)?;
        let name = name.to_owned();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO sealed_values (name, sealed) VALUES ($1, $2) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(name)
                    .bind(sealed)
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn sealed_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreFault> {
        let row = sqlx::query("SELECT sealed FROM sealed_values WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| row.bytes("sealed")).transpose()
    }
}

fn place(name: &str) -> Place<'_> {
    Place("sealed_values", "sealed", name)
}
