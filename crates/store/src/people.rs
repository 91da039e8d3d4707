//! People. Who they are and whom they act for is sealed; a username is found by its keyed hash.

use domain::{
    FhirId, Person, PersonId, PersonRole, Phi, ResourceType, Secret, Timestamp, Username,
};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::fault::damaged;
use crate::gateway::Reachable;
use crate::row::Read as _;
use crate::vault::{Place, Vault};
use crate::{Store, StoreFault};

/// The sealed part of a person.
#[derive(Serialize, Deserialize)]
struct Profile {
    username: Username,
    display_name: String,
    own_record: Option<FhirId>,
    acts_for: Vec<(FhirId, String)>,
    fhir_user: Option<(String, FhirId)>,
}

const COLUMNS: &str = "id, role, sealed, password, created, disabled, password_set";

impl Store {
    /// Adds a person with the PHC string of their password; `false` if the id or username is taken.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn insert_person(
        &self,
        person: &Person,
        password: Option<&str>,
    ) -> Result<bool, StoreFault> {
        let id = person.id.to_string();
        let username_hash = self.vault.lookup("username", person.username.as_str());
        let sealed = self.vault.seal_json(&place(&id), &profile(person))?;
        let role = person.role.as_str();
        let password = password.map(str::to_owned);
        let times = (person.created, person.disabled, person.password_set);
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "INSERT INTO people (id, username_hash, role, sealed, password, created, \
                         disabled, password_set) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                         ON CONFLICT DO NOTHING",
                    )
                    .bind(id)
                    .bind(username_hash)
                    .bind(role)
                    .bind(sealed)
                    .bind(password)
                    .bind(times.0.millis())
                    .bind(times.1.map(Timestamp::millis))
                    .bind(times.2.map(Timestamp::millis))
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// The person of this id, disabled or not.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn person(&self, id: &PersonId) -> Result<Option<Person>, StoreFault> {
        let sql = format!("SELECT {COLUMNS} FROM people WHERE id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await?
            .map(|row| read(&self.vault, &row))
            .transpose()
    }

    /// The person who signs in by this name, with the PHC string of their password.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn person_by_username(
        &self,
        username: &Username,
    ) -> Result<Option<(Person, Option<Secret<String>>)>, StoreFault> {
        let sql = format!("SELECT {COLUMNS} FROM people WHERE username_hash = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.vault.lookup("username", username.as_str()))
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let person = read(&self.vault, &row)?;
        // The hash column is no proof by itself: what is sealed decides.
        if person.username != *username {
            return Err(damaged(()));
        }
        Ok(Some((person, row.opt_text("password")?.map(Secret::new))))
    }

    /// Every person, by id.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn people(&self) -> Result<Vec<Person>, StoreFault> {
        let sql = format!("SELECT {COLUMNS} FROM people ORDER BY id");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| read(&self.vault, row))
            .collect()
    }

    /// Disables a person, or enables them again with `None`; `false` if there is none.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn set_person_disabled(
        &self,
        id: &PersonId,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreFault> {
        let id = id.to_string();
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query("UPDATE people SET disabled = $2 WHERE id = $1")
                        .bind(id)
                        .bind(since.map(Timestamp::millis))
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }

    /// Sets a password's PHC string and the time of it; `false` if there is no such person.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails.
    pub async fn set_password(
        &self,
        id: &PersonId,
        phc: &str,
        now: Timestamp,
    ) -> Result<bool, StoreFault> {
        let (id, phc) = (id.to_string(), phc.to_owned());
        self.writer
            .change(move |conn| {
                Box::pin(async move {
                    let done = sqlx::query(
                        "UPDATE people SET password = $2, password_set = $3 WHERE id = $1",
                    )
                    .bind(id)
                    .bind(phc)
                    .bind(now.millis())
                    .execute(conn)
                    .await?;
                    Ok(done.rows_affected() == 1)
                })
            })
            .await
    }
}

/// What a person may reach, for the gateway.
pub(crate) fn reachable(
    vault: &Vault,
    id: &PersonId,
    role: &str,
    sealed: &[u8],
) -> Result<Reachable, StoreFault> {
    let profile: Profile = vault.open_json(&place(id.as_str()), sealed)?;
    let role = PersonRole::parse(role).ok_or(()).map_err(damaged)?;
    let patients = match role {
        PersonRole::Patient | PersonRole::Clinician => profile
            .own_record
            .into_iter()
            .chain(profile.acts_for.into_iter().map(|(patient, _)| patient))
            .collect(),
        PersonRole::PrivacyOfficer | PersonRole::Administrator => Vec::new(),
    };
    let fhir_user = match profile.fhir_user {
        Some((kind, id)) => Some((ResourceType::parse(&kind).map_err(damaged)?, id)),
        None => None,
    };
    Ok(Reachable { role, patients, fhir_user })
}

fn place(id: &str) -> Place<'_> {
    Place("people", "sealed", id)
}

fn profile(person: &Person) -> Profile {
    Profile {
        username: person.username.clone(),
        display_name: person.display_name.expose().clone(),
        own_record: person.own_record.clone(),
        acts_for: person
            .acts_for
            .iter()
            .map(|(patient, name)| (patient.clone(), name.expose().clone()))
            .collect(),
        fhir_user: person.fhir_user.as_ref().map(|(kind, id)| (kind.name().to_owned(), id.clone())),
    }
}

fn read(vault: &Vault, row: &AnyRow) -> Result<Person, StoreFault> {
    let id: PersonId = row.parsed("id")?;
    let profile: Profile = vault.open_json(&place(id.as_str()), &row.bytes("sealed")?)?;
    let fhir_user = match profile.fhir_user {
        Some((kind, id)) => Some((ResourceType::parse(&kind).map_err(damaged)?, id)),
        None => None,
    };
    Ok(Person {
        id,
        username: profile.username,
        display_name: Phi::new(profile.display_name),
        role: PersonRole::parse(&row.text("role")?).ok_or(()).map_err(damaged)?,
        own_record: profile.own_record,
        acts_for: profile.acts_for.into_iter().map(|(id, name)| (id, Phi::new(name))).collect(),
        fhir_user,
        created: row.time("created")?,
        disabled: row.opt_time("disabled")?,
        password_set: row.opt_time("password_set")?,
    })
}
