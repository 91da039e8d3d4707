//! The demo's synthetic records, as the upstreams of others are loaded with them and as answers are compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::partners::repository;

/// The category system of laboratory results, vital signs and the like.
pub const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

/// Every resource of `samples/fhir/data`, in file order.
pub fn all() -> &'static [Value] {
    static ALL: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let text = std::fs::read_to_string(repository().join("samples/fhir/data/records.ndjson"))
            .expect("samples/fhir/data/records.ndjson");
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).expect("a resource per line"))
            .collect()
    });
    &ALL
}

/// The ids of the patients, in file order.
pub fn patients() -> Vec<String> {
    all().iter().filter(|r| kind(r) == "Patient").map(id).collect()
}

/// The resources of one type about one patient, by `subject` or `patient`.
pub fn about(patient: &str, resource_type: &str) -> Vec<&'static Value> {
    let reference = format!("Patient/{patient}");
    all()
        .iter()
        .filter(|r| kind(r) == resource_type)
        .filter(|r| {
            [&r["subject"], &r["patient"]].iter().any(|value| value["reference"] == *reference)
        })
        .collect()
}

/// One patient's Observations of a category of [`CATEGORY`].
pub fn observations(patient: &str, category: &str) -> Vec<&'static Value> {
    about(patient, "Observation").into_iter().filter(|r| in_category(r, category)).collect()
}

/// Whether an Observation carries a category of [`CATEGORY`].
pub fn in_category(resource: &Value, category: &str) -> bool {
    let categories = resource["category"].as_array();
    categories
        .into_iter()
        .flatten()
        .flat_map(|concept| concept["coding"].as_array().into_iter().flatten())
        .any(|coding| coding["system"] == CATEGORY && coding["code"] == category)
}

/// Whether the record's confidentiality is plain N: no policy has a reason to withhold it from its subject.
pub fn unrestricted(resource: &Value) -> bool {
    let labels = resource["meta"]["security"].as_array();
    labels.into_iter().flatten().all(|label| label["code"] == "N")
}

/// The `resourceType`.
pub fn kind(resource: &Value) -> &str {
    resource["resourceType"].as_str().unwrap_or_default()
}

/// The logical id.
pub fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_default().to_owned()
}

/// The resources of a search set by `Type/id`, each reduced to what every upstream keeps:
/// without the version and the time of its storing, which a server assigns itself.
pub fn normalised<'a>(resources: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Value> {
    resources
        .into_iter()
        .map(|resource| {
            let mut plain = resource.clone();
            if let Some(meta) = plain.get_mut("meta").and_then(Value::as_object_mut) {
                meta.remove("versionId");
                meta.remove("lastUpdated");
                if meta.is_empty() {
                    plain.as_object_mut().unwrap().remove("meta");
                }
            }
            (format!("{}/{}", kind(resource), id(resource)), by_value(plain))
        })
        .collect()
}

/// Numbers compared by value (one server writes 4.0 where another writes 4); empty strings dropped
/// (FHIR has none, and Medplum's router removes those it is given).
fn by_value(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().map_or(Value::Null, |plain| Value::String(format!("{plain}")))
        }
        Value::Array(items) => items.into_iter().map(by_value).collect(),
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| member != "")
            .map(|(name, member)| (name, by_value(member)))
            .collect(),
        other => other,
    }
}

/// Whether an answer's resource, under `normalised`, is one of the records as they are on disk.
pub fn as_recorded(resource: &Value) -> bool {
    let name = format!("{}/{}", kind(resource), id(resource));
    let found =
        all().iter().find(|record| kind(record) == kind(resource) && id(record) == id(resource));
    found.is_some_and(|record| normalised([record]).get(&name) == normalised([resource]).get(&name))
}
