//! Discovery documents (RFC 8414; OpenID Connect Discovery 1.0; SMART App Launch 2.2; RFC 9728). They
//! name only what works, and no URL in them comes from a request.

use serde_json::{Value, json};

use crate::{PasswordGrant, Settings};

/// Methods of the token, revocation and introspection endpoints.
const CLIENT_AUTHENTICATION: [&str; 4] =
    ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
/// Methods for endpoints that only a confidential client may use.
const CONFIDENTIAL: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// Algorithms of client assertions (SMART App Launch 2.2: RS384 and ES384; FAPI 2.0 §5.4 the others).
const ASSERTION_ALGORITHMS: [&str; 5] = ["RS384", "ES384", "ES256", "PS256", "EdDSA"];
/// Scopes by example: resource scopes are a grammar, not a list.
const SCOPES: [&str; 9] = [
    "openid",
    "fhirUser",
    "profile",
    "launch/patient",
    "offline_access",
    "online_access",
    "patient/Observation.rs",
    "user/Observation.rs",
    "system/Observation.rs",
];

/// The members that RFC 8414 and OpenID Connect Discovery have in common.
fn common(settings: &Settings) -> Value {
    let mut grants = vec!["authorization_code", "refresh_token", "client_credentials"];
    if settings.password_grant == PasswordGrant::Exceptions {
        grants.push("password");
    }
    json!({
        "issuer": settings.issuer,
        "authorization_endpoint": settings.endpoint("/oauth/authorize"),
        "token_endpoint": settings.endpoint("/oauth/token"),
        "introspection_endpoint": settings.endpoint("/oauth/introspect"),
        "revocation_endpoint": settings.endpoint("/oauth/revoke"),
        "jwks_uri": settings.endpoint("/oauth/jwks"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL,
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "protected_resources": [settings.fhir_base],
    })
}

/// `/.well-known/oauth-authorization-server` (RFC 8414 §2).
pub fn oauth_authorization_server(settings: &Settings) -> Value {
    common(settings)
}

/// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §3).
pub fn openid_configuration(settings: &Settings) -> Value {
    extended(
        common(settings),
        json!({
            "userinfo_endpoint": settings.endpoint("/oauth/userinfo"),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported":
                ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "name", "fhirUser"],
            "claims_parameter_supported": false,
        }),
    )
}

/// `<FHIR base>/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance").
pub fn smart_configuration(settings: &Settings) -> Value {
    json!({
        "issuer": settings.issuer,
        "jwks_uri": settings.endpoint("/oauth/jwks"),
        "authorization_endpoint": settings.endpoint("/oauth/authorize"),
        "token_endpoint": settings.endpoint("/oauth/token"),
        "introspection_endpoint": settings.endpoint("/oauth/introspect"),
        "revocation_endpoint": settings.endpoint("/oauth/revoke"),
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTHENTICATION,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": [
            "launch-standalone",
            "authorize-post",
            "client-public",
            "client-confidential-symmetric",
            "client-confidential-asymmetric",
            "sso-openid-connect",
            "context-standalone-patient",
            "permission-offline",
            "permission-online",
            "permission-patient",
            "permission-user",
            "permission-v1",
            "permission-v2",
        ],
    })
}

/// `/.well-known/oauth-protected-resource/fhir` (RFC 9728 §2).
pub fn protected_resource(settings: &Settings) -> Value {
    json!({
        "resource": settings.fhir_base,
        "authorization_servers": [settings.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": SCOPES,
        "resource_name": "FHIR R4",
    })
}

fn extended(mut document: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (document.as_object_mut(), more) {
        members.extend(more);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_grant_is_never_in_smart_discovery() {
        let mut settings = Settings::new("https://as.example");
        settings.password_grant = PasswordGrant::Exceptions;
        assert!(!smart_configuration(&settings).to_string().contains("password"));
        assert!(
            oauth_authorization_server(&settings)["grant_types_supported"]
                .to_string()
                .contains("password")
        );
    }

    #[test]
    fn every_url_is_built_from_the_issuer() {
        let settings = Settings::new("https://as.example");
        for document in [
            openid_configuration(&settings),
            smart_configuration(&settings),
            protected_resource(&settings),
        ] {
            for value in document.as_object().unwrap().values().filter_map(Value::as_str) {
                assert!(
                    !value.contains("://") || value.starts_with("https://as.example"),
                    "{value}"
                );
            }
        }
    }
}
