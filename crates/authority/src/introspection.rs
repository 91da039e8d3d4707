//! Token introspection (RFC 7662; SMART App Launch 2.2). A caller sees the tokens issued to itself;
//! everything else, whatever it is, is `{"active":false}` (attack S9).

use domain::scope::PlainScope;
use domain::{Kind, Outcome, Reject, Secret};
use identity::{Caller, Fault, Refusal};
use keys::access_token::{self, AccessTokenClaims};
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry};
use serde_json::{Value, json};
use store::gateway::{StandingQuery, Verdict};

use crate::client_authentication::AuthenticatedClient;
use crate::mint::{ActivePrincipal, LiveGrant, NarrowedScope};
use crate::{Authority, Parameters, PresentedCredentials};

impl Authority {
    /// Answers an introspection request.
    ///
    /// # Errors
    /// [`Refusal`], recorded, if the caller does not authenticate or names no token.
    pub async fn introspect(
        &self,
        presented: Result<PresentedCredentials, Reject>,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<Value, Refusal> {
        let (client, token) = self.token_of(presented, form, caller).await?;
        if !client.client().draft.authentication.is_confidential() {
            // A bare client_id proves nothing, and the answer says something about a person.
            let reject = Reject::ClientAuthenticationMissing;
            return Err(self.refused(&client, None, reject, caller).await);
        }
        let found = match self.introspect_access(&client, &token).await? {
            Some(found) => Some(found),
            None => self.introspect_refresh(&client, &token).await?,
        };
        let active = found.is_some();
        let body = match self.introspected(&client, &token) {
            Some(claims) => about(&claims, caller.body()),
            None => caller.body(),
        };
        let body = Body {
            client: Some(client.id().clone()),
            authentication: Some(client.client().draft.authentication.method().to_owned()),
            detail: Some(if active { "active" } else { "inactive" }.to_owned()),
            ..body
        };
        let entry = Entry { kind: Kind::TokenIntrospected, outcome: Outcome::Success, body };
        self.parts.ledger.append(vec![entry]).await?;
        Ok(found.unwrap_or_else(|| json!({ "active": false })))
    }

    /// The authenticated caller and the `token` it named.
    pub(crate) async fn token_of(
        &self,
        presented: Result<PresentedCredentials, Reject>,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<(AuthenticatedClient, Secret<String>), Refusal> {
        let kind = Kind::TokenRefused;
        let presented = match presented {
            Ok(presented) => presented,
            Err(reject) => return Err(self.refuse(caller, kind, reject).await),
        };
        let client = self.authenticate(presented, kind, caller).await?;
        match form.required("token") {
            Ok(token) => Ok((client, Secret::new(token.to_owned()))),
            Err(reject) => Err(self.refuse_client(caller, kind, reject, Some(client.id())).await),
        }
    }

    /// The claims of an access token of ours, whatever its audience, that is good at this moment.
    pub(crate) async fn live_access_token(
        &self,
        token: &Secret<String>,
    ) -> Result<Result<AccessTokenClaims, Reject>, Fault> {
        let now = self.parts.clock.now();
        let issuer = &self.settings.issuer;
        let read = |audience: &str| {
            let expected = access_token::Expected { issuer, audience };
            access_token::verify(&self.parts.key_ring, token.expose(), &expected, now)
        };
        let at_resource = read(&self.settings.fhir_base);
        let claims = match at_resource.or_else(|reject| match reject {
            Reject::TokenClaims => read(issuer),
            reject => Err(reject),
        }) {
            Ok(claims) => claims,
            Err(reject) => return Ok(Err(reject)),
        };
        let query = StandingQuery {
            client: &claims.client_id,
            person: claims.sub.person(),
            grant: claims.grant.as_ref(),
            jti: &claims.jti,
        };
        let standing = self.parts.store.gateway().standing(&query, now).await?;
        Ok(match standing.verdict {
            Verdict::Good => Ok(claims),
            _ => Err(Reject::TokenRevoked),
        })
    }

    /// The claims of a token of the client's own, alive or not, for the record.
    fn introspected(
        &self,
        client: &AuthenticatedClient,
        token: &Secret<String>,
    ) -> Option<AccessTokenClaims> {
        let issuer = &self.settings.issuer;
        let now = self.parts.clock.now();
        [&self.settings.fhir_base, issuer].into_iter().find_map(|audience| {
            let expected = access_token::Expected { issuer, audience };
            access_token::verify(&self.parts.key_ring, token.expose(), &expected, now)
                .ok()
                .filter(|claims| claims.client_id == *client.id())
        })
    }

    async fn introspect_access(
        &self,
        client: &AuthenticatedClient,
        token: &Secret<String>,
    ) -> Result<Option<Value>, Fault> {
        let Ok(claims) = self.live_access_token(token).await? else { return Ok(None) };
        if claims.client_id != *client.id() {
            return Ok(None);
        }
        let mut answer = json!({
            "active": true,
            "token_type": "Bearer",
            "iss": claims.iss,
            "sub": claims.sub.as_str(),
            "aud": claims.aud,
            "client_id": claims.client_id.as_str(),
            "scope": claims.scope.to_string(),
            "exp": claims.exp.secs(),
            "iat": claims.iat.secs(),
            "jti": claims.jti.as_str(),
        });
        if let Some(members) = answer.as_object_mut() {
            if let Some(patient) = &claims.patient {
                members.insert("patient".into(), patient.as_str().into());
            }
            if let (true, Some(person)) =
                (claims.scope.has(PlainScope::FhirUser), claims.sub.person())
            {
                let person = self.parts.store.person(person).await?;
                if let Some(url) = person.and_then(|person| self.fhir_user(&person)) {
                    members.insert("fhirUser".into(), url.into());
                }
            }
        }
        Ok(Some(answer))
    }

    async fn introspect_refresh(
        &self,
        client: &AuthenticatedClient,
        token: &Secret<String>,
    ) -> Result<Option<Value>, Fault> {
        let Some(token) = Opaque::parse(OpaqueKind::Refresh, token.expose()) else {
            return Ok(None);
        };
        let now = self.parts.clock.now();
        let known = self.parts.store.refresh(&self.parts.hash_key.hash(&token)).await?;
        let own = |known: &store::Refresh| {
            known.client == *client.id()
                && !known.spent
                && now < known.idle_expires.min(known.expires)
        };
        let Some(known) = known.filter(own) else { return Ok(None) };
        let Ok(live) = LiveGrant::consumed(self.parts.store.grant(&known.grant).await?, now) else {
            return Ok(None);
        };
        let LiveGrant::Consumed(grant) = &live else { return Ok(None) };
        let person = self.parts.store.person(&grant.person).await?;
        // As a refresh would judge it at this moment.
        let scope = ActivePrincipal::of(grant, person).and_then(|principal| {
            NarrowedScope::of(&grant.scopes, client.client(), &principal, None)
        });
        Ok(scope.ok().map(|scope| {
            json!({
                "active": true,
                "iss": self.settings.issuer,
                "sub": grant.person.as_str(),
                "client_id": grant.client.as_str(),
                "scope": scope.as_set().to_string(),
                "exp": known.idle_expires.min(known.expires).secs(),
            })
        }))
    }
}

/// What is recorded of an access token: whose, whose for, and which, never the token.
pub(crate) fn about(claims: &AccessTokenClaims, from: Body) -> Body {
    Body {
        client: Some(claims.client_id.clone()),
        subject: Some(claims.sub.as_str().to_owned()),
        grant: claims.grant.clone(),
        jti_hash: Some(keys::sha256(claims.jti.as_str().as_bytes())),
        patient: claims.patient.clone(),
        scopes: Some(claims.scope.clone()),
        ..from
    }
}
