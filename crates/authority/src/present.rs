//! Where a flow stands at this moment: its request, its client and its person, each looked up anew.
//! A flow is nothing to another browser, nor, once its consent page was shown, to another person.

use domain::scope::{Context, PlainScope, ScopeSet};
use domain::{Client, ClientId, FhirId, Kind, PersonId, Phi, Reject, Timestamp};
use identity::{Caller, Fault, Refusal, SignedIn};
use keys::opaque::{Opaque, OpaqueKind, TokenHash};
use ledger::Body;
use serde::{Deserialize, Serialize};

use crate::authorize::{AuthorizeRefusal, FlowRef, ReturnAddress};
use crate::{Authority, consent};

/// An authorization request that passed every check, waiting for its person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) client: ClientId,
    /// As it arrived; the port of a loopback URI may differ from the registered one.
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) code_challenge: String,
    /// What is asked for, no wider than the registration, every type by name.
    pub(crate) scopes: ScopeSet,
    pub(crate) audience: String,
    /// When it arrived.
    pub(crate) requested: Timestamp,
    /// `max_age`: an earlier sign-in must be no older than this many seconds.
    pub(crate) max_age: Option<i64>,
    /// `prompt=login`: an earlier sign-in will not do.
    pub(crate) sign_in_again: bool,
    /// The patient that was picked.
    pub(crate) patient: Option<FhirId>,
    /// Who was shown the consent page, and about whom: only that can be decided.
    pub(crate) shown: Option<(PersonId, Option<FhirId>)>,
}

impl Flow {
    /// Whether a sign-in is recent enough (OpenID Connect Core §3.1.2.1). One made for this request
    /// always is: `max_age=0` asks for it, and reading the consent page takes a while.
    pub(crate) fn accepts(&self, signed_in: &SignedIn, now: Timestamp) -> bool {
        let young = |age| now < signed_in.auth_time.plus_secs(age);
        signed_in.auth_time >= self.requested
            || (!self.sign_in_again && self.max_age.is_none_or(young))
    }
}

/// Flow, client, person and scopes as they are at this moment.
pub(crate) struct Present {
    pub(crate) hashes: (TokenHash, TokenHash),
    pub(crate) flow: Flow,
    pub(crate) client: Client,
    pub(crate) signed_in: SignedIn,
    pub(crate) scopes: ScopeSet,
}

impl Present {
    pub(crate) fn address(&self) -> ReturnAddress<'_> {
        ReturnAddress { redirect_uri: &self.flow.redirect_uri, state: self.flow.state.as_deref() }
    }

    pub(crate) fn needs_patient(&self) -> bool {
        needs_patient(&self.scopes)
    }

    /// The patient in context: the picked one, or the only one there is.
    pub(crate) fn patient(&self) -> Option<FhirId> {
        let person = &self.signed_in.person;
        let picked = self.flow.patient.clone().filter(|patient| person.may_reach(patient));
        picked.or_else(|| {
            let mut all = person.patients();
            let only = all.next().cloned();
            if all.next().is_none() { only } else { None }
        })
    }

    pub(crate) fn body(&self, caller: &Caller) -> Body {
        Body {
            client: Some(self.client.id().clone()),
            subject: Some(self.signed_in.person.id.to_string()),
            session: Some(self.signed_in.session.clone()),
            ..caller.body()
        }
    }

    pub(crate) fn name_of(&self, patient: &FhirId) -> (Phi<String>, bool) {
        let person = &self.signed_in.person;
        let other = person.acts_for.iter().find(|(id, _)| id == patient);
        match other {
            Some((_, name)) => (name.clone(), false),
            None => (person.display_name.clone(), true),
        }
    }
}

pub(crate) enum Loaded {
    Present(Box<Present>),
    SignedOut { client: Box<Client>, return_target: String },
}

impl Authority {
    pub(crate) async fn flow(
        &self,
        reference: FlowRef<'_>,
        caller: &Caller,
    ) -> Result<(Flow, (TokenHash, TokenHash)), Refusal> {
        let parts = &self.parts;
        let id = Opaque::parse(OpaqueKind::Flow, reference.flow);
        let browser = Opaque::parse(OpaqueKind::Browser, reference.browser);
        let found = match (id, browser) {
            (Some(id), Some(browser)) => {
                let hashes = (parts.hash_key.hash(&id), parts.hash_key.hash(&browser));
                let now = parts.clock.now();
                parts.store.flow(&hashes.0, &hashes.1, now).await?.map(|bytes| (bytes, hashes))
            }
            _ => None,
        };
        let Some((bytes, hashes)) = found else {
            return Err(self
                .refuse(caller, Kind::AuthorizationRequested, Reject::FlowUnknown)
                .await);
        };
        let flow = serde_json::from_slice(&bytes).map_err(|_| Fault::Store)?;
        Ok((flow, hashes))
    }

    pub(crate) async fn load(
        &self,
        reference: FlowRef<'_>,
        session: Option<&str>,
        caller: &Caller,
    ) -> Result<Loaded, AuthorizeRefusal> {
        let (flow, hashes) = self.flow(reference, caller).await?;
        let client = self.parts.store.client(&flow.client).await?;
        // The client may have been disabled, or lost the URI, while its person was reading.
        let client =
            client.filter(|c| c.disabled.is_none() && c.redirect_uri(&flow.redirect_uri).is_some());
        let Some(client) = client else {
            let kind = Kind::AuthorizationRequested;
            return Err(self.refuse(caller, kind, Reject::ClientUnknown).await.into());
        };
        let now = self.parts.clock.now();
        let signed_in = match session {
            Some(secret) => self.parts.identity.session(secret, now).await?,
            None => None,
        };
        let Some(signed_in) = signed_in.filter(|signed_in| flow.accepts(signed_in, now)) else {
            let return_target = return_target(&flow.redirect_uri);
            return Ok(Loaded::SignedOut { client: Box::new(client), return_target });
        };
        if flow.shown.as_ref().is_some_and(|(person, _)| *person != signed_in.person.id) {
            // What one person was asked is for nobody else to answer.
            let kind = Kind::AuthorizationRequested;
            return Err(self.refuse(caller, kind, Reject::FlowUnknown).await.into());
        }
        let scopes =
            consent::entitled(&signed_in.person, &flow.scopes.narrow(&client.draft.scopes));
        Ok(Loaded::Present(Box::new(Present { hashes, flow, client, signed_in, scopes })))
    }

    /// Keeps whom the consent page was shown to, and about whom.
    pub(crate) async fn remember_shown(
        &self,
        present: &Present,
        patient: Option<FhirId>,
        caller: &Caller,
    ) -> Result<(), AuthorizeRefusal> {
        let shown = Some((present.signed_in.person.id.clone(), patient));
        if present.flow.shown == shown {
            return Ok(());
        }
        if present.flow.shown.is_some() {
            let body = present.body(caller);
            let kind = Kind::AuthorizationRequested;
            return Err(self.refuse_with(kind, Reject::FlowUnknown, body).await.into());
        }
        let flow = Flow { shown, ..present.flow.clone() };
        self.update(&present.hashes, &flow, caller).await
    }

    pub(crate) async fn update(
        &self,
        (id, browser): &(TokenHash, TokenHash),
        flow: &Flow,
        caller: &Caller,
    ) -> Result<(), AuthorizeRefusal> {
        let bytes = serde_json::to_vec(flow).map_err(|_| Fault::Store)?;
        if self.parts.store.update_flow(id, browser, &bytes, self.parts.clock.now()).await? {
            Ok(())
        } else {
            let kind = Kind::AuthorizationRequested;
            Err(self.refuse(caller, kind, Reject::FlowUnknown).await.into())
        }
    }

    pub(crate) async fn consume(&self, present: &Present, now: Timestamp) -> Result<bool, Fault> {
        let (id, browser) = &present.hashes;
        Ok(self.parts.store.consume_flow(id, browser, now).await?.is_some())
    }
}

/// Whether scopes are about one patient.
pub(crate) fn needs_patient(scopes: &ScopeSet) -> bool {
    scopes.has_context(Context::Patient) || scopes.has(PlainScope::LaunchPatient)
}

/// What `form-action` must name besides ourselves, since Chromium applies it to redirects: an
/// origin, or a private-use scheme (`oauth.md` rule 27).
pub(crate) fn return_target(redirect_uri: &str) -> String {
    let (scheme, rest) = redirect_uri.split_once(':').unwrap_or((redirect_uri, ""));
    match rest.strip_prefix("//") {
        Some(rest) if scheme.starts_with("http") => {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            format!("{scheme}://{host}")
        }
        _ => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_return_target_is_origin_or_scheme() {
        assert_eq!(return_target("https://app.example:8443/cb?x=1"), "https://app.example:8443");
        assert_eq!(return_target("com.example.app:/cb"), "com.example.app:");
    }
}
