#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

mod data;
mod endpoint;
mod paging;
mod wire;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use phiward_sample_fhir::Sample;
use serde_json::Value;

pub(crate) const BASE: &str = "http://127.0.0.1:1/r4";

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

pub(crate) fn ask(
    method: &Method,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Answer {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let response = Sample::new(BASE).handle(method, target, &headers, body.as_bytes());
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        json: serde_json::from_slice(response.body()).unwrap(),
    }
}

pub(crate) fn get(target: &str) -> Answer {
    ask(&Method::GET, target, &[], "")
}

/// The resources of a searchset that must be there.
pub(crate) fn found(target: &str) -> Vec<Value> {
    let answer = get(target);
    assert_eq!(answer.status, StatusCode::OK, "{target}: {}", answer.json);
    entries(&answer.json)
}

pub(crate) fn entries(bundle: &Value) -> Vec<Value> {
    bundle["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["resource"].clone())
        .collect()
}

/// Every match, over all pages.
pub(crate) fn all(target: &str) -> Vec<Value> {
    let mut bundle = get(target).json;
    let mut resources = entries(&bundle);
    while let Some(next) = link(&bundle, "next") {
        bundle = get(next.strip_prefix(BASE).unwrap()).json;
        assert!(!entries(&bundle).is_empty());
        resources.extend(entries(&bundle));
    }
    resources
}

pub(crate) fn link(bundle: &Value, relation: &str) -> Option<String> {
    bundle["link"]
        .as_array()?
        .iter()
        .find(|link| link["relation"] == relation)
        .map(|link| link["url"].as_str().unwrap().to_owned())
}

/// Whose record it is; `None` for what people share.
pub(crate) fn owner(resource: &Value) -> Option<String> {
    if resource["resourceType"] == "Patient" {
        return Some(resource["id"].as_str()?.to_owned());
    }
    ["subject", "patient"]
        .iter()
        .find_map(|name| resource[*name]["reference"].as_str())
        .map(|reference| reference.strip_prefix("Patient/").unwrap().to_owned())
}
