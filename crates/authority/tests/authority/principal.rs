//! The principal is checked again at each redemption: attack E7.

use authority::{Decision, Step};
use domain::{Duration, Kind, Reject, Username};
use serde_json::json;

use crate::app::{ask, redemption, refused, text};
use crate::world::{USUAL, World};

const KIND: Kind = Kind::TokenRefused;
const GONE: Reject = Reject::PrincipalInactive;

#[tokio::test]
async fn a_disabled_persons_codes_and_tokens_are_dead() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let (public, bound) = (world.refresh_token("web").await, world.refresh_token("server").await);
    let tokens = world.connected("server", USUAL).await;
    let (access, kept) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    let amina = Username::parse("amina").unwrap();
    world.authority.disable_person(&amina, "test").await.unwrap();
    assert_eq!(world.introspect("server", &access).await.unwrap()["active"], false);
    assert_eq!(world.introspect("server", &kept).await.unwrap()["active"], false);
    world.refuses(KIND, GONE, world.token("web", &redemption(&code))).await;
    world.withdraws(GONE, world.refresh("web", &public)).await;
    world.withdraws(GONE, world.refresh("server", &bound)).await;
    world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
    // Enabled again, the families that were refused stay dead.
    let person = world.person("amina").await.id;
    world.store.set_person_disabled(&person, None).await.unwrap();
    world.refuses(KIND, GONE, world.refresh("web", &public)).await;
    world.refuses(KIND, GONE, world.refresh("server", &bound)).await;
}

#[tokio::test]
async fn a_password_set_anew_ends_what_older_sign_ins_allowed() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let (public, bound) = (world.refresh_token("web").await, world.refresh_token("server").await);
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    world.later(1);
    let person = world.person("amina").await.id;
    world.store.set_password(&person, "$argon2id$other", world.now()).await.unwrap();
    world.refuses(KIND, GONE, world.token("web", &redemption(&code))).await;
    world.withdraws(GONE, world.refresh("web", &public)).await;
    world.withdraws(GONE, world.refresh("server", &bound)).await;
    let step = world.step(&browser).await.unwrap();
    assert!(matches!(step, Step::SignIn(_)), "nor does the session survive");
}

#[tokio::test]
async fn a_withdrawn_grant_buys_nothing_more() {
    let world = World::new().await;
    let code = world.code("web", USUAL).await;
    let public = world.refresh_token("web").await;
    let tokens = world.connected("server", USUAL).await;
    let person = world.person("amina").await.id;
    assert_eq!(world.store.withdraw_grants_of_person(&person, world.now()).await.unwrap(), 3);
    world.refuses(KIND, Reject::CodeExpired, world.token("web", &redemption(&code))).await;
    world.refuses(KIND, GONE, world.refresh("web", &public)).await;
    let (access, bound) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
    world.refuses(KIND, GONE, world.refresh("server", &bound)).await;
    world.refuses(Kind::UserInfoRead, Reject::TokenRevoked, world.userinfo(&access)).await;
    assert_eq!(world.introspect("server", &access).await.unwrap()["active"], false);
    assert_eq!(world.introspect("server", &bound).await.unwrap()["active"], false);
}

#[tokio::test]
async fn who_may_no_longer_reach_a_patient_keeps_no_token_about_them() {
    let world = World::new().await;
    let token = world.plant("amina", Some("pat-d"), USUAL).await;
    world.withdraws(GONE, world.refresh("server", &token)).await;
    let token = world.plant("amina", Some("pat-a"), USUAL).await;
    world.refresh("server", &token).await.unwrap();
}

#[tokio::test]
async fn a_patient_unlinked_while_consent_was_shown_is_not_swapped_for_another() {
    let world = World::new().await;
    let mut browser = world.begin(&ask("web", USUAL)).await;
    world.sign_in(&mut browser, "amina").await;
    world.step(&browser).await.unwrap();
    let person = world.person("amina").await.id;
    world
        .rewrite_flow(&browser, |flow| {
            assert_eq!(flow["shown"], json!([person.as_str(), "pat-a"]));
            flow["shown"] = json!([person.as_str(), "pat-x"]);
            flow["patient"] = json!("pat-x");
        })
        .await;
    let scopes = vec!["patient/Observation.rs".to_owned()];
    let decision = Decision::Approve { scopes, duration: Duration::Day };
    assert_eq!(refused(world.decide(&browser, decision).await).0, Reject::FlowUnknown);
    assert!(world.grants().await.is_empty());
}

#[tokio::test]
async fn a_role_that_reads_no_records_keeps_no_scope_for_them() {
    let world = World::new().await;
    let token = world.plant("officer", None, USUAL).await;
    let response = world.refresh("server", &token).await.unwrap();
    assert_eq!(text(&response, "scope"), "openid offline_access");
}

#[tokio::test]
async fn a_registration_that_shrank_takes_its_scopes_along() {
    let world = World::new().await;
    let token = world.plant("amina", Some("pat-a"), "openid patient/Procedure.rs").await;
    let response = world.refresh("server", &token).await.unwrap();
    assert_eq!(text(&response, "scope"), "openid");
    let token = world.plant("amina", Some("pat-a"), "patient/Procedure.rs").await;
    world.refuses(KIND, Reject::ScopeEmpty, world.refresh("server", &token)).await;
}
