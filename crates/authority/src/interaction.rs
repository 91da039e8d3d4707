//! Between an authorization request and its code: sign-in, patient picker, consent. Each step is
//! worked out anew from the flow and the session, so no step can be skipped by calling a later one;
//! the flow is consumed by the decision, once (RFC 6749 §4.1.2).

use domain::scope::{PlainScope, ScopeSet};
use domain::{
    Duration, FhirId, Grant, GrantId, Kind, LaunchContext, Outcome, Phi, Reject, Timestamp,
};
use identity::{Attempt, Caller, Fault, Refusal, SESSION_SECS};
use keys::opaque::{Opaque, OpaqueKind};
use ledger::{Body, Entry};
use store::NewCode;

use crate::authorize::{AuthorizeRefusal, FlowRef};
use crate::consent::{self, ConsentItem, Decision};
use crate::present::{Loaded, Present, needs_patient, return_target};
use crate::{Authority, Settings};

/// What the person is asked next.
#[derive(Debug)]
pub enum Step {
    /// Who are you?
    SignIn(SignInStep),
    /// Whose record?
    Patient(PatientStep),
    /// What may the app have?
    Consent(ConsentStep),
}

/// The sign-in page.
#[derive(Debug)]
pub struct SignInStep {
    /// The app that asks.
    pub client_name: String,
    /// Where the answer may go: as on the consent page.
    pub return_target: String,
}

/// The patient picker.
#[derive(Debug)]
pub struct PatientStep {
    /// The app that asks.
    pub client_name: String,
    /// Where the answer may go: as on the consent page.
    pub return_target: String,
    /// The person's own name.
    pub person_name: Phi<String>,
    /// Whose record could be shared: id, name, and whether it is the person's own.
    pub patients: Vec<(FhirId, Phi<String>, bool)>,
}

/// The consent page.
#[derive(Debug)]
pub struct ConsentStep {
    /// The app that asks.
    pub client_name: String,
    /// Who is behind it.
    pub client_legal_name: String,
    /// What for.
    pub client_purpose: String,
    /// Where the answer goes: origin or scheme of the redirect URI, for `form-action`.
    pub return_target: String,
    /// The person's own name.
    pub person_name: Phi<String>,
    /// Whose record: name, and whether it is the person's own.
    pub patient: Option<(Phi<String>, bool)>,
    /// The choices.
    pub items: Vec<ConsentItem>,
}

impl Authority {
    /// What the person is to be asked next.
    ///
    /// # Errors
    /// [`AuthorizeRefusal`]: the flow is unknown, over or another browser's; or it cannot go on.
    pub async fn step(
        &self,
        flow: FlowRef<'_>,
        session: Option<&str>,
        caller: &Caller,
    ) -> Result<Step, AuthorizeRefusal> {
        let present = match self.load(flow, session, caller).await? {
            Loaded::SignedOut { client, return_target } => {
                let client_name = client.draft.name;
                return Ok(Step::SignIn(SignInStep { client_name, return_target }));
            }
            Loaded::Present(present) => present,
        };
        if present.scopes.is_empty() {
            return Err(self.finish_refused(&present, Reject::ScopeEmpty, caller).await);
        }
        if present.needs_patient() && present.patient().is_none() {
            let person = &present.signed_in.person;
            let patients: Vec<_> = person
                .patients()
                .map(|id| {
                    let (name, own) = present.name_of(id);
                    (id.clone(), name, own)
                })
                .collect();
            if patients.is_empty() {
                return Err(self.finish_refused(&present, Reject::PatientRequired, caller).await);
            }
            return Ok(Step::Patient(PatientStep {
                client_name: present.client.draft.name.clone(),
                return_target: return_target(&present.flow.redirect_uri),
                person_name: person.display_name.clone(),
                patients,
            }));
        }
        let patient = present.needs_patient().then(|| present.patient()).flatten();
        self.remember_shown(&present, patient.clone(), caller).await?;
        let draft = &present.client.draft;
        Ok(Step::Consent(ConsentStep {
            client_name: draft.name.clone(),
            client_legal_name: draft.legal_name.clone(),
            client_purpose: draft.purpose.clone(),
            return_target: return_target(&present.flow.redirect_uri),
            person_name: present.signed_in.person.display_name.clone(),
            patient: patient.map(|id| present.name_of(&id)),
            items: consent::offer(&present.scopes),
        }))
    }

    /// Signs the person of a flow in; the session secret goes to the browser.
    ///
    /// # Errors
    /// [`Refusal`], recorded.
    pub async fn sign_in(
        &self,
        flow: FlowRef<'_>,
        attempt: Attempt,
        caller: &Caller,
    ) -> Result<Opaque, Refusal> {
        // Only within a flow of this browser's: a forged form from elsewhere signs nobody in.
        self.flow(flow, caller).await?;
        let (secret, _) = self.parts.identity.sign_in(attempt, caller).await?;
        Ok(secret)
    }

    /// Puts a patient into the context of a flow.
    ///
    /// # Errors
    /// [`AuthorizeRefusal`]: not a patient whom this person may choose.
    pub async fn choose_patient(
        &self,
        flow: FlowRef<'_>,
        session: Option<&str>,
        patient: &str,
        caller: &Caller,
    ) -> Result<(), AuthorizeRefusal> {
        let kind = Kind::AuthorizationRequested;
        let mut present = match self.load(flow, session, caller).await? {
            Loaded::SignedOut { .. } => return Ok(()),
            Loaded::Present(present) => present,
        };
        let chosen = FhirId::parse(patient).ok().filter(|p| present.signed_in.person.may_reach(p));
        let Some(chosen) = chosen else {
            let body = present.body(caller);
            return Err(self.refuse_with(kind, Reject::ChoiceOutOfReach, body).await.into());
        };
        if present.flow.shown.as_ref().is_some_and(|(_, shown)| *shown != Some(chosen.clone())) {
            // A consent page about somebody else stands in this browser; its form must not come to
            // mean this patient.
            let body = present.body(caller);
            return Err(self.refuse_with(kind, Reject::FlowUnknown, body).await.into());
        }
        present.flow.patient = Some(chosen);
        self.update(&present.hashes, &present.flow, caller).await
    }

    /// Carries a decision out: the flow is consumed, the grant and its code are made, the record is
    /// durable; only then the browser is sent back with the code.
    ///
    /// # Errors
    /// [`AuthorizeRefusal`]; a decline is told to the client as `access_denied`.
    pub async fn decide(
        &self,
        flow: FlowRef<'_>,
        session: Option<&str>,
        decision: Decision,
        caller: &Caller,
    ) -> Result<String, AuthorizeRefusal> {
        let kind = Kind::ConsentGiven;
        let Loaded::Present(present) = self.load(flow, session, caller).await? else {
            return Err(self.refuse(caller, kind, Reject::FlowUnknown).await.into());
        };
        let Decision::Approve { scopes, duration } = decision else {
            return Err(self.finish_refused(&present, Reject::AccessDenied, caller).await);
        };
        let granted = match consent::chosen(&present.scopes, &scopes, duration) {
            Ok(granted) if granted.is_empty() => {
                return Err(self.finish_refused(&present, Reject::AccessDenied, caller).await);
            }
            Ok(granted) => granted,
            Err(reject) => {
                return Err(self.refuse_with(kind, reject, present.body(caller)).await.into());
            }
        };
        let patient = if present.needs_patient() { present.patient() } else { None };
        // What was not shown cannot have been allowed: another person signed in meanwhile, or the
        // patient on the page is no longer theirs to share.
        if present.flow.shown != Some((present.signed_in.person.id.clone(), patient.clone())) {
            let body = present.body(caller);
            return Err(self.refuse_with(kind, Reject::FlowUnknown, body).await.into());
        }
        // The context goes only where a scope that was allowed calls for it.
        let patient = patient.filter(|_| needs_patient(&granted));
        self.approve(&present, granted, patient, duration, caller).await
    }

    async fn approve(
        &self,
        present: &Present,
        scopes: ScopeSet,
        patient: Option<FhirId>,
        duration: Duration,
        caller: &Caller,
    ) -> Result<String, AuthorizeRefusal> {
        let parts = &self.parts;
        let now = parts.clock.now();
        let id = keys::random_id("g_", &*parts.random)?;
        let grant = Grant {
            id: GrantId::parse(&id).map_err(|_| Fault::Keys)?,
            client: present.client.id().clone(),
            person: present.signed_in.person.id.clone(),
            session: Some(present.signed_in.session.clone()),
            expires: ends(&scopes, duration, present.signed_in.auth_time, now),
            scopes,
            audience: present.flow.audience.clone(),
            context: LaunchContext { patient },
            auth_time: present.signed_in.auth_time,
            created: now,
            withdrawn: None,
        };
        let code = Opaque::generate(OpaqueKind::Code, &*parts.random)?;
        let new_code = NewCode {
            hash: parts.hash_key.hash(&code),
            grant: grant.id.clone(),
            client: grant.client.clone(),
            redirect_uri: present.flow.redirect_uri.clone(),
            code_challenge: present.flow.code_challenge.clone(),
            nonce: present.flow.nonce.clone(),
            expires: now.plus_secs(Settings::CODE_SECS),
        };
        if !self.consume(present, now).await? {
            return Err(self.refuse(caller, Kind::ConsentGiven, Reject::FlowUnknown).await.into());
        }
        parts.store.insert_grant(&grant).await?;
        parts.store.insert_code(&new_code).await?;
        let body = Body {
            grant: Some(grant.id.clone()),
            patient: grant.context.patient.clone(),
            scopes: Some(grant.scopes.clone()),
            purpose: Some(present.client.draft.purpose.clone()),
            detail: Some(format!("duration {}", duration.as_str())),
            ..present.body(caller)
        };
        let entry = Entry { kind: Kind::ConsentGiven, outcome: Outcome::Success, body };
        parts.ledger.append(vec![entry]).await?;
        Ok(self.redirect(&present.address(), &[("code", code.expose())]))
    }

    /// Ends a flow with an error that its client is told.
    async fn finish_refused(
        &self,
        present: &Present,
        reject: Reject,
        caller: &Caller,
    ) -> AuthorizeRefusal {
        match self.consume(present, self.parts.clock.now()).await {
            Ok(true) => {
                let body = present.body(caller);
                self.redirect_refusal(&present.address(), reject, Kind::ConsentGiven, body).await
            }
            Ok(false) => self.refuse(caller, Kind::ConsentGiven, Reject::FlowUnknown).await.into(),
            Err(fault) => AuthorizeRefusal::Fault(fault),
        }
    }
}

/// When a grant ends: as the person chose; online access no later than the sign-in it rests on.
fn ends(scopes: &ScopeSet, duration: Duration, auth_time: Timestamp, now: Timestamp) -> Timestamp {
    let chosen = now.plus_secs(duration.secs());
    if scopes.has(PlainScope::OfflineAccess) {
        chosen
    } else {
        chosen.min(auth_time.plus_secs(SESSION_SECS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn online_access_ends_with_the_sign_in() {
        let at = Timestamp::from_secs;
        let online = ScopeSet::parse("online_access").unwrap();
        let offline = ScopeSet::parse("offline_access").unwrap();
        assert_eq!(ends(&online, Duration::NinetyDays, at(0), at(60)), at(SESSION_SECS));
        assert_eq!(ends(&offline, Duration::Day, at(0), at(60)), at(60 + 86_400));
    }
}
