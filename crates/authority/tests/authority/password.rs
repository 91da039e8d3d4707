//! The password grant and its fence (`oauth.md`, "The password grant").

use authority::RegistrarError;
use domain::scope::ScopeSet;
use domain::{
    ClientAuthentication, ClientDraft, GrantType, Kind, Outcome, PasswordException, Reject,
    Username,
};

use crate::app::{Form, text};
use crate::record::rejected;
use crate::world::{PASSWORD, World, claims, draft};

const KIND: Kind = Kind::TokenRefused;
const READING: &str = "patient/Observation.rs";

fn sign_in(name: &str, password: &str, scope: &str) -> Form {
    Form::of(&[
        ("grant_type", "password"),
        ("username", name),
        ("password", password),
        ("scope", scope),
    ])
}

#[tokio::test]
async fn the_password_grant_is_off_for_everybody_unless_switched_on() {
    let world = World::new().await;
    let form = sign_in("amina", PASSWORD, READING);
    for client in ["legacy", "web", "server", "robot"] {
        world.refuses(KIND, Reject::GrantTypeUnsupported, world.token(client, &form)).await;
    }
}

#[tokio::test]
async fn an_exception_gives_one_short_token_and_no_way_to_prolong_it() {
    let world = World::new().await.with_password_grant();
    let mark = world.mark();
    let asked = "openid offline_access patient/Observation.rs patient/Patient.cruds";
    let response = world.token("legacy", &sign_in("amina", PASSWORD, asked)).await.unwrap();
    let json = response.to_json();
    assert_eq!(json["scope"], READING);
    assert_eq!((&json["expires_in"], &json["patient"]), (&300.into(), &"pat-a".into()));
    assert!(json.get("refresh_token").is_none() && json.get("id_token").is_none());
    assert_eq!(world.story(mark), [(Kind::TokenIssued, Outcome::Success)]);
    let body = world.records_from(mark)[0].body.clone().unwrap();
    assert_eq!(body.detail.unwrap(), "password");
    let access = text(&response, "access_token");
    assert_eq!(claims(&access)["sub"], world.person("amina").await.id.as_str());
    assert_eq!(world.introspect("legacy", &access).await.unwrap()["active"], true);
    world.later(300);
    assert_eq!(world.introspect("legacy", &access).await.unwrap()["active"], false);
}

#[tokio::test]
async fn without_an_exception_that_holds_there_is_no_password_grant() {
    let world = World::new().await.with_password_grant();
    let form = sign_in("amina", PASSWORD, READING);
    for client in ["web", "server", "robot"] {
        world.refuses(KIND, Reject::GrantTypeUnauthorized, world.token(client, &form)).await;
    }
    world.later(30 * 86_400 - 2);
    world.token("legacy", &form).await.unwrap();
    world.later(1);
    world.refuses(KIND, Reject::GrantTypeUnauthorized, world.token("legacy", &form)).await;
}

#[tokio::test]
async fn nothing_but_reading_is_given_for_a_password() {
    let world = World::new().await.with_password_grant();
    for (scope, reject) in [
        ("openid", Reject::ScopeEmpty),
        ("offline_access", Reject::ScopeEmpty),
        ("patient/Patient.cud", Reject::ScopeEmpty),
        ("patient/Patient.cruds", Reject::ScopeEmpty),
        ("patient/Condition.rs", Reject::ScopeEmpty),
        ("system/Observation.rs", Reject::ScopeEmpty),
        ("patient/*.rs", Reject::ScopeWildcard),
        ("Patient/*.rs", Reject::ScopeMalformed),
    ] {
        let form = sign_in("amina", PASSWORD, scope);
        world.refuses(KIND, reject, world.token("legacy", &form)).await;
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_password_gets_one_answer() {
    let world = World::new().await.with_password_grant();
    world.authority.disable_person(&Username::parse("dana").unwrap(), "test").await.unwrap();
    for (name, password) in
        [("amina", "wrong"), ("nobody", PASSWORD), ("dana", PASSWORD), ("a b", PASSWORD)]
    {
        let form = sign_in(name, password, READING);
        world.refuses(KIND, Reject::PasswordRefused, world.token("legacy", &form)).await;
    }
    // Whose record would it be? Nobody can be asked.
    let form = sign_in("solis", PASSWORD, READING);
    world.refuses(KIND, Reject::PasswordRefused, world.token("legacy", &form)).await;
    // A role without a record has none to give; no grant is left behind.
    let form = sign_in("officer", PASSWORD, READING);
    world.refuses(KIND, Reject::PasswordRefused, world.token("legacy", &form)).await;
}

#[tokio::test]
async fn the_sign_in_page_and_the_password_grant_slow_down_one_guesser() {
    let world = World::new().await.with_password_grant();
    let browser = world.begin(&crate::app::ask("web", READING)).await;
    for _ in 0..3 {
        let form = sign_in("amina", "wrong", READING);
        assert_eq!(rejected(world.token("legacy", &form).await), Reject::PasswordRefused);
    }
    for _ in 0..2 {
        world.attempt(&browser, "amina", "wrong").await.unwrap_err();
    }
    let form = sign_in("amina", PASSWORD, READING);
    world.refuses(KIND, Reject::PasswordThrottled, world.token("legacy", &form)).await;
    let attempt = world.attempt(&browser, "amina", PASSWORD);
    world.refuses(Kind::SignIn, Reject::SignInThrottled, attempt).await;
}

#[tokio::test]
async fn a_token_for_what_the_person_may_reach_names_no_patient() {
    let world = World::new().await.with_password_grant();
    let draft = ClientDraft {
        id: domain::ClientId::parse("desk").unwrap(),
        scopes: ScopeSet::parse("user/Observation.rs").unwrap(),
        ..exception(&world, world.exception())
    };
    let secret = world.register(draft).await.secret.unwrap();
    let desk = authority::PresentedCredentials::Secret {
        id: "desk".into(),
        secret: domain::Secret::new(secret.expose().to_owned()),
    };
    let form = sign_in("amina", PASSWORD, "user/Observation.rs");
    let response = world.token_as(Ok(desk), &form).await.unwrap();
    assert!(response.to_json().get("patient").is_none());
}

fn exception(world: &World, exception: PasswordException) -> ClientDraft {
    let secret = ClientAuthentication::Secret { hash: String::new() };
    assert!(exception.since <= world.now());
    ClientDraft {
        password_exception: Some(exception),
        ..draft("old", secret, &[GrantType::Password], READING)
    }
}

#[tokio::test]
async fn an_exception_is_reasoned_and_ends() {
    let world = World::new().await;
    let good = world.exception();
    let days = |n: i64| good.since.plus_secs(n * 86_400);
    for bad in [
        exception(&world, PasswordException { until: days(181), ..good.clone() }),
        exception(&world, PasswordException { until: good.since, ..good.clone() }),
        exception(&world, PasswordException { owner: String::new(), ..good.clone() }),
        exception(&world, PasswordException { reason: "a\nb".into(), ..good.clone() }),
        ClientDraft { password_exception: None, ..exception(&world, good.clone()) },
        ClientDraft {
            authentication: ClientAuthentication::None,
            ..exception(&world, good.clone())
        },
    ] {
        let mark = world.mark();
        let new = authority::NewClient { draft: bad };
        let answer = world.authority.register_client(new, "test").await;
        assert!(matches!(answer, Err(RegistrarError::Rule(_))));
        assert!(world.story(mark).is_empty());
    }
    world.register(exception(&world, good)).await;
}
