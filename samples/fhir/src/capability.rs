//! The CapabilityStatement, made from what is served: the data's types and the table's parameters.

use serde_json::{Value, json};

use crate::{parameter::parameters_of, records::collections};

/// `GET /metadata` (FHIR R4, CapabilityStatement).
pub(crate) fn statement(base: &str) -> Value {
    let resources: Vec<Value> = collections()
        .map(|(kind, _)| {
            let parameters: Vec<Value> = parameters_of(kind)
                .map(|row| json!({"name": row.name, "type": row.kind.code()}))
                .collect();
            json!({
                "type": kind,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "versioning": "no-version",
                "searchParam": parameters,
            })
        })
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2025-06-30",
        "kind": "instance",
        "software": {"name": "phiward sample", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "synthetic patients, read-only", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": "Searches by GET and by POST _search; prefixes on dates; commas for or, repeats for and; \
                              pages by _count and the next link; _sort by one date; _summary=count; _total. \
                              No modifiers, chains, includes or history. Prefer: handling=strict is honoured.",
            "resource": resources,
        }],
    })
}
