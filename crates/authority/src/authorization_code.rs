//! Redeeming a code (RFC 6749 §4.1.3, RFC 7636 §4.6). The code is consumed by one statement that
//! names its client; a second use ends the grant and with it everything the first use bought.

use domain::scope::PlainScope;
use domain::{
    CodeChallenge, CodeVerifier, Grant, GrantId, GrantType, Kind, Outcome, Reject, Secret,
    Timestamp,
};
use identity::{Caller, Fault, Refusal};
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry};
use store::{Code, CodeUse, NewRefresh};

use crate::Authority;
use crate::client_authentication::AuthenticatedClient;
use crate::mint::{ActivePrincipal, LiveGrant, NarrowedScope, Occasion, SenderBinding};
use crate::token::{Narrowing, TokenResponse};

impl Authority {
    pub(crate) async fn authorization_code(
        &self,
        client: &AuthenticatedClient,
        code: &Secret<String>,
        proof: &CodeProof,
        asked: &Narrowing,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let code = match self.consume_code(client, code, caller).await? {
            Ok(code) => code,
            Err(reject) => return Err(self.refused(client, None, reject, caller).await),
        };
        let now = self.parts.clock.now();
        if let Err(reject) = proof.fits(&code) {
            // The code is spent: whoever holds it without the verifier holds nothing.
            return Err(self.refused(client, Some(&code.grant), reject, caller).await);
        }
        let grant = self.parts.store.grant(&code.grant).await?;
        let live = match LiveGrant::consumed(grant, now) {
            Ok(live) => live,
            Err(reject) => {
                return Err(self.refused(client, Some(&code.grant), reject, caller).await);
            }
        };
        let LiveGrant::Consumed(grant) = &live else { return Err(Fault::Store.into()) };
        let person = self.parts.store.person(&grant.person).await?;
        let proofs = ActivePrincipal::of(grant, person).and_then(|principal| {
            self.narrowed(grant, client, &principal, asked).map(|scope| (principal, scope))
        });
        let (principal, scope) = match proofs {
            Ok(proofs) => proofs,
            Err(reject) => {
                return Err(self.refused(client, Some(&code.grant), reject, caller).await);
            }
        };
        let refresh_token = match self.first_refresh(client, grant, now).await? {
            Ok(refresh_token) => refresh_token,
            Err(reject) => {
                return Err(self.refused(client, Some(&code.grant), reject, caller).await);
            }
        };
        let occasion = Occasion {
            grant_type: GrantType::AuthorizationCode,
            audience: &grant.audience,
            nonce: code.nonce.as_deref(),
            refresh_token,
        };
        let minted =
            self.mint(client, &live, scope, SenderBinding::Bearer, &principal, occasion)?;
        self.release(minted, caller).await
    }

    async fn consume_code(
        &self,
        client: &AuthenticatedClient,
        code: &Secret<String>,
        caller: &Caller,
    ) -> Result<Result<Code, Reject>, Refusal> {
        let parts = &self.parts;
        let Some(code) = Opaque::parse(OpaqueKind::Code, code.expose()) else {
            return Ok(Err(Reject::CodeUnknown));
        };
        let hash = parts.hash_key.hash(&code);
        let now = parts.clock.now();
        Ok(match parts.store.consume_code(&hash, client.id(), now).await? {
            CodeUse::Consumed(code) => Ok(code),
            CodeUse::Unknown => Err(Reject::CodeUnknown),
            CodeUse::OtherClient => Err(Reject::GrantClientMismatch),
            CodeUse::Expired => Err(Reject::CodeExpired),
            CodeUse::AlreadyUsed(grant) => {
                self.end_grant(&grant, Reject::CodeReused, caller).await?;
                Err(Reject::CodeReused)
            }
        })
    }

    /// The first refresh token of a grant, if the person allowed access that lasts.
    async fn first_refresh(
        &self,
        client: &AuthenticatedClient,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Result<Option<Opaque>, Reject>, Fault> {
        let lasting = grant.scopes.has(PlainScope::OfflineAccess)
            || grant.scopes.has(PlainScope::OnlineAccess);
        if !lasting || !client.client().may_use(GrantType::RefreshToken) {
            return Ok(Ok(None));
        }
        let token = Opaque::generate(OpaqueKind::Refresh, &*self.parts.random)?;
        let new = self.new_refresh(&token, grant, 0, now);
        // Not kept when the grant ended in the meantime, by a replay of this very code say.
        let kept = self.parts.store.insert_refresh(&new).await?;
        Ok(if kept { Ok(Some(token)) } else { Err(Reject::PrincipalInactive) })
    }

    pub(crate) fn new_refresh(
        &self,
        token: &Opaque,
        grant: &Grant,
        generation: i64,
        now: Timestamp,
    ) -> NewRefresh {
        NewRefresh {
            hash: self.parts.hash_key.hash(token),
            grant: grant.id.clone(),
            client: grant.client.clone(),
            generation,
            issued: now,
            idle_expires: now.plus_secs(self.settings.refresh_idle_secs).min(grant.expires),
            expires: grant.expires,
        }
    }

    /// Withdraws a grant because something of it was replayed; recorded once, by the first to do so.
    pub(crate) async fn end_grant(
        &self,
        grant: &GrantId,
        reason: Reject,
        caller: &Caller,
    ) -> Result<(), Fault> {
        if self.parts.store.withdraw_grant(grant, self.parts.clock.now()).await? {
            let ended = self.parts.store.grant(grant).await?;
            let body = Body {
                client: ended.as_ref().map(|ended| ended.client.clone()),
                subject: ended.as_ref().map(|ended| ended.person.to_string()),
                session: ended.as_ref().and_then(|ended| ended.session.clone()),
                patient: ended.as_ref().and_then(|ended| ended.context.patient.clone()),
                scopes: ended.map(|ended| ended.scopes),
                grant: Some(grant.clone()),
                detail: Some(reason.event().to_owned()),
                ..caller.body()
            };
            let entry = Entry { kind: Kind::ConsentWithdrawn, outcome: Outcome::Success, body };
            self.parts.ledger.append(vec![entry]).await?;
        }
        Ok(())
    }

    /// What a request at the token endpoint may have of a grant: its own resource, and no more scope.
    pub(crate) fn narrowed(
        &self,
        grant: &Grant,
        client: &AuthenticatedClient,
        principal: &ActivePrincipal,
        asked: &Narrowing,
    ) -> Result<NarrowedScope, Reject> {
        let elsewhere = |url: &String| !self.settings.is_audience(url, &grant.audience);
        if asked.resource.as_ref().is_some_and(elsewhere) {
            return Err(Reject::TargetInvalid);
        }
        NarrowedScope::of(&grant.scopes, client.client(), principal, asked.scope.as_ref())
    }

    pub(crate) async fn refused(
        &self,
        client: &AuthenticatedClient,
        grant: Option<&GrantId>,
        reject: Reject,
        caller: &Caller,
    ) -> Refusal {
        let body =
            Body { client: Some(client.id().clone()), grant: grant.cloned(), ..caller.body() };
        self.refuse_with(Kind::TokenRefused, reject, body).await
    }
}

/// What shows that the redeemer of a code is who sent the request.
pub(crate) struct CodeProof {
    pub(crate) redirect_uri: String,
    pub(crate) verifier: CodeVerifier,
}

impl CodeProof {
    /// The same redirect URI, and the verifier of its challenge.
    fn fits(&self, code: &Code) -> Result<(), Reject> {
        if code.redirect_uri != self.redirect_uri {
            return Err(Reject::GrantRedirectMismatch);
        }
        let challenge =
            CodeChallenge::parse(&code.code_challenge).map_err(|_| Reject::PkceMismatch)?;
        let fits = keys::pkce::matches(&challenge, &self.verifier);
        if fits { Ok(()) } else { Err(Reject::PkceMismatch) }
    }
}
