//! Registered clients.

use domain::{Basis, Client, ClientId, Timestamp};
use sqlx::any::AnyRow;

use crate::fault::damaged;
use crate::row::Read as _;
use crate::{Store, StoreFault};

impl Store {
    /// Registers a client; `false` if the name is taken.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn insert_client(
        &self,
        draft: &domain::ClientDraft,
        now: Timestamp,
    ) -> Result<bool, StoreFault> {
        let id = draft.id.to_string();
        let (purpose, basis) = (draft.purpose.clone(), draft.basis);
        let receipts = i64::from(draft.receipts);
        let draft = serde_json::to_string(draft).map_err(damaged)?;
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO clients (id, draft, created, purpose, basis, receipts) \
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                    )
                    .bind(id)
                    .bind(draft)
                    .bind(now.millis())
                    .bind(purpose)
                    .bind(basis.map(Basis::as_str))
                    .bind(receipts)
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// The client of this name, disabled or not.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreFault> {
        sqlx::query("SELECT draft, created, disabled FROM clients WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// Every client, by name.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreFault> {
        sqlx::query("SELECT draft, created, disabled FROM clients ORDER BY id")
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Disables a client, or enables it again with `None`; `false` if there is none of this name.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn set_client_disabled(
        &self,
        id: &ClientId,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreFault> {
        let id = id.to_string();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query("UPDATE clients SET disabled = $2 WHERE id = $1")
                        .bind(id)
                        .bind(since.map(Timestamp::millis))
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }
}

fn read(row: &AnyRow) -> Result<Client, StoreFault> {
    Ok(Client {
        draft: serde_json::from_str(&row.text("draft")?).map_err(damaged)?,
        created: row.time("created")?,
        disabled: row.opt_time("disabled")?,
    })
}
