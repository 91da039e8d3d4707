//! What the demo and the tests may count on in the checked-in records.

use std::collections::{BTreeMap, BTreeSet};

use phiward_sample_fhir::{demo_patients, stranger};
use serde_json::Value;

use crate::{all, found, get, owner};

const LABORATORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

fn people() -> [phiward_sample_fhir::DemoPatient; 3] {
    let [amina, brook] = demo_patients();
    [amina, brook, stranger()]
}

fn types() -> Vec<String> {
    get("/metadata").json["rest"][0]["resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|resource| resource["type"].as_str().unwrap().to_owned())
        .collect()
}

fn everything() -> Vec<Value> {
    types().iter().flat_map(|kind| all(&format!("/{kind}?_count=100"))).collect()
}

fn labs(id: &str) -> Vec<Value> {
    all(&format!("/Observation?patient={id}&category={LABORATORY}"))
}

fn codes(observations: &[Value]) -> BTreeSet<String> {
    observations
        .iter()
        .map(|one| one["code"]["coding"][0]["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_people_are_who_the_constants_say() {
    for person in people() {
        let patient = get(&format!("/Patient/{}", person.id)).json;
        let name = &patient["name"][0];
        assert_eq!(
            format!("{} {}", name["given"][0].as_str().unwrap(), name["family"].as_str().unwrap()),
            person.display
        );
        assert!(!person.id.contains(person.username));
    }
    assert_eq!(found("/Patient").len(), 3);
}

#[test]
fn each_person_has_thirty_records_of_ten_types_and_labs_of_several_pages() {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for resource in everything() {
        if let Some(owner) = owner(&resource) {
            let kind = resource["resourceType"].as_str().unwrap().to_owned();
            *counts.entry(owner).or_default().entry(kind).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), 3);
    for person in people() {
        let kinds = &counts[person.id];
        assert!(kinds.values().sum::<usize>() >= 30);
        for kind in [
            "Patient",
            "Observation",
            "Condition",
            "MedicationRequest",
            "AllergyIntolerance",
            "DocumentReference",
            "DiagnosticReport",
            "Encounter",
            "Immunization",
            "Procedure",
            "CareTeam",
        ] {
            assert!(kinds.contains_key(kind), "{} has no {kind}", person.username);
        }
        assert!(labs(person.id).len() >= 40);
        for category in ["vital-signs", "social-history"] {
            let target = format!("/Observation?patient={}&category={category}", person.id);
            assert!(!found(&target).is_empty());
        }
    }
}

#[test]
fn people_have_the_same_kinds_of_data_so_that_a_leak_shows() {
    let [amina, brook, stranger] = people().map(|person| codes(&labs(person.id)));
    assert!(amina.intersection(&brook).count() >= 5);
    assert!(amina.intersection(&stranger).count() >= 5);
    assert!(brook.intersection(&stranger).count() >= 5);
}

#[test]
fn every_record_is_labelled_and_each_person_has_restricted_ones() {
    let mut restricted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in everything() {
        let labels = resource["meta"]["security"].as_array().unwrap();
        assert_eq!(labels[0]["system"], CONFIDENTIALITY);
        let sensitivities: Vec<&str> = labels[1..]
            .iter()
            .map(|label| {
                assert_eq!(label["system"], ACT_CODE);
                label["code"].as_str().unwrap()
            })
            .collect();
        match labels[0]["code"].as_str().unwrap() {
            "N" => assert!(sensitivities.is_empty()),
            "R" | "V" => restricted
                .entry(owner(&resource).unwrap())
                .or_default()
                .extend(sensitivities.iter().map(|&code| code.to_owned())),
            other => panic!("{other}"),
        }
    }
    let [amina, brook, stranger] = people().map(|person| &restricted[person.id]);
    assert_eq!(amina.iter().collect::<Vec<_>>(), ["HIV", "PSY"]);
    assert_eq!(brook.iter().collect::<Vec<_>>(), ["42CFRPart2", "ETH", "HIV"]);
    assert_eq!(stranger.iter().collect::<Vec<_>>(), ["HIV", "SDV"]);
}

#[test]
fn each_person_has_one_restricted_laboratory_result() {
    for person in people() {
        let target = format!(
            "/Observation?patient={}&category={LABORATORY}&_security={CONFIDENTIALITY}|R",
            person.id
        );
        assert_eq!(codes(&found(&target)).into_iter().collect::<Vec<_>>(), ["56888-1"]);
    }
}

#[test]
fn no_record_refers_to_another_person_or_to_nothing() {
    fn references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                into.extend(members.get("reference").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, into));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }
    let everything = everything();
    let owners: BTreeMap<String, Option<String>> = everything
        .iter()
        .map(|resource| {
            let address = format!(
                "{}/{}",
                resource["resourceType"].as_str().unwrap(),
                resource["id"].as_str().unwrap()
            );
            (address, owner(resource))
        })
        .collect();
    for resource in &everything {
        let mut targets = Vec::new();
        references(resource, &mut targets);
        for target in targets {
            let its_owner = owners.get(&target).unwrap_or_else(|| panic!("{target} is absent"));
            assert!(its_owner.is_none() || *its_owner == owner(resource), "{target}");
        }
    }
}

#[test]
fn the_file_is_small() {
    let file = include_bytes!("../../data/records.ndjson");
    assert!(file.len() < 600_000, "{}", file.len());
}
