//! Client credentials (RFC 6749 §4.4; SMART Backend Services). `system/` scopes only to a client that
//! proved a key; never a refresh token; nothing beyond the registration, not even in part.

use domain::scope::{Context, RequestedScopes, Scope};
use domain::{ClientAuthentication, GrantType, Reject};
use identity::{Caller, Refusal};

use crate::Authority;
use crate::client_authentication::AuthenticatedClient;
use crate::mint::{ActivePrincipal, LiveGrant, NarrowedScope, Occasion, SenderBinding};
use crate::token::TokenResponse;

impl Authority {
    pub(crate) async fn client_credentials(
        &self,
        client: &AuthenticatedClient,
        asked: &RequestedScopes,
        resource: Option<&str>,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let judged = self.judge_backend(client, asked, resource);
        let scope = match judged {
            Ok(scope) => scope,
            Err(reject) => return Err(self.refused(client, None, reject, caller).await),
        };
        let occasion = Occasion {
            grant_type: GrantType::ClientCredentials,
            audience: &self.settings.fhir_base,
            nonce: None,
            refresh_token: None,
        };
        let (grant, principal) = (LiveGrant::Registration, ActivePrincipal::Client);
        let minted =
            self.mint(client, &grant, scope, SenderBinding::Bearer, &principal, occasion)?;
        self.release(minted, caller).await
    }

    fn judge_backend(
        &self,
        client: &AuthenticatedClient,
        asked: &RequestedScopes,
        resource: Option<&str>,
    ) -> Result<NarrowedScope, Reject> {
        let draft = &client.client().draft;
        if !draft.authentication.is_confidential() {
            return Err(Reject::GrantTypeUnauthorized);
        }
        if resource.is_some_and(|url| !self.settings.is_fhir_base(url)) {
            return Err(Reject::TargetInvalid);
        }
        if asked.has_wildcard() {
            return Err(Reject::ScopeWildcard);
        }
        let scopes = asked.known();
        // A key, not a shared secret, for data about everybody (SMART Backend Services; `oauth.md`).
        let with_key = matches!(draft.authentication, ClientAuthentication::PrivateKeyJwt { .. });
        let of_a_machine = scopes.iter().all(
            |scope| matches!(scope, Scope::Resource(r) if r.context == Context::System && with_key),
        );
        if asked.unknown() > 0 || !of_a_machine || !draft.scopes.covers(scopes) {
            return Err(Reject::ScopeUnregistered);
        }
        NarrowedScope::of(scopes, client.client(), &ActivePrincipal::Client, None)
    }
}
