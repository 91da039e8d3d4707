//! What the gateway may ask of the store: whether what a token rests on still stands, in one round
//! trip and as of this moment. Whatever is missing does not stand.

use std::sync::Arc;

use domain::{ClientId, FhirId, GrantId, PersonId, ResourceType, Timestamp, TokenId};
use sqlx::AnyPool;

use crate::StoreFault;
use crate::fault::damaged;
use crate::people;
use crate::row::Read as _;
use crate::vault::Vault;

/// The gateway's part of the store.
#[derive(Clone)]
pub struct GatewayStore {
    readers: AnyPool,
    vault: Arc<Vault>,
}

/// What a token rests on.
#[derive(Clone, Copy, Debug)]
pub struct StandingQuery<'a> {
    /// To whom it was issued.
    pub client: &'a ClientId,
    /// For whom, if it is a person's.
    pub person: Option<&'a PersonId>,
    /// Under which grant, if any.
    pub grant: Option<&'a GrantId>,
    /// Its `jti`.
    pub jti: &'a TokenId,
}

/// Whether a token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything it rests on stands.
    Good,
    /// The client is disabled or gone.
    ClientDisabled,
    /// The person is disabled or gone.
    PersonDisabled,
    /// The grant is withdrawn, over, gone or another client's.
    GrantOver,
    /// The token was given back.
    TokenRevoked,
}

/// The answer to a [`StandingQuery`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether the token stands.
    pub verdict: Verdict,
    /// What the person may reach at this moment; `None` where no person was asked about, or there is
    /// no such person.
    pub person: Option<Reachable>,
    /// Whether the client's answers carry receipts.
    pub receipts: bool,
}

/// What is needed of a client's registration.
#[derive(serde::Deserialize)]
struct Registration {
    receipts: bool,
}

/// Whose records a person may reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reachable {
    /// Their own record and those of the patients they act for; none for a role that reads none.
    pub patients: Vec<FhirId>,
    /// Their own FHIR resource.
    pub fhir_user: Option<(ResourceType, FhirId)>,
}

const STANDING: &str = "SELECT CAST(CASE \
    WHEN NOT EXISTS (SELECT 1 FROM clients WHERE id = $1 AND disabled IS NULL) THEN 1 \
    WHEN $2 IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM people WHERE id = $2 AND disabled IS NULL) THEN 2 \
    WHEN $3 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM grants WHERE id = $3 AND client = $1 \
     AND withdrawn IS NULL AND expires > $5) THEN 3 \
    WHEN EXISTS (SELECT 1 FROM revoked_tokens WHERE jti = $4) THEN 4 \
    ELSE 0 END AS BIGINT) AS verdict, \
    (SELECT draft FROM clients WHERE id = $1) AS draft, \
    (SELECT role FROM people WHERE id = $2) AS role, \
    (SELECT sealed FROM people WHERE id = $2) AS sealed";

impl GatewayStore {
    pub(crate) const fn new(readers: AnyPool, vault: Arc<Vault>) -> Self {
        Self { readers, vault }
    }

    /// Whether everything that a token rests on stands at this moment.
    ///
    /// # Errors
    /// [`StoreFault`] if the database fails: refuse.
    pub async fn standing(
        &self,
        query: &StandingQuery<'_>,
        now: Timestamp,
    ) -> Result<Standing, StoreFault> {
        let row = sqlx::query(STANDING)
            .bind(query.client.to_string())
            .bind(query.person.map(ToString::to_string))
            .bind(query.grant.map(ToString::to_string))
            .bind(query.jti.to_string())
            .bind(now.millis())
            .fetch_one(&self.readers)
            .await?;
        let verdict = match row.int("verdict")? {
            0 => Verdict::Good,
            1 => Verdict::ClientDisabled,
            2 => Verdict::PersonDisabled,
            3 => Verdict::GrantOver,
            4 => Verdict::TokenRevoked,
            _ => return Err(damaged(())),
        };
        let person = match (query.person, row.opt_text("role")?) {
            (Some(id), Some(role)) => {
                Some(people::reachable(&self.vault, id, &role, &row.bytes("sealed")?)?)
            }
            _ => None,
        };
        let receipts = match row.opt_text("draft")? {
            Some(draft) => serde_json::from_str::<Registration>(&draft).map_err(damaged)?.receipts,
            None => false,
        };
        Ok(Standing { verdict, person, receipts })
    }
}

impl std::fmt::Debug for GatewayStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayStore")
    }
}
