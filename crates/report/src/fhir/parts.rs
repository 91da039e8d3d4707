//! The parts of an AuditEvent: who took part, and what was touched.

use std::fmt::Write as _;

use domain::{Basis, ClientId, CorrelationId, FhirId};
use ledger::Body;
use ledger::read::Record;
use serde_json::{Value, json};

use super::{Context, DCM};

const USER_AGENT_TYPES: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes";
const ENTITY_TYPES: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
const OWN_ENTITY_TYPES: &str = "urn:phiward:fhir:CodeSystem:entity-type";
const PERSON: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/audit-entity-type", "1");
const PATIENT: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/object-role", "1");
const DOMAIN_RESOURCE: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/object-role", "4");

/// What an event is made of.
pub(super) struct Parts<'a> {
    pub(super) body: &'a Body,
    pub(super) context: &'a Context<'a>,
}

pub(super) fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

impl Parts<'_> {
    /// Who observed, and who served: the same, as disclosures demand (`val-audit-source`).
    pub(super) fn observer(&self) -> Value {
        json!({ "identifier": { "system": "urn:ietf:rfc:3986", "value": self.context.issuer } })
    }

    /// The client. Where no person stands behind it, it is who asked, by its token.
    pub(super) fn client(&self, system: &str, code: &str) -> Value {
        let id = self.body.client.as_ref().map_or("unknown", ClientId::as_str);
        let alone = !self.has_person();
        let mut agent = json!({
            "type": concept(system, code),
            "who": { "identifier": { "system": self.context.issuer, "value": id } },
            "requestor": alone,
            "network": self.network(),
        });
        if alone {
            self.by_token(&mut agent);
        }
        agent
    }

    /// The gateway.
    pub(super) fn server(&self, code: &str) -> Value {
        json!({
            "type": concept(DCM, code),
            "who": self.observer(),
            "requestor": false,
            "network": { "address": self.context.fhir_base, "type": "5" },
        })
    }

    /// The authorization server, and who runs the log.
    pub(super) fn authorizer(&self) -> Value {
        let system = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
        json!({ "type": concept(system, "authserver"), "who": self.observer(), "requestor": false })
    }

    /// The organization for which the person acts: the one that runs this installation.
    pub(super) fn organization(&self) -> Value {
        let system = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";
        json!({ "type": concept(system, "PROV"), "who": self.observer(), "requestor": false })
    }

    /// Somebody of whom only the address is known.
    pub(super) fn stranger(&self) -> Value {
        json!({
            "type": concept(DCM, "110150"),
            "who": { "display": "not identified" },
            "requestor": true,
            "network": self.network(),
        })
    }

    fn has_person(&self) -> bool {
        let client = self.body.client.as_ref().map(ClientId::as_str);
        self.body.subject.as_deref().is_some_and(|subject| Some(subject) != client)
    }

    /// The person, with the token that they gave the client.
    pub(super) fn user(&self) -> Option<Value> {
        let subject = self.body.subject.as_ref().filter(|_| self.has_person())?;
        let system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
        let mut agent = json!({
            "type": concept(system, "IRCP"),
            "who": { "identifier": { "system": self.context.issuer, "value": subject } },
            "requestor": true,
        });
        self.by_token(&mut agent);
        let members = agent.as_object_mut()?;
        if let Some(role) = &self.body.role {
            members.insert("role".into(), json!([{ "text": role }]));
        }
        if self.body.purpose.is_some() || self.body.basis.is_some() {
            members.insert("purposeOfUse".into(), json!([self.purpose()]));
        }
        Some(agent)
    }

    /// Adds what BALP asks of an agent that acts by an access token. The log holds no token's id, only
    /// its SHA-256, which stands in the id's place.
    fn by_token(&self, agent: &mut Value) {
        let Some(hash) = &self.body.jti_hash else { return };
        let hash = hash.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        if let Some(codings) = agent.pointer_mut("/type/coding").and_then(Value::as_array_mut) {
            codings.push(coding(USER_AGENT_TYPES, "UserOauthAgent"));
        }
        if let Some(members) = agent.as_object_mut() {
            let policy = format!("urn:ietf:params:oauth:jti:sha-256:{hash}");
            members.insert("policy".into(), json!([policy]));
        }
    }

    fn network(&self) -> Value {
        match self.body.address {
            Some(address) => json!({ "address": address.to_string(), "type": "2" }),
            None => json!({ "address": self.context.issuer, "type": "5" }),
        }
    }

    /// Why: the registered purpose in words, and the basis as a code of HL7's `ActReason`.
    pub(super) fn purpose(&self) -> Value {
        let code = match self.body.basis.as_deref().and_then(Basis::parse) {
            Some(Basis::Treatment) => Some("TREAT"),
            Some(Basis::Payment) => Some("HPAYMT"),
            Some(Basis::Operations) => Some("HOPERAT"),
            Some(Basis::PatientRequest | Basis::Authorization) => Some("PATRQT"),
            Some(Basis::PublicHealth) => Some("PUBHLTH"),
            Some(Basis::Research) => Some("HRESCH"),
            Some(Basis::Judicial | Basis::LawEnforcement | Basis::RequiredByLaw) => Some("HLEGAL"),
            Some(Basis::HealthOversight) => Some("HCOMPL"),
            Some(Basis::Other) | None => None,
        };
        let mut purpose = match code {
            Some(code) => concept("http://terminology.hl7.org/CodeSystem/v3-ActReason", code),
            None => json!({}),
        };
        if let Some(members) = purpose.as_object_mut() {
            let text = self.body.purpose.as_deref().filter(|text| !text.is_empty());
            let text = text.or(self.body.basis.as_deref()).unwrap_or("not recorded");
            members.insert("text".into(), text.into());
        }
        purpose
    }
}

pub(super) fn patient_entity(patient: &FhirId) -> Value {
    json!({
        "what": { "reference": format!("Patient/{patient}") },
        "type": coding(PERSON.0, PERSON.1),
        "role": coding(PATIENT.0, PATIENT.1),
    })
}

/// What left, or was about to: one entity each, of a type that no slice of BALP's claims.
pub(super) fn resource_entities(body: &Body) -> Vec<Value> {
    let entity = |(kind, id): &(domain::ResourceType, FhirId)| {
        json!({
            "what": { "reference": format!("{kind}/{id}") },
            "type": coding("http://hl7.org/fhir/resource-types", kind.name()),
            "role": coding(DOMAIN_RESOURCE.0, DOMAIN_RESOURCE.1),
        })
    };
    body.resources.iter().map(entity).collect()
}

/// The request, by its correlation id.
pub(super) fn transaction(correlation: &CorrelationId) -> Value {
    json!({
        "what": { "identifier": { "value": correlation.as_str() } },
        "type": coding(ENTITY_TYPES, "XrequestId"),
    })
}

/// The record itself, and everything of it that has no place elsewhere.
pub(super) fn details(record: &Record, parts: &Parts<'_>) -> Value {
    /// These stand in elements of their own.
    const ELSEWHERE: [&str; 9] = [
        "subject",
        "client",
        "patient",
        "resources",
        "query",
        "address",
        "correlation",
        "purpose",
        "jti_hash",
    ];
    let mut detail = vec![json!({ "type": "leaf", "valueString": record.leaf.to_string() })];
    for (name, value) in parts.body.exposed() {
        if !ELSEWHERE.contains(&name.as_str()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // A FHIR string has at least one character that is not white space.
            if !text.trim().is_empty() {
                detail.push(json!({ "type": name, "valueString": text }));
            }
        }
    }
    json!({
        "what": { "identifier": {
            "system": format!("urn:phiward:ledger:{}", parts.context.origin),
            "value": format!("{}-{}", parts.context.stream, record.seq),
        } },
        "type": coding(OWN_ENTITY_TYPES, "ledger-record"),
        "detail": detail,
    })
}
