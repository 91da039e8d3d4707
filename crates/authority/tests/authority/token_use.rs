//! Introspection, revocation, userinfo: attacks E1, E6, S9, R11, J10.

use authority::PresentedCredentials;
use domain::{Kind, Outcome, Reject, Secret};
use serde_json::json;

use crate::app::{Form, text};
use crate::world::{FHIR, ISSUER, USUAL, World};

const KIND: Kind = Kind::TokenRefused;

#[tokio::test]
async fn a_client_sees_its_own_tokens() {
    let world = World::new().await;
    let scope = "openid fhirUser offline_access patient/Observation.rs";
    let tokens = world.connected("server", scope).await;
    let mark = world.mark();
    let seen = world.introspect("server", &text(&tokens, "access_token")).await.unwrap();
    assert_eq!(world.story(mark), [(Kind::TokenIntrospected, Outcome::Success)]);
    assert_eq!(seen["active"], true);
    assert_eq!((&seen["iss"], &seen["aud"]), (&json!(ISSUER), &json!(FHIR)));
    assert_eq!((&seen["client_id"], &seen["patient"]), (&json!("server"), &json!("pat-a")));
    assert_eq!(seen["scope"], scope);
    assert_eq!(seen["exp"], world.now().secs() + 300);
    assert_eq!(seen["sub"], world.person("amina").await.id.as_str());
    assert_eq!(seen["fhirUser"], format!("{FHIR}/Patient/pat-a"));
    let seen = world.introspect("server", &text(&tokens, "refresh_token")).await.unwrap();
    assert_eq!((&seen["active"], &seen["scope"]), (&json!(true), &json!(scope)));
}

#[tokio::test]
async fn anything_else_is_inactive_and_nothing_more() {
    let world = World::new().await;
    let own = world.connected("server", USUAL).await;
    let foreign = world.connected("server2", USUAL).await;
    let public = world.connected("web", USUAL).await;
    let over = text(&world.connected("server", USUAL).await, "refresh_token");
    world.revoke("server", &over).await.unwrap();
    let access = text(&own, "access_token");
    for token in [
        &*text(&foreign, "access_token"),
        &text(&foreign, "refresh_token"),
        &text(&public, "access_token"),
        &text(&public, "refresh_token"),
        &text(&own, "id_token"),
        &over,
        &access[..access.len() - 4],
        &format!("{access}x"),
        &world.secret("server"),
        "x",
    ] {
        let seen = world.introspect("server", token).await.unwrap();
        assert_eq!(seen, json!({ "active": false }));
    }
    world.later(300);
    let seen = world.introspect("server", &access).await.unwrap();
    assert_eq!(seen, json!({ "active": false }));
}

#[tokio::test]
async fn only_a_client_that_proves_itself_may_ask_about_tokens() {
    let world = World::new().await;
    let access = text(&world.connected("web", USUAL).await, "access_token");
    let missing = Reject::ClientAuthenticationMissing;
    world.refuses(KIND, missing, world.introspect("web", &access)).await;
    let form = Form::of(&[("token", &access)]).parameters();
    let caller = world.caller();
    let nobody = world.authority.introspect(Ok(PresentedCredentials::Nothing), &form, &caller);
    world.refuses(KIND, missing, nobody).await;
    let empty = Form::of(&[]).parameters();
    let credentials = Ok(world.credentials("server"));
    let attempt = world.authority.introspect(credentials, &empty, &caller);
    world.refuses(KIND, Reject::ParameterMissing, attempt).await;
    let twice = Form::of(&[("token", "a"), ("token", "b")]).parameters();
    let credentials = Ok(world.credentials("server"));
    let attempt = world.authority.introspect(credentials, &twice, &caller);
    world.refuses(KIND, Reject::ParameterDuplicate, attempt).await;
}

#[tokio::test]
async fn giving_back_a_refresh_token_ends_all_that_rests_on_its_grant() {
    let world = World::new().await;
    for client in ["web", "server"] {
        let tokens = world.connected(client, USUAL).await;
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        world.userinfo(&access).await.unwrap();
        let mark = world.mark();
        world.revoke(client, &refresh).await.unwrap();
        assert_eq!(world.story(mark), [(Kind::TokenRevoked, Outcome::Success)]);
        world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
        let again = world.refresh(client, &refresh);
        world.refuses(KIND, Reject::PrincipalInactive, again).await;
        world.revoke(client, &refresh).await.unwrap();
    }
}

#[tokio::test]
async fn giving_back_an_access_token_ends_only_that() {
    let world = World::new().await;
    let tokens = world.connected("server", USUAL).await;
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    world.revoke("server", &access).await.unwrap();
    world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
    world.refresh("server", &refresh).await.unwrap();
}

#[tokio::test]
async fn the_record_of_a_token_says_whose_it_was_and_nothing_of_another_clients() {
    let world = World::new().await;
    let tokens = world.connected("server", USUAL).await;
    let access = text(&tokens, "access_token");
    let sub = world.person("amina").await.id.to_string();
    let last = |mark| world.records_from(mark).pop().unwrap().body.unwrap();
    let mark = world.mark();
    world.introspect("server", &access).await.unwrap();
    world.userinfo(&access).await.unwrap();
    world.revoke("server", &access).await.unwrap();
    let records = world.records_from(mark);
    assert_eq!(records.len(), 3);
    for record in records {
        let body = record.body.unwrap();
        assert_eq!(body.subject.as_deref(), Some(sub.as_str()));
        assert!(body.jti_hash.is_some() && body.grant.is_some() && body.scopes.is_some());
    }
    let mark = world.mark();
    world.revoke("server2", &access).await.unwrap();
    let body = last(mark);
    assert_eq!((body.subject, body.jti_hash), (None, None));
}

#[tokio::test]
async fn nobody_gives_back_a_token_that_is_not_theirs() {
    let world = World::new().await;
    let tokens = world.connected("server", USUAL).await;
    let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    for (client, token) in
        [("server2", &*access), ("server2", &refresh), ("web", &refresh), ("server", "x")]
    {
        // Answered as if it were done: whether it exists is none of theirs to know.
        world.revoke(client, token).await.unwrap();
    }
    world.userinfo(&access).await.unwrap();
    world.refresh("server", &refresh).await.unwrap();
    let bare = PresentedCredentials::Bare("server".into());
    let form = Form::of(&[("token", &refresh)]).parameters();
    let caller = world.caller();
    let attempt = world.authority.revoke(Ok(bare), &form, &caller);
    world.refuses(KIND, Reject::ClientAuthenticationMissing, attempt).await;
}

#[tokio::test]
async fn userinfo_tells_what_the_scopes_name() {
    let world = World::new().await;
    let sub = json!(world.person("amina").await.id.as_str());
    for (scope, expected) in [
        ("openid patient/Patient.rs", json!({ "sub": sub })),
        ("openid profile", json!({ "sub": sub, "name": "amina Diallo" })),
        ("openid fhirUser", json!({ "sub": sub, "fhirUser": format!("{FHIR}/Patient/pat-a") })),
    ] {
        let access = text(&world.connected("web", scope).await, "access_token");
        let mark = world.mark();
        assert_eq!(world.userinfo(&access).await.unwrap(), expected);
        assert_eq!(world.story(mark), [(Kind::UserInfoRead, Outcome::Success)]);
    }
}

#[tokio::test]
async fn userinfo_serves_a_token_for_this_server_alone_too() {
    let world = World::new().await;
    let form = crate::app::ask("web", "openid").without("aud");
    let mut browser = world.begin(&form).await;
    world.sign_in(&mut browser, "amina").await;
    let code = world.allow(&browser, "openid", domain::Duration::Day).await;
    let tokens = world.token("web", &crate::app::redemption(&code)).await.unwrap();
    let access = text(&tokens, "access_token");
    assert_eq!(crate::world::claims(&access)["aud"], ISSUER);
    world.userinfo(&access).await.unwrap();
}

#[tokio::test]
async fn userinfo_takes_access_tokens_of_people_with_openid_and_nothing_else() {
    let world = World::new().await;
    let kind = Kind::UserInfoRead;
    let tokens = world.connected("web", USUAL).await;
    let access = text(&tokens, "access_token");
    let form = Form::of(&[("grant_type", "client_credentials"), ("scope", "system/Patient.rs")]);
    let machine = text(&world.token("robot", &form).await.unwrap(), "access_token");
    let plain = text(&world.connected("web", "patient/Patient.rs").await, "access_token");
    let (head, rest) = access.split_once('.').unwrap();
    for (token, reject) in [
        (&*text(&tokens, "id_token"), Reject::TokenWrongKind),
        (&text(&tokens, "refresh_token"), Reject::TokenMalformed),
        (&world.assertion(&world.assertion_claims()), Reject::TokenWrongKind),
        (&machine, Reject::ScopeInsufficient),
        (&plain, Reject::ScopeInsufficient),
        (&format!("{head}A.{rest}"), Reject::TokenMalformed),
        (&access[..access.len() - 1], Reject::TokenMalformed),
        (&access.to_lowercase(), Reject::TokenMalformed),
        ("", Reject::TokenMalformed),
    ] {
        world.refuses(kind, reject, world.userinfo(token)).await;
    }
    let caller = world.caller();
    let none = world.authority.userinfo(Err::<Secret<String>, _>(Reject::TokenMissing), &caller);
    world.refuses(kind, Reject::TokenMissing, none).await;
    world.later(300);
    world.refuses(kind, Reject::TokenExpired, world.userinfo(&access)).await;
}
