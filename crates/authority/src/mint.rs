//! The one function that makes tokens. It takes proofs, each of which only its check can make: a new
//! grant type that forgets a check does not compile. What it makes leaves through `release`, which
//! makes the record durable first.

use domain::scope::{PlainScope, ScopeSet};
use domain::{
    Client, FhirId, Grant, GrantType, Kind, Outcome, Person, Reject, Secret, Timestamp, TokenId,
};
use identity::{Caller, Fault, Refusal};
use keys::access_token::{self, AccessTokenClaims, Subject};
use keys::id_token::{self, IdTokenClaims};
use keys::opaque::Opaque;
use ledger::{Body, Entry};

use crate::client_authentication::AuthenticatedClient;
use crate::token::TokenResponse;
use crate::{Authority, Settings, consent};

/// Proof: the principal may act at this moment.
#[derive(Debug)]
pub(crate) enum ActivePrincipal {
    /// A person: not disabled, password not set anew since the grant.
    Person(Box<Person>),
    /// The client on its own behalf.
    Client,
}

impl ActivePrincipal {
    /// The person of a grant, checked again at redemption (`oauth.md`, invariant 3).
    pub(crate) fn of(grant: &Grant, person: Option<Person>) -> Result<Self, Reject> {
        let person = person.ok_or(Reject::PrincipalInactive)?;
        let unchanged = person.password_set.is_none_or(|set| set <= grant.auth_time);
        let reaches =
            grant.context.patient.as_ref().is_none_or(|patient| person.may_reach(patient));
        if person.id == grant.person && person.disabled.is_none() && unchanged && reaches {
            Ok(Self::Person(Box::new(person)))
        } else {
            Err(Reject::PrincipalInactive)
        }
    }
}

/// Proof: something single-use was consumed for it just now, and it is neither withdrawn nor over;
/// or the client acts for itself and there is nothing to consume.
#[derive(Debug)]
pub(crate) enum LiveGrant {
    /// What a person allowed.
    Consumed(Box<Grant>),
    /// Client credentials: the registration is the grant.
    Registration,
}

impl LiveGrant {
    /// The grant behind a consumed code or refresh token.
    pub(crate) fn consumed(grant: Option<Grant>, now: Timestamp) -> Result<Self, Reject> {
        let grant = grant.filter(|grant| grant.withdrawn.is_none());
        let grant = grant.ok_or(Reject::PrincipalInactive)?;
        // A token lives for at least a second; times in it are whole ones.
        if grant.is_live_at(now.plus_secs(1)) {
            Ok(Self::Consumed(Box::new(grant)))
        } else {
            Err(Reject::RefreshExpired)
        }
    }
}

/// Proof: no wider than what was granted, registered, and within the principal's reach.
#[derive(Debug)]
pub(crate) struct NarrowedScope(ScopeSet);

impl NarrowedScope {
    /// Narrows what was granted by everything that may have shrunk since, and by what is asked.
    pub(crate) fn of(
        granted: &ScopeSet,
        client: &Client,
        principal: &ActivePrincipal,
        asked: Option<&ScopeSet>,
    ) -> Result<Self, Reject> {
        let mut scopes = granted.narrow(&client.draft.scopes);
        if let ActivePrincipal::Person(person) = principal {
            scopes = consent::entitled(person, &scopes);
        }
        if let Some(asked) = asked {
            // RFC 6749 §6: the scope must not include any not originally granted.
            if !granted.covers(asked) {
                return Err(Reject::ScopeEscalation);
            }
            scopes = scopes.narrow(asked);
        }
        if scopes.is_empty() { Err(Reject::ScopeEmpty) } else { Ok(Self(scopes)) }
    }

    /// The scopes.
    pub(crate) const fn as_set(&self) -> &ScopeSet {
        &self.0
    }
}

/// What the token is bound to besides its bearer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SenderBinding {
    /// Nothing.
    Bearer,
}

/// How a token came about: for the record and the extra members.
pub(crate) struct Occasion<'a> {
    pub(crate) grant_type: GrantType,
    pub(crate) audience: &'a str,
    pub(crate) nonce: Option<&'a str>,
    /// A refresh token to hand out; its hash is in the store already.
    pub(crate) refresh_token: Option<Opaque>,
}

/// Tokens that have not left yet.
pub(crate) struct Minted {
    response: TokenResponse,
    kind: Kind,
    body: Body,
}

impl Authority {
    /// Makes the tokens.
    #[allow(clippy::too_many_arguments, reason = "each is a proof, and none may be forgotten")]
    pub(crate) fn mint(
        &self,
        client: &AuthenticatedClient,
        grant: &LiveGrant,
        scope: NarrowedScope,
        binding: SenderBinding,
        principal: &ActivePrincipal,
        occasion: Occasion<'_>,
    ) -> Result<Minted, Fault> {
        let SenderBinding::Bearer = binding;
        let NarrowedScope(scope) = scope;
        let parts = &self.parts;
        let now = parts.clock.now();
        let grant = match grant {
            LiveGrant::Consumed(grant) => Some(&**grant),
            LiveGrant::Registration => None,
        };
        let ends = now.plus_secs(self.settings.access_token_secs);
        let exp = grant.map_or(ends, |grant| ends.min(grant.expires));
        let jti = TokenId::parse(&keys::random_id("", &*parts.random)?).map_err(|_| Fault::Keys)?;
        let patient = grant.and_then(|grant| grant.context.patient.clone());
        let claims = AccessTokenClaims {
            iss: self.settings.issuer.clone(),
            sub: match principal {
                ActivePrincipal::Person(person) => Subject::Person(person.id.clone()),
                ActivePrincipal::Client => Subject::Client(client.id().clone()),
            },
            aud: occasion.audience.to_owned(),
            exp,
            iat: now,
            jti: jti.clone(),
            client_id: client.id().clone(),
            scope: scope.clone(),
            grant: grant.map(|grant| grant.id.clone()),
            patient: patient.clone(),
            auth_time: grant.map(|grant| grant.auth_time),
        };
        let access_token = access_token::sign(&parts.key_ring, &claims)?;
        let id_token = match (principal, grant) {
            (ActivePrincipal::Person(person), Some(grant)) if scope.has(PlainScope::OpenId) => {
                Some(self.id_token(client, person, grant, &scope, now, &occasion, &access_token)?)
            }
            _ => None,
        };
        let kind = match occasion.grant_type {
            GrantType::RefreshToken => Kind::TokenRefreshed,
            _ => Kind::TokenIssued,
        };
        let body = Body {
            client: Some(client.id().clone()),
            subject: Some(claims.sub.as_str().to_owned()),
            session: grant.and_then(|grant| grant.session.clone()),
            grant: claims.grant.clone(),
            jti_hash: Some(keys::sha256(jti.as_str().as_bytes())),
            authentication: Some(client.client().draft.authentication.method().to_owned()),
            patient: patient.clone(),
            scopes: Some(scope.clone()),
            purpose: Some(client.client().draft.purpose.clone()),
            detail: Some(occasion.grant_type.as_str().to_owned()),
            ..Body::default()
        };
        let response = TokenResponse {
            access_token,
            expires_in: exp.secs() - now.secs(),
            scope,
            id_token,
            refresh_token: occasion.refresh_token,
            patient,
        };
        Ok(Minted { response, kind, body })
    }

    #[allow(clippy::too_many_arguments, reason = "one call, from `mint`, of what an id_token says")]
    fn id_token(
        &self,
        client: &AuthenticatedClient,
        person: &Person,
        grant: &Grant,
        scope: &ScopeSet,
        now: Timestamp,
        occasion: &Occasion<'_>,
        access_token: &Secret<String>,
    ) -> Result<Secret<String>, Fault> {
        let claims = IdTokenClaims {
            iss: self.settings.issuer.clone(),
            sub: person.id.clone(),
            aud: client.id().clone(),
            exp: now.plus_secs(self.settings.access_token_secs),
            iat: now,
            auth_time: grant.auth_time,
            nonce: occasion.nonce.map(str::to_owned),
            at_hash: Some(id_token::at_hash(access_token.expose())),
            fhir_user: scope.has(PlainScope::FhirUser).then(|| self.fhir_user(person)).flatten(),
        };
        Ok(id_token::sign(&self.parts.key_ring, &claims)?)
    }

    /// The person's own resource as an absolute URL (SMART App Launch 2.2, "fhirUser").
    pub(crate) fn fhir_user(&self, person: &Person) -> Option<String> {
        person.fhir_user.as_ref().map(|(kind, id)| fhir_user_url(&self.settings, kind.name(), id))
    }

    /// Lets tokens leave: first the record is durable.
    pub(crate) async fn release(
        &self,
        minted: Minted,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let Minted { response, kind, body } = minted;
        let Body { address, user_agent, correlation, .. } = caller.body();
        let body = Body { address, user_agent, correlation, ..body };
        let entry = Entry { kind, outcome: Outcome::Success, body };
        self.parts.ledger.append(vec![entry]).await?;
        Ok(response)
    }
}

fn fhir_user_url(settings: &Settings, kind: &str, id: &FhirId) -> String {
    format!("{}/{kind}/{id}", settings.fhir_base)
}
