//! Records and directories to make reports of.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use domain::scope::ScopeSet;
use domain::{Basis, ClientId, FhirId, Kind, Outcome, PersonRole, Phi, ResourceType, Timestamp};
use ledger::Body;
use ledger::read::Record;
use report::{ClientFacts, Directory, PersonFacts};

pub const PATIENTS: [&str; 3] = ["pat-a", "pat-b", "pat-c"];
pub const CLIENTS: [&str; 3] = ["app", "backend", "agency"];
pub const PEOPLE: [&str; 3] = ["p_amina", "p_solis", "p_gone"];
pub const PURPOSES: [&str; 2] = ["curves", "measures"];
/// 2026-11-02T00:00:00Z, a Monday.
pub const START: i64 = 1_793_577_600_000;
pub const HOUR: i64 = 3_600_000;

pub fn id(text: &str) -> FhirId {
    FhirId::parse(text).unwrap()
}

pub fn client(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

pub fn directory() -> Directory {
    let facts = |name: &str, address: &str| ClientFacts {
        name: name.to_owned(),
        legal_name: format!("{name} Inc."),
        address: address.to_owned(),
        purpose: "registered".to_owned(),
        basis: None,
        scopes: ScopeSet::parse(
            "openid patient/Observation.rs patient/Condition.rs system/Patient.rs",
        )
        .unwrap(),
        disabled: false,
    };
    let person = |name: &str, role, own: Option<&str>, patients: &[&str]| PersonFacts {
        username: name.to_owned(),
        role,
        own_record: own.map(id),
        patients: patients.iter().map(|patient| id(patient)).collect(),
    };
    Directory {
        clients: [("app", "1 Main St"), ("backend", ""), ("agency", "Capitol")]
            .map(|(name, address)| (client(name), facts(name, address)))
            .into(),
        people: [
            ("p_amina".to_owned(), person("amina", PersonRole::Patient, Some("pat-a"), &["pat-a"])),
            (
                "p_solis".to_owned(),
                person("solis", PersonRole::Clinician, Some("pat-c"), &["pat-a", "pat-c"]),
            ),
        ]
        .into(),
    }
}

/// A release of these resources about a patient.
pub fn release(seq: u64, hours: i64, patient: &str, by: &str, kinds: &[ResourceType]) -> Record {
    let body = Body {
        subject: Some("p_amina".into()),
        client: Some(client(by)),
        jti_hash: Some([7; 32]),
        patient: Some(id(patient)),
        resources: kinds.iter().map(|kind| (*kind, id("r1"))).collect(),
        interaction: Some("search-type".into()),
        query: Some(Phi::new("code=1".into())),
        purpose: Some("curves".into()),
        scopes: ScopeSet::parse("patient/Observation.rs").ok(),
        basis: Some(Basis::Other.as_str().into()),
        address: "192.0.2.1".parse().ok(),
        correlation: domain::CorrelationId::parse("c-1").ok(),
        ..Body::default()
    };
    record(seq, hours, Kind::PhiRelease, Outcome::Success, body)
}

pub fn record(seq: u64, hours: i64, kind: Kind, outcome: Outcome, body: Body) -> Record {
    Record {
        seq,
        leaf: seq * 2 + 1,
        time: Timestamp::from_millis(START + hours * HOUR),
        kind: Some(kind),
        outcome: Some(outcome),
        body: Some(body),
    }
}
