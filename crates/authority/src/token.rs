//! The token endpoint (RFC 6749 §3.2): a request is one of four closed shapes or an error.

use domain::scope::{RequestedScopes, ScopeSet};
use domain::{CodeVerifier, FhirId, GrantType, Kind, Reject, Secret};
use identity::{Caller, Refusal};
use keys::opaque::Opaque;
use serde_json::{Map, Value};

use crate::authorization_code::CodeProof;
use crate::{Authority, Parameters, PasswordGrant, PresentedCredentials};

/// A token request.
#[derive(Debug)]
pub enum TokenRequest {
    /// RFC 6749 §4.1.3 with RFC 7636 §4.5.
    AuthorizationCode {
        /// The code as sent.
        code: Secret<String>,
        /// `redirect_uri`, always required here.
        redirect_uri: String,
        /// `code_verifier`.
        verifier: CodeVerifier,
        /// What is asked for here; nothing beyond what the person allowed.
        narrowing: Narrowing,
    },
    /// RFC 6749 §6.
    Refresh {
        /// The refresh token as sent.
        refresh_token: Secret<String>,
        /// What is asked for here; nothing beyond what the person allowed.
        narrowing: Narrowing,
    },
    /// RFC 6749 §4.4.
    ClientCredentials {
        /// The scope as asked.
        scope: RequestedScopes,
        /// `resource` or `audience`, if named.
        resource: Option<String>,
    },
    /// RFC 6749 §4.3.
    Password {
        /// As typed.
        username: String,
        /// As typed.
        password: Secret<String>,
        /// The scope as asked.
        scope: RequestedScopes,
    },
}

impl TokenRequest {
    /// Reads the form.
    ///
    /// # Errors
    /// The [`Reject`] that says what is wrong with it.
    pub fn read(form: &Parameters) -> Result<Self, Reject> {
        let secret = |text: &str| Secret::new(text.to_owned());
        let asked = |form: &Parameters| {
            RequestedScopes::parse(form.required("scope")?).map_err(|_| Reject::ScopeMalformed)
        };
        let grant_type = form.required("grant_type")?;
        match GrantType::parse(grant_type).ok_or(Reject::GrantTypeUnsupported)? {
            GrantType::AuthorizationCode => Ok(Self::AuthorizationCode {
                code: secret(form.required("code")?),
                redirect_uri: form.required("redirect_uri")?.to_owned(),
                // A malformed verifier fails as a wrong one does (RFC 7636 §4.6).
                verifier: CodeVerifier::parse(form.required("code_verifier")?)
                    .map_err(|_| Reject::PkceMismatch)?,
                narrowing: Narrowing::read(form)?,
            }),
            GrantType::RefreshToken => Ok(Self::Refresh {
                refresh_token: secret(form.required("refresh_token")?),
                narrowing: Narrowing::read(form)?,
            }),
            GrantType::ClientCredentials => {
                Ok(Self::ClientCredentials { scope: asked(form)?, resource: resource(form)? })
            }
            GrantType::Password => Ok(Self::Password {
                username: form.required("username")?.to_owned(),
                password: secret(form.required("password")?),
                scope: asked(form)?,
            }),
        }
    }
}

/// What a token request asks of a grant that exists already.
#[derive(Debug, Default)]
pub struct Narrowing {
    /// `scope`, if sent (RFC 6749 §6).
    pub scope: Option<ScopeSet>,
    /// `resource` or `audience`, if sent (RFC 8707 §2.2).
    pub resource: Option<String>,
}

impl Narrowing {
    fn read(form: &Parameters) -> Result<Self, Reject> {
        let scope = form.one("scope")?.map(narrower).transpose()?;
        Ok(Self { scope, resource: resource(form)? })
    }
}

/// The one `resource` or `audience`: one resource server per token (RFC 9700 §2.3).
fn resource(form: &Parameters) -> Result<Option<String>, Reject> {
    let mut named = form.one("audience")?.into_iter().chain(form.all("resource"));
    let resource = named.next().map(str::to_owned);
    if named.next().is_some() { Err(Reject::TargetInvalid) } else { Ok(resource) }
}

/// Less may be asked for; what was never granted, strangers and wildcards included, is an
/// escalation.
fn narrower(text: &str) -> Result<ScopeSet, Reject> {
    let asked = RequestedScopes::parse(text).map_err(|_| Reject::ScopeMalformed)?;
    if asked.has_wildcard() {
        return Err(Reject::ScopeWildcard);
    }
    if asked.unknown() > 0 {
        return Err(Reject::ScopeEscalation);
    }
    Ok(asked.known().clone())
}

/// A token response (RFC 6749 §5.1; SMART App Launch 2.2): `scope` always, context where there is one.
#[derive(Debug)]
pub struct TokenResponse {
    pub(crate) access_token: Secret<String>,
    pub(crate) expires_in: i64,
    pub(crate) scope: ScopeSet,
    pub(crate) id_token: Option<Secret<String>>,
    pub(crate) refresh_token: Option<Opaque>,
    pub(crate) patient: Option<FhirId>,
}

impl TokenResponse {
    /// The JSON body. It holds secrets: to be sent with `no-store`, once.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("access_token", self.access_token.expose().as_str().into());
        put("token_type", "Bearer".into());
        put("expires_in", self.expires_in.into());
        put("scope", self.scope.to_string().into());
        if let Some(id_token) = &self.id_token {
            put("id_token", id_token.expose().as_str().into());
        }
        if let Some(refresh_token) = &self.refresh_token {
            put("refresh_token", refresh_token.expose().into());
        }
        if let Some(patient) = &self.patient {
            put("patient", patient.as_str().into());
        }
        Value::Object(members)
    }
}

impl Authority {
    /// Answers a token request: the client is authenticated, then the grant decides.
    ///
    /// # Errors
    /// [`Refusal`], recorded.
    pub async fn token(
        &self,
        presented: Result<PresentedCredentials, Reject>,
        request: Result<TokenRequest, Reject>,
        caller: &Caller,
    ) -> Result<TokenResponse, Refusal> {
        let kind = Kind::TokenRefused;
        let presented = match presented {
            Ok(presented) => presented,
            Err(reject) => return Err(self.refuse(caller, kind, reject).await),
        };
        let presented = match (presented, &request) {
            (PresentedCredentials::Nothing, Ok(TokenRequest::Refresh { refresh_token, .. })) => {
                self.holder_of(refresh_token).await?
            }
            (presented, _) => presented,
        };
        let client = self.authenticate(presented, kind, caller).await?;
        let request = match request {
            Ok(request) => request,
            Err(reject) => {
                return Err(self.refuse_client(caller, kind, reject, Some(client.id())).await);
            }
        };
        let grant_type = match &request {
            TokenRequest::AuthorizationCode { .. } => GrantType::AuthorizationCode,
            TokenRequest::Refresh { .. } => GrantType::RefreshToken,
            TokenRequest::ClientCredentials { .. } => GrantType::ClientCredentials,
            TokenRequest::Password { .. } => GrantType::Password,
        };
        let off =
            grant_type == GrantType::Password && self.settings.password_grant == PasswordGrant::Off;
        if off || !client.client().may_use(grant_type) {
            let reject =
                if off { Reject::GrantTypeUnsupported } else { Reject::GrantTypeUnauthorized };
            return Err(self.refuse_client(caller, kind, reject, Some(client.id())).await);
        }
        match request {
            TokenRequest::AuthorizationCode { code, redirect_uri, verifier, narrowing } => {
                let proof = CodeProof { redirect_uri, verifier };
                self.authorization_code(&client, &code, &proof, &narrowing, caller).await
            }
            TokenRequest::Refresh { refresh_token, narrowing } => {
                self.refresh(&client, &refresh_token, &narrowing, caller).await
            }
            TokenRequest::ClientCredentials { scope, resource } => {
                self.client_credentials(&client, &scope, resource.as_deref(), caller).await
            }
            TokenRequest::Password { username, password, scope } => {
                self.password(&client, username, password, &scope, caller).await
            }
        }
    }
}
