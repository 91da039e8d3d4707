//! Client credentials: attack S4.

use authority::PresentedCredentials;
use domain::{ClientAuthentication, GrantType, Kind, Outcome, Reject, Secret};
use keys::opaque::{Opaque, OpaqueKind};

use crate::app::{Form, text};
use crate::world::{FHIR, ISSUER, World, claims, draft};

const KIND: Kind = Kind::TokenRefused;

fn machine(scope: &str) -> Form {
    Form::of(&[("grant_type", "client_credentials"), ("scope", scope)])
}

#[tokio::test]
async fn a_client_with_a_key_acts_for_itself_for_a_few_minutes() {
    let world = World::new().await;
    let mark = world.mark();
    let response = world.token("robot", &machine("system/Observation.rs")).await.unwrap();
    assert_eq!(world.story(mark), [(Kind::TokenIssued, Outcome::Success)]);
    let json = response.to_json();
    assert_eq!(
        (&json["scope"], &json["expires_in"]),
        (&"system/Observation.rs".into(), &300.into())
    );
    assert!(json.get("refresh_token").is_none() && json.get("id_token").is_none());
    let access = claims(&text(&response, "access_token"));
    assert_eq!((&access["sub"], &access["aud"]), (&"robot".into(), &FHIR.into()));
    assert!(access.get("patient").is_none());
}

#[tokio::test]
async fn nothing_beyond_the_registration_is_given_to_a_machine_not_even_in_part() {
    let world = World::new().await;
    for (scope, reject) in [
        ("system/Condition.rs", Reject::ScopeUnregistered),
        ("system/Patient.rs system/Condition.rs", Reject::ScopeUnregistered),
        ("system/Patient.cruds", Reject::ScopeUnregistered),
        ("patient/Patient.rs", Reject::ScopeUnregistered),
        ("user/Patient.rs", Reject::ScopeUnregistered),
        ("openid", Reject::ScopeUnregistered),
        ("offline_access", Reject::ScopeUnregistered),
        ("system/Patient.rs stranger", Reject::ScopeUnregistered),
        ("system/*.rs", Reject::ScopeWildcard),
        ("system/Patient.rs patient/Patient.rs", Reject::ScopeMalformed),
        ("system:Patient.read", Reject::ScopeMalformed),
    ] {
        world.refuses(KIND, reject, world.token("robot", &machine(scope))).await;
    }
    let form = machine("x").without("scope");
    world.refuses(KIND, Reject::ParameterMissing, world.token("robot", &form)).await;
    world.token("robot", &machine("system/Patient.r")).await.unwrap();
}

#[tokio::test]
async fn a_shared_secret_opens_no_records() {
    let world = World::new().await;
    for scope in ["system/Patient.rs", "openid"] {
        let attempt = world.token("batch", &machine(scope));
        world.refuses(KIND, Reject::ScopeUnregistered, attempt).await;
    }
    // Not even if a registration says so, which none of ours can.
    let secret = Opaque::generate(OpaqueKind::ClientSecret, &*world.parts.random).unwrap();
    let hash = world.parts.hash_key.hash(&secret).to_string();
    let authentication = ClientAuthentication::Secret { hash };
    let grants = [GrantType::ClientCredentials];
    let planted = draft("planted", authentication, &grants, "system/Patient.rs");
    assert!(world.store.insert_client(&planted, world.now()).await.unwrap());
    let credentials = PresentedCredentials::Secret {
        id: "planted".into(),
        secret: Secret::new(secret.expose().to_owned()),
    };
    let attempt = world.token_as(Ok(credentials), &machine("system/Patient.rs"));
    world.refuses(KIND, Reject::ScopeUnregistered, attempt).await;
}

#[tokio::test]
async fn a_client_uses_only_the_grants_it_is_registered_for() {
    let world = World::new().await.with_password_grant();
    for client in ["web", "server", "legacy"] {
        let attempt = world.token(client, &machine("system/Patient.rs"));
        world.refuses(KIND, Reject::GrantTypeUnauthorized, attempt).await;
    }
    for form in [crate::app::redemption("x"), crate::app::refreshing("x")] {
        let attempt = world.token("robot", &form);
        world.refuses(KIND, Reject::GrantTypeUnauthorized, attempt).await;
    }
}

#[tokio::test]
async fn a_machines_token_is_for_the_fhir_server() {
    let world = World::new().await;
    let form = machine("system/Patient.rs");
    for bad in [
        form.clone().with("resource", ISSUER),
        form.clone().with("audience", "https://evil.example/fhir"),
        form.clone().with("resource", FHIR).and("resource", FHIR),
    ] {
        world.refuses(KIND, Reject::TargetInvalid, world.token("robot", &bad)).await;
    }
    world.token("robot", &form.with("resource", FHIR)).await.unwrap();
}
