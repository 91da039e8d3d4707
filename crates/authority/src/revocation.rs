//! Token revocation (RFC 7009). A refresh token takes its whole grant with it, an access token only
//! itself. A token that is unknown, foreign or dead is answered as one that was revoked.

use domain::{GrantId, Kind, Outcome, Reject};
use identity::{Caller, Fault, Refusal};
use keys::access_token::{self, Expected};
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry};

use crate::client_authentication::AuthenticatedClient;
use crate::introspection::about;
use crate::{Authority, Parameters, PresentedCredentials};

impl Authority {
    /// Revokes a token of the caller's own.
    ///
    /// # Errors
    /// [`Refusal`], recorded, if the caller does not authenticate or names no token.
    pub async fn revoke(
        &self,
        presented: Result<PresentedCredentials, Reject>,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let (client, token) = self.token_of(presented, form, caller).await?;
        let known = match Opaque::parse(OpaqueKind::Refresh, token.expose()) {
            Some(refresh) => {
                let grant = self.revoke_refresh(&client, &refresh).await?;
                Body { grant, ..caller.body() }
            }
            None => self.revoke_access(&client, token.expose(), caller).await?,
        };
        let method = client.client().draft.authentication.method();
        let body = Body {
            client: Some(client.id().clone()),
            authentication: Some(method.to_owned()),
            ..known
        };
        let entry = Entry { kind: Kind::TokenRevoked, outcome: Outcome::Success, body };
        self.parts.ledger.append(vec![entry]).await?;
        Ok(())
    }

    async fn revoke_refresh(
        &self,
        client: &AuthenticatedClient,
        token: &Opaque,
    ) -> Result<Option<GrantId>, Fault> {
        let parts = &self.parts;
        let known = parts.store.refresh(&parts.hash_key.hash(token)).await?;
        let Some(known) = known.filter(|known| known.client == *client.id()) else {
            return Ok(None);
        };
        parts.store.withdraw_grant(&known.grant, parts.clock.now()).await?;
        Ok(Some(known.grant))
    }

    /// What is recorded of the token: nothing of one that is not the client's own.
    async fn revoke_access(
        &self,
        client: &AuthenticatedClient,
        token: &str,
        caller: &Caller,
    ) -> Result<Body, Fault> {
        let parts = &self.parts;
        let now = parts.clock.now();
        let issuer = &self.settings.issuer;
        for audience in [&self.settings.fhir_base, issuer] {
            let expected = Expected { issuer, audience };
            if let Ok(claims) = access_token::verify(&parts.key_ring, token, &expected, now)
                && claims.client_id == *client.id()
            {
                parts.store.revoke_token(&claims.jti, claims.exp).await?;
                return Ok(about(&claims, caller.body()));
            }
        }
        Ok(caller.body())
    }
}
