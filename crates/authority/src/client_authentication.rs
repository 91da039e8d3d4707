//! Client authentication (RFC 6749 §2.3, RFC 7523 §3). Each client has exactly one method; another
//! one, however valid, is a downgrade. Whatever fails answers alike and takes alike long.

use domain::{Client, ClientAuthentication, ClientId, Kind, Reject, Secret};
use identity::{Caller, Refusal};
use keys::jwk::JwkSet;
use keys::opaque::{Opaque, OpaqueKind};
use keys::{assertion, constant_time_eq};

use crate::{Authority, Parameters};

/// `client_assertion_type` (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request brought to prove who its client is.
#[derive(Debug)]
pub enum PresentedCredentials {
    /// Nothing, not even a `client_id`.
    Nothing,
    /// A bare `client_id`: a public client.
    Bare(String),
    /// `client_secret_basic` or `client_secret_post`.
    Secret {
        /// `client_id`.
        id: String,
        /// The secret as sent.
        secret: Secret<String>,
    },
    /// `private_key_jwt`.
    Assertion {
        /// The JWT as sent.
        assertion: Secret<String>,
        /// `client_id`, which may accompany it and must then be the same.
        id: Option<String>,
    },
    /// More than one method at once (attack C2).
    Ambiguous,
}

impl PresentedCredentials {
    /// Gathers the credentials of the `Authorization: Basic` header, already decoded, and the form.
    ///
    /// # Errors
    /// [`Reject::ParameterDuplicate`] if one is repeated in the form, [`Reject::RequestMalformed`] for
    /// an unknown assertion type.
    pub fn gather(
        basic: Option<(String, Secret<String>)>,
        form: &Parameters,
    ) -> Result<Self, Reject> {
        let id = form.one("client_id")?.map(str::to_owned);
        let secret = form.one("client_secret")?;
        let assertion = form.one("client_assertion")?;
        let assertion_type = form.one("client_assertion_type")?;
        if assertion_type.is_some_and(|kind| kind != JWT_BEARER)
            || (assertion.is_some() != assertion_type.is_some())
        {
            return Err(Reject::RequestMalformed);
        }
        let methods = [basic.is_some(), secret.is_some(), assertion.is_some()];
        if methods.iter().filter(|used| **used).count() > 1 {
            return Ok(Self::Ambiguous);
        }
        let own = |text: &str| Secret::new(text.to_owned());
        Ok(match (basic, secret, assertion, id) {
            (Some((user, _)), _, _, Some(id)) if user != id => Self::Ambiguous,
            (Some((id, secret)), ..) => Self::Secret { id, secret },
            (None, Some(secret), _, Some(id)) => Self::Secret { id, secret: own(secret) },
            (None, Some(_), _, None) => return Err(Reject::ParameterMissing),
            (None, None, Some(assertion), id) => Self::Assertion { assertion: own(assertion), id },
            (None, None, None, Some(id)) => Self::Bare(id),
            (None, None, None, None) => Self::Nothing,
        })
    }
}

/// Proof: this client proved who it is, by the method it is registered for, and is not disabled.
#[derive(Debug)]
pub struct AuthenticatedClient(Client);

impl AuthenticatedClient {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.0
    }

    /// `client_id`.
    pub const fn id(&self) -> &ClientId {
        self.0.id()
    }
}

impl Authority {
    /// Authenticates the client of a back-channel request.
    ///
    /// # Errors
    /// [`Refusal`], recorded under `kind`; one public answer for every cause (attack C1).
    pub async fn authenticate(
        &self,
        presented: PresentedCredentials,
        kind: Kind,
        caller: &Caller,
    ) -> Result<AuthenticatedClient, Refusal> {
        let claimed = match &presented {
            PresentedCredentials::Bare(id) | PresentedCredentials::Secret { id, .. } => {
                ClientId::parse(id).ok()
            }
            PresentedCredentials::Assertion { assertion, id } => {
                // Unverified, only to find the keys; the assertion itself must then name it.
                let named = assertion::peek_client_id(assertion.expose());
                named.filter(|named| id.as_deref().is_none_or(|id| id == named.as_str()))
            }
            PresentedCredentials::Nothing | PresentedCredentials::Ambiguous => None,
        };
        let client = match &claimed {
            Some(id) => self.parts.store.client(id).await?,
            None => None,
        };
        let verdict = self.judge(client, presented).await?;
        match verdict {
            Ok(client) if client.disabled.is_none() => Ok(AuthenticatedClient(client)),
            Ok(_) => Err(self
                .refuse_client(caller, kind, Reject::ClientDisabled, claimed.as_ref())
                .await),
            Err(reject) => Err(self.refuse_client(caller, kind, reject, claimed.as_ref()).await),
        }
    }

    async fn judge(
        &self,
        client: Option<Client>,
        presented: PresentedCredentials,
    ) -> Result<Result<Client, Reject>, Refusal> {
        let secret_fits = |expected: Option<&str>, presented: &Secret<String>| {
            // The same work for a client that does not exist.
            let presented = Opaque::parse(OpaqueKind::ClientSecret, presented.expose());
            let known = presented.is_some();
            let hash =
                presented.map_or_else(String::new, |p| self.parts.hash_key.hash(&p).to_string());
            constant_time_eq(expected.unwrap_or("-").as_bytes(), hash.as_bytes()) && known
        };
        let verdict = match (client, presented) {
            (_, PresentedCredentials::Ambiguous) => Err(Reject::ClientAuthenticationAmbiguous),
            (_, PresentedCredentials::Nothing) => Err(Reject::ClientAuthenticationMissing),
            (None, PresentedCredentials::Secret { secret, .. }) => {
                let _same_work = secret_fits(None, &secret);
                Err(Reject::ClientAuthenticationFailed)
            }
            (None, _) => Err(Reject::ClientAuthenticationFailed),
            (Some(client), presented) => match (&client.draft.authentication, presented) {
                (ClientAuthentication::None, PresentedCredentials::Bare(_)) => Ok(client),
                (
                    ClientAuthentication::Secret { hash },
                    PresentedCredentials::Secret { secret, .. },
                ) => {
                    if secret_fits(Some(hash), &secret) {
                        Ok(client)
                    } else {
                        Err(Reject::ClientAuthenticationFailed)
                    }
                }
                (
                    ClientAuthentication::PrivateKeyJwt { jwks },
                    PresentedCredentials::Assertion { assertion, .. },
                ) => {
                    let judged = self.judge_assertion(&client, jwks, &assertion).await?;
                    judged.map(|()| client)
                }
                (_, PresentedCredentials::Bare(_)) => Err(Reject::ClientAuthenticationMissing),
                _ => Err(Reject::ClientAuthenticationDowngrade),
            },
        };
        Ok(verdict)
    }

    /// RFC 7523 §3 and `oauth.md` rules 22 and 23; the `jti` is claimed by one statement.
    async fn judge_assertion(
        &self,
        client: &Client,
        jwks: &str,
        assertion: &Secret<String>,
    ) -> Result<Result<(), Reject>, Refusal> {
        let parts = &self.parts;
        let Ok(jwks) = JwkSet::parse(jwks) else { return Ok(Err(Reject::AssertionRejected)) };
        let token_endpoint = self.settings.endpoint("/oauth/token");
        let audiences = [self.settings.issuer.as_str(), token_endpoint.as_str()];
        let now = parts.clock.now();
        let verified =
            match assertion::verify(&jwks, assertion.expose(), client.id(), &audiences, now) {
                Ok(verified) => verified,
                Err(reject) => return Ok(Err(reject)),
            };
        let jti = parts.hash_key.hash_text("assertion jti", &verified.jti);
        let until = verified.remember_until();
        let first = parts.store.claim_assertion(client.id(), &jti, until).await?;
        Ok(if first { Ok(()) } else { Err(Reject::AssertionReplayed) })
    }
}
