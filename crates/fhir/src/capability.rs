//! Our own CapabilityStatement, made from the tables and from nothing of the upstream's
//! (`gateway.md`, row 37). It carries SMART's `oauth-uris` extension, the only thing some clients read.

use serde_json::{Value, json};

use crate::table::{Subject, TYPES};

/// What the statement says beyond the tables.
#[derive(Clone, Copy, Debug)]
pub struct CapabilityInput<'a> {
    /// Our FHIR base.
    pub base: &'a str,
    /// The authorization endpoint.
    pub authorize: &'a str,
    /// The token endpoint.
    pub token: &'a str,
    /// The revocation endpoint.
    pub revoke: &'a str,
    /// The introspection endpoint.
    pub introspect: &'a str,
    /// `YYYY-MM-DD`, when this document last changed.
    pub date: &'a str,
}

/// The document's JSON.
pub fn capability_statement(input: &CapabilityInput<'_>) -> String {
    let resources: Vec<Value> = TYPES
        .iter()
        .map(|row| {
            let mut entry = json!({
                "type": row.resource_type.name(),
                "interaction": [{"code": "read"}],
                "versioning": "no-version",
            });
            if row.subject != Subject::Nobody
                && let Some(entry) = entry.as_object_mut()
            {
                let parameters: Vec<Value> = row
                    .parameters()
                    .map(|p| json!({"name": p.name, "type": p.kind.code()}))
                    .collect();
                entry.insert(
                    "interaction".into(),
                    json!([{"code": "read"}, {"code": "search-type"}]),
                );
                entry.insert("searchParam".into(), parameters.into());
            }
            entry
        })
        .collect();
    let uri = |name: &str, value: &str| json!({"url": name, "valueUri": value});
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": input.date,
        "kind": "instance",
        "software": {"name": "Phiward"},
        "implementation": {"description": "FHIR R4 gateway", "url": input.base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": {
                "cors": true,
                "service": [{"coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR",
                }]}],
                "extension": [{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": [
                        uri("authorize", input.authorize),
                        uri("token", input.token),
                        uri("revoke", input.revoke),
                        uri("introspect", input.introspect),
                    ],
                }],
            },
            "resource": resources,
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_lists_what_the_tables_serve_row_37() {
        let input = CapabilityInput {
            base: "https://us/fhir",
            authorize: "https://us/oauth/authorize",
            token: "https://us/oauth/token",
            revoke: "https://us/oauth/revoke",
            introspect: "https://us/oauth/introspect",
            date: "2026-01-01",
        };
        let json: Value = serde_json::from_str(&capability_statement(&input)).unwrap();
        let resources = json["rest"][0]["resource"].as_array().unwrap();
        assert_eq!(resources.len(), TYPES.len());
        let practitioner = resources.iter().find(|r| r["type"] == "Practitioner").unwrap();
        assert!(practitioner.get("searchParam").is_none());
        let uris = &json["rest"][0]["security"]["extension"][0]["extension"];
        assert_eq!(uris[1]["valueUri"], "https://us/oauth/token");
    }
}
