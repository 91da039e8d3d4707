//! A record as a FHIR R4 AuditEvent. What left follows IHE's Basic Audit Log Patterns (BALP 1.1.4);
//! what BALP has no pattern for, refusals above all, follows two profiles of ours
//! (docs/reference/fhir-audit-events.md). Pure: the same record always gives the same resource.

mod parts;

use domain::{Basis, Kind, Outcome};
use ledger::Body;
use ledger::read::Record;
use serde_json::{Map, Value, json};

use crate::moment::instant;
use parts::{Parts, coding, details, patient_entity, resource_entities, transaction};

/// Where BALP's profiles are defined.
pub const BALP: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/";
/// Our profile of what was refused or failed.
pub const REFUSED: &str = "urn:phiward:fhir:StructureDefinition:refused-request";
/// Our profile of what BALP has no pattern for.
pub const EVENT: &str = "urn:phiward:fhir:StructureDefinition:ledger-event";
/// Our code system of kinds (docs/reference/ledger-kinds.md).
pub const KINDS: &str = "urn:phiward:fhir:CodeSystem:ledger-kind";

const REST: (&str, &str) = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest");
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";

/// Whose ledger it is.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The issuer's URL: it names people and clients, and is who observed.
    pub issuer: &'a str,
    /// The base URL of the FHIR API.
    pub fhir_base: &'a str,
    /// The log's origin.
    pub origin: &'a str,
    /// The stream.
    pub stream: u32,
}

/// A record as an AuditEvent.
pub fn audit_event(record: &Record, context: &Context<'_>) -> Value {
    let empty = Body::default();
    let body = record.body.as_ref().unwrap_or(&empty);
    let parts = Parts { body, context };
    let done = record.outcome == Some(Outcome::Success);
    let event = match (record.kind, body.interaction.as_deref()) {
        (Some(Kind::PhiRelease | Kind::BreakGlass), Some(interaction)) if done => {
            released(record, &parts, interaction)
        }
        (Some(Kind::ConsentGiven), _) if done && body.patient.is_some() => consent(record, &parts),
        _ => None,
    };
    event.unwrap_or_else(|| other(record, &parts))
}

/// What every event has.
fn event(record: &Record, parts: &Parts<'_>, profiles: &[String]) -> Map<String, Value> {
    let context = parts.context;
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| {
        event.insert(name.to_owned(), value);
    };
    put("resourceType", "AuditEvent".into());
    put("id", format!("{}-{}", context.stream, record.seq).into());
    put("meta", json!({ "profile": profiles }));
    put("recorded", instant(record.time).into());
    put("outcome", outcome(record.outcome).into());
    if let Some(outcome) = record.outcome.filter(|outcome| *outcome != Outcome::Success) {
        put("outcomeDesc", why(outcome).into());
    }
    put(
        "source",
        json!({
            "site": context.origin,
            "observer": parts.observer(),
            "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4")],
        }),
    );
    event
}

const fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Success) => "0",
        Some(Outcome::Refused(_)) => "4",
        Some(Outcome::Fault) | None => "8",
    }
}

const fn why(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refused(reject) => reject.id(),
        outcome => outcome.as_str(),
    }
}

/// Data that left: a disclosure if an accounting lists it, otherwise a read or a query.
fn released(record: &Record, parts: &Parts<'_>, interaction: &str) -> Option<Value> {
    let body = parts.body;
    let searches = interaction.starts_with("search");
    let basis = body.basis.as_deref().and_then(Basis::parse);
    let accounted = basis.is_some_and(|basis| !basis.is_excepted());
    if accounted && body.patient.is_some() && !body.resources.is_empty() {
        return Some(disclosed(record, parts, interaction));
    }
    let name = match (searches, body.patient.is_some()) {
        (false, true) => "IHE.BasicAudit.PatientRead",
        (false, false) => "IHE.BasicAudit.Read",
        (true, true) => "IHE.BasicAudit.PatientQuery",
        (true, false) => "IHE.BasicAudit.Query",
    };
    let mut profiles = vec![format!("{BALP}{name}")];
    if body.jti_hash.is_some() {
        profiles.push(format!("{BALP}IHE.BasicAudit.OAUTHaccessTokenUse.Minimal"));
    }
    let mut event = event(record, parts, &profiles);
    event.insert("type".into(), coding(REST.0, REST.1));
    event.insert("subtype".into(), json!([coding(INTERACTION, interaction)]));
    event.insert("action".into(), if searches { "E" } else { "R" }.into());
    // The client is the source of a query and the destination of a read.
    let (client, server) = if searches { ("110153", "110152") } else { ("110152", "110153") };
    let mut agents = vec![parts.client(DCM, client), parts.server(server)];
    agents.extend(parts.user());
    event.insert("agent".into(), agents.into());
    let mut entities = if searches {
        vec![query_entity(body)]
    } else {
        // A read is of one resource.
        let (kind, id) = body.resources.first()?;
        vec![json!({
            "what": { "reference": format!("{kind}/{id}") },
            "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2"),
            "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "4"),
        })]
    };
    entities.extend(body.patient.as_ref().map(patient_entity));
    if searches {
        entities.extend(resource_entities(body));
    }
    entities.extend(body.correlation.as_ref().map(transaction));
    entities.push(details(record, parts));
    event.insert("entity".into(), entities.into());
    Some(Value::Object(event))
}

fn query_entity(body: &Body) -> Value {
    use base64::Engine as _;
    let query = body.query.as_ref().map(|query| query.expose().as_str()).unwrap_or_default();
    // There is always a query in a search's record; an empty base64Binary would be none.
    let raw = if query.is_empty() { "?" } else { query };
    json!({
        "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2"),
        "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "24"),
        "query": base64::engine::general_purpose::STANDARD.encode(raw),
    })
}

/// A disclosure that an accounting must list (45 CFR 164.528).
fn disclosed(record: &Record, parts: &Parts<'_>, interaction: &str) -> Value {
    let body = parts.body;
    let mut profiles = vec![format!("{BALP}IHE.BasicAudit.PrivacyDisclosure.Source")];
    if body.jti_hash.is_some() {
        profiles.push(format!("{BALP}IHE.BasicAudit.OAUTHaccessTokenUse.Minimal"));
    }
    let mut event = event(record, parts, &profiles);
    event.insert("type".into(), coding(DCM, "110106"));
    let disclose = coding("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose");
    event.insert("subtype".into(), json!([disclose, coding(INTERACTION, interaction)]));
    event.insert("action".into(), "R".into());
    event.insert("purposeOfEvent".into(), json!([parts.purpose()]));
    let mut agents = vec![parts.server("110153"), parts.client(DCM, "110152")];
    agents.extend(parts.user());
    event.insert("agent".into(), agents.into());
    let mut entities: Vec<Value> = body.patient.as_ref().map(patient_entity).into_iter().collect();
    entities.extend(resource_entities(body));
    entities.extend(body.correlation.as_ref().map(transaction));
    entities.push(details(record, parts));
    event.insert("entity".into(), entities.into());
    Value::Object(event)
}

/// A person allowed a client something about a patient.
fn consent(record: &Record, parts: &Parts<'_>) -> Option<Value> {
    let body = parts.body;
    let grant = body.grant.as_ref()?;
    let user = parts.user()?;
    let mut event = event(record, parts, &[format!("{BALP}IHE.BasicAudit.AuthZconsent")]);
    event.insert("type".into(), coding(DCM, "110113"));
    let system = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
    event.insert("subtype".into(), json!([coding(system, "AuthZ-Consent")]));
    event.insert("action".into(), "E".into());
    event.insert("purposeOfEvent".into(), json!([parts.purpose()]));
    let agents = vec![parts.client(DCM, "110150"), user, parts.organization(), parts.authorizer()];
    event.insert("agent".into(), agents.into());
    // The profile closes the list: patient, consent, token.
    let mut entities: Vec<Value> = body.patient.as_ref().map(patient_entity).into_iter().collect();
    entities.push(json!({
        "what": { "identifier": {
            "system": format!("{}/grant", parts.context.issuer),
            "value": grant.as_str(),
        } },
        "type": coding("http://hl7.org/fhir/resource-types", "Consent"),
    }));
    event.insert("entity".into(), entities.into());
    Some(Value::Object(event))
}

/// What BALP has no pattern for, in our own profiles.
fn other(record: &Record, parts: &Parts<'_>) -> Value {
    let body = parts.body;
    let refused = record.outcome != Some(Outcome::Success);
    let profile = if refused { REFUSED } else { EVENT };
    let mut event = event(record, parts, &[profile.to_owned()]);
    let kind = record.kind;
    let kind_type = match kind {
        Some(Kind::PhiRelease | Kind::PhiDenied | Kind::PhiIntent | Kind::PhiOutcome) => {
            coding(REST.0, REST.1)
        }
        Some(
            Kind::SignIn
            | Kind::TokenIssued
            | Kind::TokenRefreshed
            | Kind::TokenRefused
            | Kind::TokenRevoked
            | Kind::AuthorizationRequested,
        ) => coding(DCM, "110114"),
        Some(Kind::LedgerRead | Kind::ReportRun | Kind::LedgerExported) => coding(DCM, "110101"),
        Some(
            Kind::StreamOpened
            | Kind::Recovered
            | Kind::Stopped
            | Kind::Heartbeat
            | Kind::ClockStep,
        ) => coding(DCM, "110100"),
        _ => coding(DCM, "110113"),
    };
    event.insert("type".into(), kind_type);
    let own = coding(KINDS, kind.map_or("unknown", Kind::as_str));
    let mut subtypes = vec![own];
    let phi = kind.is_some_and(|kind| (32..48).contains(&kind.code()));
    if let Some(interaction) = body.interaction.as_deref().filter(|_| phi) {
        subtypes.push(coding(INTERACTION, interaction));
    }
    event.insert("subtype".into(), subtypes.into());
    event.insert("action".into(), "E".into());
    if body.purpose.is_some() || body.basis.is_some() {
        event.insert("purposeOfEvent".into(), json!([parts.purpose()]));
    }
    let mut agents = Vec::new();
    if body.client.is_some() {
        agents.push(parts.client(DCM, "110150"));
    }
    agents.extend(parts.user());
    if agents.is_empty() && body.address.is_some() {
        agents.push(parts.stranger());
    }
    agents.push(parts.authorizer());
    event.insert("agent".into(), agents.into());
    let mut entities: Vec<Value> = body.patient.as_ref().map(patient_entity).into_iter().collect();
    if phi && body.query.is_some() {
        entities.push(query_entity(body));
    }
    entities.extend(resource_entities(body));
    entities.extend(body.correlation.as_ref().map(transaction));
    entities.push(details(record, parts));
    event.insert("entity".into(), entities.into());
    Value::Object(event)
}
