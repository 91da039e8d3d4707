//! The authorization request (RFC 6749 §4.1.1; RFC 7636; RFC 8707; SMART App Launch 2.2). Until
//! client and redirect URI are known to belong together nothing is ever sent to that URI; after
//! that, errors go there with `state` and `iss` (RFC 9207).

use domain::scope::{Context, PlainScope, RequestedScopes, Scope, ScopeSet};
use domain::{
    Client, ClientId, CodeChallenge, GrantType, Kind, OAuthError, Outcome, Reject, Wildcard,
};
use identity::{Caller, Fault, Refusal};
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry, Recorded};
use store::NewFlow;

use crate::present::Flow;
use crate::{Authority, Parameters, Settings};

/// Longest `state` or `nonce` kept, in bytes.
const MAX_ECHO: usize = 2_048;

/// What the browser holds of a flow: its name in forms, its owner in a cookie.
#[derive(Clone, Copy, Debug)]
pub struct FlowRef<'a> {
    /// The `request` field.
    pub flow: &'a str,
    /// The browser cookie.
    pub browser: &'a str,
}

/// A request was accepted and waits for its person.
#[derive(Debug)]
pub struct Begun {
    /// The `request` field of the pages that follow.
    pub flow: Opaque,
    /// The browser cookie to set, if the browser had none.
    pub browser: Option<Opaque>,
}

/// How an authorization request is refused.
#[derive(Debug)]
pub enum AuthorizeRefusal {
    /// On a page of ours: client or redirect URI is not what it must be.
    Page(Recorded<Reject>),
    /// At the client's registered redirect URI.
    Redirect {
        /// The complete URL.
        location: String,
        /// Why; recorded.
        reject: Recorded<Reject>,
    },
    /// Something of ours failed.
    Fault(Fault),
}

macro_rules! from_faults {
    ($($fault:ty),*) => {$(
        impl From<$fault> for AuthorizeRefusal {
            fn from(fault: $fault) -> Self {
                Self::Fault(fault.into())
            }
        }
    )*};
}

from_faults!(Fault, store::StoreFault, keys::KeyFault, ledger::LedgerFault);

/// Where an answer goes once client and redirect URI belong together.
pub(crate) struct ReturnAddress<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: Option<&'a str>,
}

impl Authority {
    /// Judges an authorization request and keeps it until its person decides.
    ///
    /// # Errors
    /// [`AuthorizeRefusal`], recorded; only a verified redirect URI is ever redirected to.
    pub async fn authorize(
        &self,
        parameters: &Parameters,
        browser: Option<&str>,
        session: Option<&str>,
        caller: &Caller,
    ) -> Result<Begun, AuthorizeRefusal> {
        let kind = Kind::AuthorizationRequested;
        let (client, redirect_uri) = match self.known_client(parameters).await? {
            Ok(known) => known,
            Err((reject, client)) => {
                let body = Body { client, ..caller.body() };
                return Err(AuthorizeRefusal::Page(
                    self.parts.ledger.refused(Entry::new(kind, body), reject).await,
                ));
            }
        };
        let body = Body { client: Some(client.id().clone()), ..caller.body() };
        let flow = match self.read(&client, redirect_uri, parameters) {
            Ok(flow) => flow,
            Err(reject) => {
                let state = parameters.one("state").ok().flatten().filter(|s| s.len() <= MAX_ECHO);
                let address = ReturnAddress { redirect_uri, state };
                return Err(self.redirect_refusal(&address, reject, kind, body).await);
            }
        };
        if parameters.one("prompt").ok().flatten() == Some("none") {
            // Consent is asked each time, so nobody can be answered for silently.
            let now = self.parts.clock.now();
            let signed_in = match session {
                Some(secret) => self.parts.identity.session(secret, now).await?,
                None => None,
            };
            let reject = if signed_in.is_some_and(|signed_in| flow.accepts(&signed_in, now)) {
                Reject::InteractionRequired
            } else {
                Reject::LoginRequired
            };
            let address = ReturnAddress { redirect_uri, state: flow.state.as_deref() };
            return Err(self.redirect_refusal(&address, reject, kind, body).await);
        }
        let scopes = flow.scopes.clone();
        let begun = self.keep(&flow, browser).await?;
        let body = Body { scopes: Some(scopes), ..body };
        self.parts.ledger.append(vec![Entry { kind, outcome: Outcome::Success, body }]).await?;
        Ok(begun)
    }

    /// Client and redirect URI, if they belong together. `Err` is answered on a page of ours.
    async fn known_client<'a>(
        &self,
        parameters: &'a Parameters,
    ) -> Result<Result<(Client, &'a str), (Reject, Option<ClientId>)>, Fault> {
        let id = match parameters.required("client_id") {
            Ok(text) => text,
            Err(reject) => return Ok(Err((reject, None))),
        };
        let Ok(id) = ClientId::parse(id) else { return Ok(Err((Reject::ClientUnknown, None))) };
        let client = self.parts.store.client(&id).await?;
        let Some(client) = client.filter(|client| client.disabled.is_none()) else {
            return Ok(Err((Reject::ClientUnknown, Some(id))));
        };
        // Always required: a default that depends on the number of registrations changes meaning
        // when one is added.
        let redirect_uri = match parameters.required("redirect_uri") {
            Ok(uri) => uri,
            Err(reject) => return Ok(Err((reject, Some(id)))),
        };
        if client.redirect_uri(redirect_uri).is_none() {
            return Ok(Err((Reject::RedirectMismatch, Some(id))));
        }
        Ok(Ok((client, redirect_uri)))
    }

    /// The checks whose failure the client is told by redirect, in order.
    fn read(&self, client: &Client, redirect_uri: &str, p: &Parameters) -> Result<Flow, Reject> {
        let state = bounded(p.one("state")?)?;
        let nonce = bounded(p.one("nonce")?)?;
        if p.one("request")?.is_some() {
            return Err(Reject::RequestObjectRefused);
        }
        if p.one("request_uri")?.is_some() {
            return Err(Reject::RequestUriRefused);
        }
        if p.required("response_type")? != "code"
            || p.one("response_mode")?.is_some_and(|mode| mode != "query")
        {
            return Err(Reject::ResponseTypeUnsupported);
        }
        if !client.may_use(GrantType::AuthorizationCode) {
            return Err(Reject::GrantTypeUnauthorized);
        }
        let code_challenge = challenge(p)?;
        if p.one("launch")?.is_some() {
            // A launch is a handle that this server made; there is none that it could have made.
            return Err(Reject::LaunchRejected);
        }
        let scopes = self.requestable(client, p.required("scope")?)?;
        let audience = self.audience(p, &scopes)?;
        let max_age =
            p.one("max_age")?.map(str::parse).transpose().map_err(|_| Reject::RequestMalformed)?;
        if max_age.is_some_and(|age: i64| age < 0) {
            return Err(Reject::RequestMalformed);
        }
        let sign_in_again = prompts_for_sign_in(p.one("prompt")?)?;
        Ok(Flow {
            client: client.id().clone(),
            redirect_uri: redirect_uri.to_owned(),
            state,
            nonce,
            code_challenge,
            scopes,
            audience,
            requested: self.parts.clock.now(),
            max_age,
            sign_in_again,
            patient: None,
            shown: None,
        })
    }

    /// What of the asked scopes may be asked at all: no wider than the registration. Strangers are
    /// dropped (RFC 6749 §3.3), a wildcard is refused or expanded into registered names.
    fn requestable(&self, client: &Client, text: &str) -> Result<ScopeSet, Reject> {
        let asked = RequestedScopes::parse(text).map_err(|_| Reject::ScopeMalformed)?;
        let registered = &client.draft.scopes;
        if asked.has_wildcard() && client.draft.wildcard == Wildcard::Refuse {
            return Err(Reject::ScopeWildcard);
        }
        let scopes = asked.expanded(registered).narrow(registered).retain(|scope| match scope {
            // `system/` is never a person's to give; `launch` means nothing without one.
            Scope::Resource(resource) => resource.context != Context::System,
            Scope::Plain(plain) => *plain != PlainScope::Launch,
        });
        if scopes.is_empty() { Err(Reject::ScopeEmpty) } else { Ok(scopes) }
    }

    /// The audience: `aud`, or `resource` as a synonym, must name the FHIR base as soon as a record
    /// is asked for (SMART App Launch 2.2; a token for a look-alike server is worth stealing).
    fn audience(&self, p: &Parameters, scopes: &ScopeSet) -> Result<String, Reject> {
        let mut named = p.one("aud")?.into_iter().chain(p.all("resource")).peekable();
        let for_records =
            scopes.resources().next().is_some() || scopes.has(PlainScope::LaunchPatient);
        if named.peek().is_none() {
            return if for_records {
                Err(Reject::AudienceUnknown)
            } else {
                Ok(self.settings.issuer.clone())
            };
        }
        if named.all(|url| self.settings.is_fhir_base(url)) {
            Ok(self.settings.fhir_base.clone())
        } else {
            Err(Reject::AudienceUnknown)
        }
    }

    async fn keep(&self, flow: &Flow, browser: Option<&str>) -> Result<Begun, Fault> {
        let parts = &self.parts;
        let known = browser.and_then(|text| Opaque::parse(OpaqueKind::Browser, text));
        let fresh = match known {
            Some(_) => None,
            None => Some(Opaque::generate(OpaqueKind::Browser, &*parts.random)?),
        };
        let owner = known.as_ref().or(fresh.as_ref()).ok_or(Fault::Keys)?;
        let id = Opaque::generate(OpaqueKind::Flow, &*parts.random)?;
        let now = parts.clock.now();
        parts
            .store
            .insert_flow(&NewFlow {
                hash: parts.hash_key.hash(&id),
                browser: parts.hash_key.hash(owner),
                request: serde_json::to_vec(flow).map_err(|_| Fault::Store)?,
                expires: now.plus_secs(Settings::FLOW_SECS),
            })
            .await?;
        Ok(Begun { flow: id, browser: fresh })
    }

    /// An error at the client's own redirect URI.
    pub(crate) async fn redirect_refusal(
        &self,
        address: &ReturnAddress<'_>,
        reject: Reject,
        kind: Kind,
        body: Body,
    ) -> AuthorizeRefusal {
        let error = reject.oauth().unwrap_or(OAuthError::ServerError);
        let correlation = body.correlation.clone();
        let reject = self.parts.ledger.refused(Entry::new(kind, body), reject).await;
        let description = match &correlation {
            Some(id) => format!("{} ({id})", reject.get().text()),
            None => reject.get().text().to_owned(),
        };
        let location = self
            .redirect(address, &[("error", error.as_str()), ("error_description", &description)]);
        AuthorizeRefusal::Redirect { location, reject }
    }

    /// The redirect URI with response parameters, `state` and `iss` (RFC 9207 §2).
    pub(crate) fn redirect(&self, address: &ReturnAddress<'_>, members: &[(&str, &str)]) -> String {
        let separator = if address.redirect_uri.contains('?') { '&' } else { '?' };
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(members);
        if let Some(state) = address.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.settings.issuer);
        format!("{}{separator}{}", address.redirect_uri, query.finish())
    }
}

impl From<Refusal> for AuthorizeRefusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(reject) => Self::Page(reject),
            Refusal::Fault(fault) => Self::Fault(fault),
        }
    }
}

fn bounded(value: Option<&str>) -> Result<Option<String>, Reject> {
    match value {
        Some(text) if text.len() > MAX_ECHO => Err(Reject::RequestTooLarge),
        other => Ok(other.map(str::to_owned)),
    }
}

/// Whether `prompt` asks for a sign-in (OpenID Connect Core §3.1.2.1); `none` stands alone.
fn prompts_for_sign_in(prompt: Option<&str>) -> Result<bool, Reject> {
    let words: Vec<&str> = prompt.map(|text| text.split(' ').collect()).unwrap_or_default();
    let lawful = |word: &&str| ["login", "select_account", "consent"].contains(word);
    if words == ["none"] || words.iter().all(lawful) {
        Ok(words.iter().any(|word| ["login", "select_account"].contains(word)))
    } else {
        Err(Reject::RequestMalformed)
    }
}

/// `S256` only, and a challenge always (RFC 9700 §2.1.1; RFC 7636 §4.3: an absent method is `plain`).
fn challenge(p: &Parameters) -> Result<String, Reject> {
    if p.one("code_challenge_method")? != Some("S256") {
        return Err(Reject::PkceRequired);
    }
    let text = p.one("code_challenge")?.ok_or(Reject::PkceRequired)?;
    let challenge = CodeChallenge::parse(text).map_err(|_| Reject::PkceRequired)?;
    Ok(challenge.as_str().to_owned())
}
