//! Refresh tokens: attacks E5, R3 to R5, R11, S1, C6.

use std::sync::Arc;

use domain::{Kind, Outcome, Reject};
use tokio::task::JoinSet;

use crate::app::{refreshing, text};
use crate::record::rejected;
use crate::world::{FHIR, USUAL, World, claims};

const KIND: Kind = Kind::TokenRefused;
const DAY: i64 = 86_400;

#[tokio::test]
async fn a_public_client_gets_a_successor_and_a_confidential_one_keeps_its_own() {
    let world = World::new().await;
    let first = world.refresh_token("web").await;
    let mark = world.mark();
    let response = world.refresh("web", &first).await.unwrap();
    assert_eq!(world.story(mark), [(Kind::TokenRefreshed, Outcome::Success)]);
    let second = text(&response, "refresh_token");
    assert!(second.starts_with("phr_") && second != first);
    assert_eq!(text(&response, "scope"), USUAL);
    assert_eq!(text(&response, "patient"), "pat-a");
    world.refresh("web", &second).await.unwrap();

    let kept = world.refresh_token("server").await;
    for _ in 0..3 {
        let response = world.refresh("server", &kept).await.unwrap().to_json();
        assert!(response.get("refresh_token").is_none());
        assert_eq!(response["patient"], "pat-a");
    }
}

#[tokio::test]
async fn a_public_client_may_send_its_refresh_token_alone() {
    let world = World::new().await;
    let nothing = || Ok(authority::PresentedCredentials::Nothing);
    let token = world.refresh_token("web").await;
    world.token_as(nothing(), &refreshing(&token)).await.unwrap();
    let token = world.refresh_token("server").await;
    let missing = Reject::ClientAuthenticationMissing;
    world.refuses(KIND, missing, world.token_as(nothing(), &refreshing(&token))).await;
    world.refuses(KIND, missing, world.token_as(nothing(), &refreshing("phr_x"))).await;
    world.refresh("server", &token).await.unwrap();
}

#[tokio::test]
async fn a_spent_refresh_token_ends_its_family() {
    let world = World::new().await;
    let first = world.refresh_token("web").await;
    let response = world.refresh("web", &first).await.unwrap();
    let (second, access) = (text(&response, "refresh_token"), text(&response, "access_token"));
    let bystander = world.refresh_token("web").await;
    world.later(3_600);
    while world.store.expire_batch(world.now(), 100).await.unwrap() > 0 {}
    world.withdraws(Reject::RefreshReused, world.refresh("web", &first)).await;
    world.refuses(KIND, Reject::PrincipalInactive, world.refresh("web", &second)).await;
    assert!(rejected(world.userinfo(&access).await).status() == 401);
    world.refresh("web", &bystander).await.unwrap();
}

#[tokio::test]
async fn a_spent_refresh_token_is_still_known_after_days() {
    let world = World::new().await;
    let first = world.refresh_token("web").await;
    world.refresh("web", &first).await.unwrap();
    world.later(2 * DAY);
    while world.store.expire_batch(world.now(), 100).await.unwrap() > 0 {}
    world.withdraws(Reject::RefreshReused, world.refresh("web", &first)).await;
}

#[tokio::test]
async fn asking_too_much_with_a_spent_token_ends_the_family_too() {
    let world = World::new().await;
    let first = world.refresh_token("web").await;
    world.refresh("web", &first).await.unwrap();
    let form = refreshing(&first).with("scope", "patient/Condition.rs");
    world.withdraws(Reject::RefreshReused, world.token("web", &form)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_parallel_refreshes_no_second_line_lives() {
    let world = Arc::new(World::new().await);
    let first = world.refresh_token("web").await;
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let (world, token) = (Arc::clone(&world), first.clone());
        all.spawn(async move { world.refresh("web", &token).await });
    }
    let mut lines = Vec::new();
    while let Some(answer) = all.join_next().await {
        match answer.unwrap() {
            Ok(response) => lines.push(text(&response, "refresh_token")),
            refused => assert!(
                [Reject::RefreshReused, Reject::PrincipalInactive].contains(&rejected(refused))
            ),
        }
    }
    assert!(lines.len() <= 1, "{} lines", lines.len());
    assert!(world.grants().await.iter().all(|grant| grant.withdrawn.is_some()));
    for line in lines {
        assert_eq!(rejected(world.refresh("web", &line).await), Reject::PrincipalInactive);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_refreshes_of_a_confidential_client_all_succeed() {
    let world = Arc::new(World::new().await);
    let token = world.refresh_token("server").await;
    let mut all = JoinSet::new();
    for _ in 0..10 {
        let (world, token) = (Arc::clone(&world), token.clone());
        all.spawn(async move { world.refresh("server", &token).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|ok| ok));
}

#[tokio::test]
async fn an_idle_refresh_token_ends_after_its_idle_time() {
    let world = World::new().await;
    let mut settings = world.authority.settings().clone();
    assert_eq!(settings.refresh_idle_secs, 90 * DAY);
    settings.refresh_idle_secs = 10 * DAY;
    let world = world.with_settings(settings);
    for client in ["web", "server"] {
        let token = world.refresh_token(client).await;
        world.later(10 * DAY - 1);
        let response = world.refresh(client, &token).await.unwrap();
        let next = text(&response, "refresh_token");
        let next = if next.is_empty() { token } else { next };
        world.later(10 * DAY);
        world.refuses(KIND, Reject::RefreshExpired, world.refresh(client, &next)).await;
    }
}

#[tokio::test]
async fn no_use_prolongs_a_family_beyond_what_the_person_chose() {
    let world = World::new().await;
    for client in ["web", "server"] {
        let mut token = world.refresh_token(client).await;
        for _ in 0..2 {
            world.later(44 * DAY);
            let response = world.refresh(client, &token).await.unwrap();
            let next = text(&response, "refresh_token");
            token = if next.is_empty() { token } else { next };
        }
        world.later(2 * DAY - 100);
        let last = world.refresh(client, &token).await.unwrap();
        assert_eq!(last.to_json()["expires_in"], 100, "no token outlives its grant");
        let next = text(&last, "refresh_token");
        token = if next.is_empty() { token } else { next };
        world.later(100);
        world.refuses(KIND, Reject::RefreshExpired, world.refresh(client, &token)).await;
    }
}

#[tokio::test]
async fn a_refresh_can_narrow_but_never_widen() {
    let world = World::new().await;
    let token = world.refresh_token("server").await;
    for (scope, reject) in [
        ("patient/Observation.rs patient/Condition.rs", Reject::ScopeEscalation),
        ("patient/Observation.cruds", Reject::ScopeEscalation),
        ("user/Observation.rs", Reject::ScopeEscalation),
        ("online_access", Reject::ScopeEscalation),
        ("stranger", Reject::ScopeEscalation),
        ("patient/*.rs", Reject::ScopeWildcard),
        ("patient/Observation.sr", Reject::ScopeMalformed),
    ] {
        let form = refreshing(&token).with("scope", scope);
        world.refuses(KIND, reject, world.token("server", &form)).await;
    }
    for resource in ["https://phi.example", "https://evil.example/fhir"] {
        let form = refreshing(&token).with("resource", resource);
        world.refuses(KIND, Reject::TargetInvalid, world.token("server", &form)).await;
    }
    let form = refreshing(&token).with("scope", "patient/Observation.r").with("resource", FHIR);
    let narrow = world.token("server", &form).await.unwrap();
    assert_eq!(text(&narrow, "scope"), "patient/Observation.r");
    let access = claims(&text(&narrow, "access_token"));
    assert_eq!(access["scope"], "patient/Observation.r");
    let whole = world.refresh("server", &token).await.unwrap();
    assert_eq!(text(&whole, "scope"), USUAL, "narrowing one token leaves the grant as it is");
}

#[tokio::test]
async fn a_request_that_asks_too_much_does_not_spend_the_token() {
    let world = World::new().await;
    let token = world.refresh_token("web").await;
    let form = refreshing(&token).with("scope", "patient/Condition.rs");
    world.refuses(KIND, Reject::ScopeEscalation, world.token("web", &form)).await;
    world.refresh("web", &token).await.unwrap();
}

#[tokio::test]
async fn another_clients_refresh_token_buys_nothing_and_its_family_lives() {
    let world = World::new().await;
    for (owner, thief) in [("web", "web2"), ("server", "server2"), ("server", "web")] {
        let token = world.refresh_token(owner).await;
        let theft = world.refresh(thief, &token);
        world.refuses(KIND, Reject::GrantClientMismatch, theft).await;
        world.refresh(owner, &token).await.unwrap();
        // Spent or not, it is no kill switch.
        let theft = world.refresh(thief, &token);
        world.refuses(KIND, Reject::GrantClientMismatch, theft).await;
    }
    // Nor does it tell a stranger what became of its person, or what it is for.
    let token = world.refresh_token("server").await;
    let amina = world.person("amina").await.id;
    world.store.set_person_disabled(&amina, Some(world.now())).await.unwrap();
    for form in [refreshing(&token), refreshing(&token).with("scope", "patient/Condition.rs")] {
        let theft = world.token("server2", &form);
        world.refuses(KIND, Reject::GrantClientMismatch, theft).await;
    }
}

#[tokio::test]
async fn other_credentials_are_no_refresh_token() {
    let world = World::new().await;
    let response = world.connected("web", USUAL).await;
    let token = text(&response, "refresh_token");
    let (access, id) = (text(&response, "access_token"), text(&response, "id_token"));
    let longer = format!("{token}x");
    for bad in [&*access, &id, &longer, &token.to_lowercase(), &token[..token.len() - 1]] {
        world.refuses(KIND, Reject::RefreshUnknown, world.refresh("web", bad)).await;
    }
    world.refresh("web", &token).await.unwrap();
}
