//! The password grant (RFC 6749 §4.3), which RFC 9700 §2.4 forbids: off, unless the server allows
//! exceptions and the client carries one that has not ended. Confidential clients, reading scopes,
//! one short token; throttled as the sign-in page is.

use domain::scope::{Context, Permissions, RequestedScopes, Scope, ScopeSet};
use domain::{Grant, GrantId, GrantType, Kind, LaunchContext, Person, Reject, Secret};
use identity::{Attempt, Caller, Checked, Fault, Refusal};
use ledger::Body;

use crate::Authority;
use crate::client_authentication::AuthenticatedClient;
use crate::mint::{ActivePrincipal, LiveGrant, NarrowedScope, Occasion, SenderBinding};
use crate::token::TokenResponse;

impl Authority {
    pub(crate) async fn password(
        &self,
        client: &AuthenticatedClient,
        username: String,
        password: Secret<String>,
        asked: &RequestedScopes,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let scopes = match self.judge_exception(client, asked) {
            Ok(scopes) => scopes,
            Err(reject) => return Err(self.refused(client, None, reject, caller).await),
        };
        let attempt = Attempt { username, password };
        let person = match self.parts.identity.check(attempt, caller.address).await? {
            Checked::Person(person) => person,
            Checked::Wrong(whose) => {
                let body = Body {
                    client: Some(client.id().clone()),
                    subject: whose.map(|person| person.to_string()),
                    authentication: Some("pwd".to_owned()),
                    ..caller.body()
                };
                let reject = Reject::PasswordRefused;
                return Err(self.refuse_with(Kind::TokenRefused, reject, body).await);
            }
            Checked::Throttled | Checked::Saturated => {
                let reject = Reject::PasswordThrottled;
                return Err(self.refused(client, None, reject, caller).await);
            }
        };
        let grant = match self.grant_of_password(client, &person, scopes)? {
            Ok(grant) => grant,
            Err(reject) => return Err(self.refused(client, None, reject, caller).await),
        };
        let proofs = ActivePrincipal::of(&grant, Some(*person)).and_then(|principal| {
            let scope = NarrowedScope::of(&grant.scopes, client.client(), &principal, None)?;
            let live = LiveGrant::consumed(Some(grant.clone()), self.parts.clock.now())?;
            Ok((principal, scope, live))
        });
        let (principal, scope, live) = match proofs {
            Ok(proofs) => proofs,
            Err(reject) => return Err(self.refused(client, None, reject, caller).await),
        };
        self.parts.store.insert_grant(&grant).await?;
        let occasion = Occasion {
            grant_type: GrantType::Password,
            audience: &grant.audience,
            nonce: None,
            refresh_token: None,
        };
        let minted =
            self.mint(client, &live, scope, SenderBinding::Bearer, &principal, occasion)?;
        self.release(minted, caller).await
    }

    /// The exception holds, and nothing but reading is asked for.
    fn judge_exception(
        &self,
        client: &AuthenticatedClient,
        asked: &RequestedScopes,
    ) -> Result<ScopeSet, Reject> {
        let draft = &client.client().draft;
        let now = self.parts.clock.now();
        let exception = draft.password_exception.as_ref();
        if !draft.authentication.is_confidential() || !exception.is_some_and(|e| e.holds_at(now)) {
            return Err(Reject::GrantTypeUnauthorized);
        }
        if asked.has_wildcard() {
            return Err(Reject::ScopeWildcard);
        }
        let reading = Permissions::READ.union(Permissions::SEARCH);
        let scopes = asked.known().narrow(&draft.scopes).retain(|scope| match scope {
            Scope::Resource(r) => r.context != Context::System && reading.contains(r.permissions),
            Scope::Plain(_) => false,
        });
        if scopes.is_empty() { Err(Reject::ScopeEmpty) } else { Ok(scopes) }
    }

    /// A grant that lasts as long as its one token. With nobody to ask, the patient must be beyond
    /// doubt: the person's own record, or the only one.
    fn grant_of_password(
        &self,
        client: &AuthenticatedClient,
        person: &Person,
        scopes: ScopeSet,
    ) -> Result<Result<Grant, Reject>, Fault> {
        let only = || {
            let mut all = person.patients();
            all.next().filter(|_| all.next().is_none())
        };
        let wanted = scopes.has_context(Context::Patient);
        let patient = person.own_record.as_ref().or_else(only).filter(|_| wanted).cloned();
        if wanted && patient.is_none() {
            return Ok(Err(Reject::PasswordRefused));
        }
        let now = self.parts.clock.now();
        let id = keys::random_id("g_", &*self.parts.random)?;
        Ok(Ok(Grant {
            id: GrantId::parse(&id).map_err(|_| Fault::Keys)?,
            client: client.id().clone(),
            person: person.id.clone(),
            session: None,
            scopes,
            audience: self.settings.fhir_base.clone(),
            context: LaunchContext { patient },
            auth_time: now,
            created: now,
            expires: now.plus_secs(self.settings.access_token_secs),
            withdrawn: None,
        }))
    }
}
