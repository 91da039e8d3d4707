//! What can be registered at all: attacks F3, C8, S7. A broken rule changes and records nothing.

use authority::{NewClient, NewPerson, RegistrarError};
use domain::scope::ScopeSet;
use domain::{
    ClientAuthentication, ClientDraft, ClientId, GrantType, Kind, Outcome, PersonRole, Phi,
    RedirectUri, Secret, Username,
};

use crate::world::{PASSWORD, World, draft};

const APP: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::RefreshToken];

fn app() -> ClientDraft {
    draft("app", ClientAuthentication::None, &APP, "openid patient/Patient.rs")
}

fn secret() -> ClientAuthentication {
    ClientAuthentication::Secret { hash: "0".repeat(64) }
}

fn machine(authentication: ClientAuthentication, scopes: &str) -> ClientDraft {
    draft("app", authentication, &[GrantType::ClientCredentials], scopes)
}

#[tokio::test]
async fn a_registration_that_breaks_a_rule_is_not_made() {
    let world = World::new().await;
    let key = |jwks: &str| ClientAuthentication::PrivateKeyJwt { jwks: jwks.into() };
    let private = world.robot.private_jwk().unwrap();
    let private = format!("{{\"keys\":[{}]}}", private.expose());
    let named = |id: &str| ClientDraft { id: ClientId::parse(id).unwrap(), ..app() };
    for bad in [
        named("p_amina"),
        ClientDraft { name: String::new(), ..app() },
        ClientDraft { name: "Lab\u{0}Trends".into(), ..app() },
        ClientDraft { purpose: "x".repeat(201), ..app() },
        ClientDraft { grants: vec![], ..app() },
        ClientDraft { redirect_uris: vec![], ..app() },
        ClientDraft { grants: vec![GrantType::RefreshToken], redirect_uris: vec![], ..app() },
        ClientDraft { grants: vec![GrantType::ClientCredentials], ..app() },
        ClientDraft { scopes: ScopeSet::parse("system/Patient.rs").unwrap(), ..app() },
        machine(ClientAuthentication::None, "openid"),
        machine(secret(), "system/Patient.rs"),
        machine(key("{}"), "system/Patient.rs"),
        machine(key(&private), "system/Patient.rs"),
        draft("app", key("{}"), &APP, "openid"),
    ] {
        let (mark, before) = (world.mark(), world.store.clients().await.unwrap());
        let answer = world.authority.register_client(NewClient { draft: bad }, "test").await;
        assert!(matches!(answer, Err(RegistrarError::Rule(_))));
        assert!(world.story(mark).is_empty());
        assert!(world.store.clients().await.unwrap() == before);
    }
    let mark = world.mark();
    world.register(app()).await;
    assert_eq!(world.story(mark), [(Kind::AdminChange, Outcome::Success)]);
}

#[tokio::test]
async fn a_taken_name_stays_its_owners() {
    let world = World::new().await;
    let web = ClientId::parse("web").unwrap();
    let before = world.store.client(&web).await.unwrap();
    let usurper = ClientDraft { id: web.clone(), ..draft("web", secret(), &APP, "openid") };
    let answer = world.authority.register_client(NewClient { draft: usurper }, "test").await;
    assert!(matches!(answer, Err(RegistrarError::Exists(_))));
    assert!(world.store.client(&web).await.unwrap() == before);
}

#[tokio::test]
async fn a_client_secret_is_ours_to_draw_and_is_kept_as_a_keyed_hash() {
    let world = World::new().await;
    let registered = world.register(draft("app", secret(), &APP, "openid")).await;
    let shown = registered.secret.unwrap();
    let kept = world.store.client(&registered.id).await.unwrap().unwrap();
    let ClientAuthentication::Secret { hash } = kept.draft.authentication else { panic!() };
    assert_eq!(hash, world.parts.hash_key.hash(&shown).to_string());
}

#[test]
fn no_script_plaintext_or_wildcard_can_be_redirected_to() {
    for bad in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "Data:text/html,x",
        "vbscript:x",
        "http://app.example/callback",
        "https://*.app.example/callback",
        "https://app.example/callback#x",
        "https://user@app.example/callback",
        "//app.example/callback",
    ] {
        assert!(RedirectUri::parse(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_person_needs_a_password_of_some_length_and_a_name_of_their_own() {
    let world = World::new().await;
    let new = |name: &str, password: &str| NewPerson {
        username: Username::parse(name).unwrap(),
        display_name: Phi::new("New".into()),
        role: PersonRole::Patient,
        own_record: None,
        acts_for: vec![],
        fhir_user: None,
        password: Secret::new(password.into()),
    };
    let mark = world.mark();
    let answer = world.authority.add_person(new("new", "elevenchars"), "test").await;
    assert!(matches!(answer, Err(RegistrarError::Rule(_))));
    let answer = world.authority.add_person(new("amina", PASSWORD), "test").await;
    assert!(matches!(answer, Err(RegistrarError::Exists(_))));
    assert!(world.story(mark).is_empty());
    world.authority.add_person(new("new", PASSWORD), "test").await.unwrap();
}
