//! What a request leaves in the ledger. It grows with what is known about the request and ends as
//! refusals or as one release for each patient disclosed (`gateway.md`, row 48).

use std::collections::BTreeMap;

use domain::scope::Scope;
use domain::{FhirId, Kind, Outcome, Phi, Reject, ResourceType};
use fhir::Interaction;
use http::header;
use keys::access_token::{AccessTokenClaims, Subject};
use ledger::{Body, Entry};

use crate::GatewayRequest;
use crate::decide::{Permit, Reach};

/// The rule under which resources are judged.
const SUBJECT_STRICT: &str = "subject-strict";

/// What is known about a request so far.
pub(crate) struct Story {
    body: Body,
    /// Whom a receipt opens for; `None` where none is given.
    holder: Option<String>,
}

/// What left, by patient; `None` for resources that are about nobody.
pub(crate) type Disclosed = BTreeMap<Option<FhirId>, Vec<(ResourceType, FhirId)>>;

impl Story {
    pub(crate) fn new(request: &GatewayRequest<'_>) -> Self {
        let agent = request.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            body: Body {
                address: Some(request.peer),
                user_agent: agent.map(str::to_owned),
                correlation: Some(request.correlation.clone()),
                ..Body::default()
            },
            holder: None,
        }
    }

    /// The client wants receipts, and this is whom they open for.
    pub(crate) fn receipts_for(&mut self, holder: String) {
        self.holder = Some(holder);
    }

    pub(crate) fn holder(&self) -> Option<&str> {
        self.holder.as_deref()
    }

    pub(crate) fn asked(&mut self, interaction: &Interaction) {
        self.body.interaction = Some(interaction.as_str().to_owned());
        if let Interaction::Read(kind, id) = interaction {
            self.body.resources = vec![(*kind, id.clone())];
        }
    }

    pub(crate) fn by(&mut self, claims: &AccessTokenClaims) {
        self.body.subject = Some(claims.sub.as_str().to_owned());
        self.body.client = Some(claims.client_id.clone());
        self.body.grant = claims.grant.clone();
        self.body.jti_hash = Some(keys::sha256(claims.jti.as_str().as_bytes()));
        self.body.patient = claims.patient.clone();
        self.body.scopes = Some(claims.scope.clone());
        self.body.authentication = Some(
            match claims.sub {
                Subject::Person(_) => "person",
                Subject::Client(_) => "client",
            }
            .to_owned(),
        );
    }

    /// The scopes that count, and whose record an answer without resources is about.
    pub(crate) fn permitted(&mut self, permit: &Permit) {
        if !permit.scopes.is_empty() {
            self.body.scopes = Some(permit.scopes.iter().cloned().map(Scope::Resource).collect());
        }
        self.body.policies = vec![SUBJECT_STRICT.to_owned()];
        self.body.patient = match &permit.reach {
            Reach::Patient(patient) => Some(patient.clone()),
            Reach::Person(_) | Reach::Everyone | Reach::Own => None,
        };
    }

    /// The search as it is asked upstream.
    pub(crate) fn searched(&mut self, search: &fhir::Search) {
        self.body.query = Some(Phi::new(search.to_string()));
        if let (None, Some([one])) = (&self.body.patient, search.patients().as_deref()) {
            self.body.patient = Some((*one).clone());
        }
    }

    /// Why something stayed here; fixed words.
    pub(crate) fn note(&mut self, detail: &'static str) {
        self.body.detail = Some(detail.to_owned());
    }

    /// How many entries stayed here.
    pub(crate) fn withheld(&mut self, entries: u32) {
        self.body.redactions = Some(entries);
    }

    pub(crate) fn denied(&self, reject: Reject, status: u16) -> Entry {
        let body = Body { status: Some(status), ..self.body.clone() };
        Entry { kind: Kind::PhiDenied, outcome: Outcome::Refused(reject), body }
    }

    pub(crate) fn failed(&self, status: u16) -> Entry {
        let body = Body { status: Some(status), ..self.body.clone() };
        Entry { kind: Kind::PhiDenied, outcome: Outcome::Fault, body }
    }

    /// One entry for each patient; one without resources where nothing was found.
    pub(crate) fn released(&self, disclosed: Disclosed, released: &[u8]) -> Vec<Entry> {
        let hash = keys::sha256(released);
        let disclosed = if disclosed.is_empty() {
            BTreeMap::from([(self.body.patient.clone(), Vec::new())])
        } else {
            disclosed
        };
        disclosed
            .into_iter()
            .map(|(patient, resources)| {
                let body = Body {
                    patient,
                    count: u32::try_from(resources.len()).ok(),
                    resources,
                    status: Some(200),
                    bytes: u64::try_from(released.len()).ok(),
                    body_sha256: Some(hash),
                    ..self.body.clone()
                };
                Entry::new(Kind::PhiRelease, body)
            })
            .collect()
    }
}
