//! Grants: who gave it and about whom is sealed; all of a person's are found by a keyed hash. A
//! withdrawal is final, and the first one counts.

use domain::{ClientId, FhirId, Grant, GrantId, LaunchContext, PersonId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::fault::damaged;
use crate::row::Read as _;
use crate::vault::{Place, Vault};
use crate::{Store, StoreFault};

/// The sealed part of a grant.
#[derive(Serialize, Deserialize)]
struct Parties {
    person: PersonId,
    patient: Option<FhirId>,
}

const COLUMNS: &str =
    "id, client, session, scopes, audience, sealed, auth_time, created, expires, withdrawn";

impl Store {
    /// Keeps a grant.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails or the id exists.
    pub async fn insert_grant(&self, grant: &Grant) -> Result<(), StoreFault> {
        let parties =
            Parties { person: grant.person.clone(), patient: grant.context.patient.clone() };
        let sealed = self.vault.seal_json(&place(grant.id.as_str()), &parties)?;
        let person_hash = self.vault.person(&grant.person);
        let grant = grant.clone();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    sqlx::query(
                        "INSERT INTO grants (id, client, person_hash, session, scopes, audience, \
                         sealed, auth_time, created, expires, withdrawn) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                    )
                    .bind(grant.id.to_string())
                    .bind(grant.client.to_string())
                    .bind(person_hash)
                    .bind(grant.session.map(String::from))
                    .bind(grant.scopes.to_string())
                    .bind(grant.audience)
                    .bind(sealed)
                    .bind(grant.auth_time.millis())
                    .bind(grant.created.millis())
                    .bind(grant.expires.millis())
                    .bind(grant.withdrawn.map(Timestamp::millis))
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The grant of this name, live or not.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreFault> {
        let sql = format!("SELECT {COLUMNS} FROM grants WHERE id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?
            .map(|row| read(&self.vault, &row))
            .transpose()
    }

    /// Every grant that a person gave, newest first.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn grants_of_person(&self, person: &PersonId) -> Result<Vec<Grant>, StoreFault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM grants WHERE person_hash = $1 ORDER BY created DESC, id"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.vault.person(person))
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| read(&self.vault, row))
            .collect()
    }

    /// Withdraws a grant; `true` for the first to do so.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn withdraw_grant(&self, id: &GrantId, now: Timestamp) -> Result<bool, StoreFault> {
        let id = id.to_string();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE grants SET withdrawn = $2 WHERE id = $1 AND withdrawn IS NULL",
                    )
                    .bind(id)
                    .bind(now.millis())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Withdraws all that a person gave; how many there were.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn withdraw_grants_of_person(
        &self,
        person: &PersonId,
        now: Timestamp,
    ) -> Result<u64, StoreFault> {
        let person_hash = self.vault.person(person);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE grants SET withdrawn = $2 \
                         WHERE person_hash = $1 AND withdrawn IS NULL",
                    )
                    .bind(person_hash)
                    .bind(now.millis())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }

    /// Withdraws all that a client received; how many there were.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn withdraw_grants_of_client(
        &self,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<u64, StoreFault> {
        let client = client.to_string();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE grants SET withdrawn = $2 WHERE client = $1 AND withdrawn IS NULL",
                    )
                    .bind(client)
                    .bind(now.millis())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }
}

fn place(id: &str) -> Place<'_> {
    Place("grants", "sealed", id)
}

fn read(vault: &Vault, row: &AnyRow) -> Result<Grant, StoreFault> {
    let id: GrantId = row.parsed("id")?;
    let parties: Parties = vault.open_json(&place(id.as_str()), &row.bytes("sealed")?)?;
    let session = row.opt_text("session")?.map(SessionId::try_from);
    Ok(Grant {
        id,
        client: row.parsed("client")?,
        person: parties.person,
        session: session.transpose().map_err(damaged)?,
        scopes: row.parsed("scopes")?,
        audience: row.text("audience")?,
        context: LaunchContext { patient: parties.patient },
        auth_time: row.time("auth_time")?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        withdrawn: row.opt_time("withdrawn")?,
    })
}
