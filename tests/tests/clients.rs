//! Clients that we did not write, unmodified, over real TLS: code + PKCE, laboratory results, refresh, results again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::process::Command;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType, CoreUserInfoClaims,
};
use openidconnect::reqwest;
use openidconnect::{
    AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyAdditionalClaims,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, ExtraTokenFields, IdTokenFields, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse,
};
use phiward_journeys::{App, Demo, LAB_SCOPE, Partners, records, repository};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What SMART adds to a token response.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Smart {
    patient: String,
}

impl ExtraTokenFields for Smart {}

type SmartToken = StandardTokenResponse<
    IdTokenFields<
        EmptyAdditionalClaims,
        Smart,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type SmartClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    SmartToken,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Whether these are this patient's laboratory results: nothing else, and everything that no label restricts.
fn are_the_labs_of(patient: &str, found: &BTreeSet<String>) {
    let labs = records::observations(patient, "laboratory");
    let all: BTreeSet<String> = labs.iter().map(|lab| records::id(lab)).collect();
    assert!(found.is_subset(&all), "not labs of {patient}: {:?}", found.difference(&all));
    for lab in labs.iter().filter(|lab| records::unrestricted(lab)) {
        assert!(found.contains(&records::id(lab)), "{} is missing", lab["id"]);
    }
}

async fn with_openidconnect(client_id: &str) {
    let demo = Demo::start(&[]);
    let known = demo.ready.client(client_id);
    let redirect_uri = known.redirect_uri.clone().unwrap();
    let ca = std::fs::read(&demo.ready.ca_file).unwrap();
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .build()
        .unwrap();

    let issuer = IssuerUrl::new(demo.ready.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    let userinfo_url = metadata.userinfo_endpoint().cloned().expect("a userinfo endpoint");
    let client = SmartClient::from_provider_metadata(
        metadata,
        ClientId::new(client_id.to_owned()),
        known.client_secret.clone().map(ClientSecret::new),
    )
    .set_redirect_uri(RedirectUrl::new(redirect_uri.clone()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(
            ["fhirUser", "offline_access", "launch/patient", LAB_SCOPE]
                .map(|s| Scope::new(s.to_owned())),
        )
        .add_extra_param("aud", demo.ready.fhir_base.clone())
        .set_pkce_challenge(challenge)
        .url();
    let back = demo.person("amina").authorize(url.as_str(), &redirect_uri).await;
    assert_eq!(back.get("state"), state.secret());
    assert_eq!(back.get("iss"), demo.ready.issuer);

    let token = client
        .exchange_code(AuthorizationCode::new(back.get("code").to_owned()))
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await
        .unwrap();
    let id_token = token.id_token().expect("an ID token");
    let claims = id_token.claims(&client.id_token_verifier(), &nonce).unwrap();
    assert!(matches!(
        id_token.signing_alg().unwrap(),
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256
    ));
    let userinfo: CoreUserInfoClaims = client
        .user_info(token.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
    assert_eq!(userinfo.subject(), claims.subject());
    assert!(userinfo_url.as_str().starts_with(&demo.ready.issuer));

    let granted: BTreeSet<&str> =
        token.scopes().unwrap().iter().map(|scope| scope.as_str()).collect();
    assert!(granted.contains(LAB_SCOPE), "{granted:?}");
    let patient = token.extra_fields().extra_fields().patient.clone();
    assert_eq!(patient, demo.ready.patient("amina"));
    let app = App::of(&demo, client_id);
    let labs = |found: Vec<Value>| found.iter().map(records::id).collect::<BTreeSet<_>>();
    let first = labs(app.search("Observation", token.access_token().secret()).await);
    are_the_labs_of(&patient, &first);

    let refreshed = client
        .exchange_refresh_token(token.refresh_token().expect("a refresh token"))
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
    assert_ne!(refreshed.access_token().secret(), token.access_token().secret());
    assert_eq!(refreshed.extra_fields().extra_fields().patient, patient);
    assert_eq!(labs(app.search("Observation", refreshed.access_token().secret()).await), first);
}

#[tokio::test]
async fn openidconnect_as_a_public_client() {
    with_openidconnect("demo-native").await;
}

#[tokio::test]
async fn openidconnect_as_a_confidential_client() {
    with_openidconnect("demo-confidential").await;
}

/// Runs a script of `tests/partners` for a person and an app; its line of JSON.
fn script(demo: &Demo, mut command: Command, username: &str, client_id: &str) -> Value {
    let patient = demo.ready.user(username).patient.clone();
    let output = command
        .env("PHIWARD_DEMO", &demo.line)
        .env("PHIWARD_USER", username)
        .env("PHIWARD_CLIENT", client_id)
        .env("PHIWARD_PATIENT", patient.unwrap_or_else(|| demo.ready.patient("amina").to_owned()))
        .env("PHIWARD_SCREENSHOTS", repository().join("target/screenshots"))
        .env("NODE_EXTRA_CA_CERTS", &demo.ready.ca_file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{} failed:\n{said}{}",
        command.get_args().last().unwrap().to_string_lossy(),
        String::from_utf8_lossy(&output.stderr)
    );
    let line = said.trim_end().lines().next_back().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What every one of them must have seen.
fn read_the_labs_twice(demo: &Demo, result: &Value) {
    assert!(result.get("error").is_none(), "{result}");
    let patient = demo.ready.patient("amina");
    for key in ["patient", "patient_refreshed"] {
        assert_eq!(result[key], patient, "{key}");
    }
    for key in ["labs", "labs_refreshed"] {
        let labs: Vec<String> = result[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect();
        let found: BTreeSet<String> = labs.iter().cloned().collect();
        assert_eq!(found.len(), labs.len(), "a result came twice");
        are_the_labs_of(patient, &found);
    }
    for key in ["scope", "scope_refreshed"] {
        let scope = result[key].as_str().unwrap();
        assert!(scope.split(' ').any(|one| one == LAB_SCOPE), "{key}: {scope}");
        assert!(!scope.contains('*'));
    }
    if let Some(sub) = result.get("sub") {
        assert_eq!(sub, &result["userinfo_sub"]);
    }
}

#[test]
fn openid_client_as_a_public_client() {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result = script(&demo, partners.node("openid-client/journey.mjs"), "amina", "demo-native");
    read_the_labs_twice(&demo, &result);
    assert_eq!(result["rotated"], true, "a public client's refresh token rotates");
    // SMART 2.2: `fhirUser` is a full URL.
    let mine = format!("{}/Patient/{}", demo.ready.fhir_base, demo.ready.patient("amina"));
    assert_eq!(result["fhir_user"], mine);
}

#[test]
fn openid_client_as_a_confidential_client_that_introspects_and_revokes() {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result =
        script(&demo, partners.node("openid-client/journey.mjs"), "amina", "demo-confidential");
    read_the_labs_twice(&demo, &result);
    assert_eq!(
        result["rotated"], false,
        "a confidential client's refresh token is bound to it and stays"
    );
    let seen = &result["introspection"];
    assert_eq!(seen["active"], true);
    assert_eq!(seen["client_id"], "demo-confidential");
    assert_eq!(seen["patient"], demo.ready.patient("amina"));
    assert_eq!(result["after_revocation"], 401);
}

#[test]
fn openid_client_as_a_backend_with_a_key_of_its_own() {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result = script(&demo, partners.node("openid-client/backend.mjs"), "amina", "demo-backend");
    assert_eq!(result["scope"], "system/Observation.rs");
    assert_eq!(result["refresh_token"], false);
    assert!(result["expires_in"].as_i64().unwrap() <= 300);
    assert_eq!(result["status"], 200);
    let subjects: BTreeSet<&str> =
        result["subjects"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(subjects.len() >= 2, "a system's token is for more than one patient: {subjects:?}");
    assert_eq!(result["beyond"], "invalid_scope");
}

#[test]
fn authlib_as_a_public_client() {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result = script(&demo, partners.python("authlib/journey.py"), "amina", "demo-native");
    read_the_labs_twice(&demo, &result);
    assert_eq!(result["rotated"], true);
}

#[test]
fn authlib_as_a_confidential_client() {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result = script(&demo, partners.python("authlib/journey.py"), "amina", "demo-confidential");
    read_the_labs_twice(&demo, &result);
}

/// In Chromium, with every page photographed and looked at for what no page may have.
fn in_chromium(username: &str, shots: &[&str]) {
    let (partners, demo) = (Partners::ready(), Demo::start(&[]));
    let result = script(&demo, partners.node("browser/journey.mjs"), username, "demo-native");
    read_the_labs_twice(&demo, &result);
    assert_eq!(result["new_access_token"], true);
    if let Some(patient) = &demo.ready.user(username).patient {
        assert_eq!(result["fhir_user"], format!("Patient/{patient}"));
    }
    assert_eq!(result["faults"], Value::Array(Vec::new()));
    let seen: Vec<&str> =
        result["shots"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for shot in shots {
        assert!(seen.contains(shot), "no {shot} page was shown: {seen:?}");
    }
}

#[test]
fn fhirclient_launches_standalone_in_chromium_for_a_patient() {
    in_chromium("amina", &["sign-in", "sign-in-refused", "consent", "error"]);
}

#[test]
fn fhirclient_launches_standalone_in_chromium_for_a_clinician_who_picks_the_patient() {
    in_chromium("drsolis", &["sign-in", "patient", "consent"]);
}
